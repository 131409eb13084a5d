"""Measure assay against the floor and against its targets: `make bench`, and `make bench-large` for the long ones."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import ROOT, Sample, assay, in_turn, measure, python
from benchmarks.one_second import NAMES, serve
from benchmarks.report import Figure, write

AS_OF = "2024-12-01"
RESULTS = ROOT / "build" / "bench"


@dataclass(slots=True)
class Bench:
    """One call of the benchmarks: where it works, and what it has found."""

    scratch: Path
    runs: int
    data: Path | None = None
    figures: list[Figure] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def file(self, rows: int, seed: int = 7) -> Path:
        """Return the file given, or a sample of so many rows."""
        if self.data is not None:
            return self.data
        made = self.scratch / f"{rows}-{seed}"
        if not made.exists():
            print(f"  making {rows:,} rows", file=sys.stderr, flush=True)
            measure(assay("sample", "ride_bookings", made, "--rows", rows, "--seed", seed))
        return made / "bookings.csv.gz"

    def keep(self, samples: Mapping[str, Sequence[Sample]]) -> None:
        """Keep samples for the JSON."""
        for name, each in samples.items():
            self.samples.setdefault(name, []).extend(each)


def ride(file: Path | str, lake: Path, *more: object) -> list[str]:
    """Return the command that runs the ride pipeline over a file into a lake."""
    given = ("--source", f"bookings={file}", "--as-of", AS_OF, "--warehouse", lake)
    return assay("run", "ride_bookings", *given, *more)


def against_floor(bench: Bench, rows: int, targets: Mapping[str, float], runs: int) -> None:
    """Run the whole pipeline and the floor in turn; ends where any of the 21 tables differs."""
    file, label = bench.file(rows), f"{rows:,} rows"
    scratch = bench.scratch / f"floor-{rows}"
    ours, floor = f"assay, {label}", f"floor, {label}"
    found = in_turn(
        {
            ours: lambda folder: ride(file, folder),
            floor: lambda folder: python("benchmarks.floor", file, folder, "--as-of", AS_OF),
        },
        runs,
        scratch,
    )
    print(f"  {measure(python('benchmarks.compare', scratch / ours, scratch / floor)).output.strip()}", file=sys.stderr)
    bench.keep(found)
    for name, unit in (("wall", "s"), ("cpu", "CPU s")):
        values = [[getattr(sample, name) for sample in found[side]] for side in (ours, floor)]
        bench.figures.append(Figure(f"{label}, {unit}", values[0], targets.get(name), values[1]))
    peaks = [[sample.peak for sample in found[side]] for side in (ours, floor)]
    bench.figures.append(Figure(f"{label}, peak MB", peaks[0]))
    if "peak" in targets:
        bench.figures[-1] = Figure(f"{label}, peak MB", peaks[0], targets["peak"])
    bench.figures.append(Figure(f"{label}, the floor's peak MB", peaks[1]))
    shutil.rmtree(scratch)


def warm_up(scratch: Path) -> None:
    """Run everything once on few rows: the first start of all compiles modules."""
    measure(assay("sample", "ride_bookings", scratch, "--rows", 1000))
    file = scratch / "bookings.csv.gz"
    measure(ride(file, scratch / "lake"))
    measure(python("benchmarks.floor", file, scratch / "floor"))


def nothing_new(bench: Bench) -> None:
    """Run again over what is published already, and ask for help."""
    lake = bench.scratch / "again"
    command = ride(bench.file(150_000), lake)
    measure(command)
    found = in_turn({"no-op rerun": lambda _: command, "help": lambda _: assay("--help")}, bench.runs, bench.scratch)
    bench.keep(found)
    bench.figures.append(Figure("no-op rerun, s", [sample.wall for sample in found["no-op rerun"]], 1.0))
    bench.figures.append(Figure("no-op rerun, CPU s", [sample.cpu for sample in found["no-op rerun"]]))
    bench.figures.append(Figure("--help, CPU s", [sample.cpu for sample in found["help"]], 0.25))


def waiting_tables(bench: Bench) -> None:
    """Run nine tables that wait a second each, with nine workers and with one."""

    def command(workers: int, folder: Path) -> list[str]:
        serve(folder)
        arguments = ("--warehouse", folder / "lake", "--workers", workers, "--json")
        # The pipes stand where the run is started.
        code = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"
        run = assay("run", "benchmarks.one_second:one_second", *arguments)
        return [sys.executable, "-c", code, str(folder), *run]

    nine, one = f"{len(NAMES)} waiting tables, 9 workers", f"{len(NAMES)} waiting tables, 1 worker"
    scratch = bench.scratch / "waiting"
    found = in_turn({nine: lambda folder: command(9, folder)}, bench.runs, scratch)
    found |= in_turn({one: lambda folder: command(1, folder)}, 1, scratch)
    bench.keep(found)
    for name, target in ((nine, 2.0), (one, None)):
        bench.figures.append(Figure(f"{name}, s", [span(sample, "bronze") for sample in found[name]], target))
        bench.figures.append(Figure(f"{name}, whole process, s", [sample.wall for sample in found[name]]))


def workers(bench: Bench) -> None:
    """Run the ride pipeline with one worker and with one a core, layer by layer."""
    file = bench.file(150_000)
    found = in_turn(
        {
            "1 worker": lambda folder: ride(file, folder, "--json", "--workers", 1),
            "2 workers": lambda folder: ride(file, folder, "--json", "--workers", 2),
        },
        bench.runs,
        bench.scratch / "workers",
    )
    bench.keep(found)
    for layer in ("bronze", "silver", "gold", ""):
        one, two = ([span(sample, layer) for sample in found[f"{n} worker{'s' * (n > 1)}"]] for n in (1, 2))
        what = f"{layer or 'all'} layers".replace("s layers", "s").replace("all layers", "all layers")
        bench.figures.append(Figure(f"{what}, 2 workers against 1, s", two, None, one))


def span(sample: Sample, layer: str) -> float:
    """Return the seconds from the first start to the last end of a layer's tables, from what `--json` printed."""
    tables = json.loads(sample.output)["tables"]
    chosen = [each for name, each in tables.items() if name.startswith(layer)]
    began = min(dt.datetime.fromisoformat(each["started_at"]) for each in chosen)
    return (max(dt.datetime.fromisoformat(each["ended_at"]) for each in chosen) - began).total_seconds()


def small_delivery(bench: Bench, rows: int) -> None:
    """Deliver one percent of new rows to a history, each time to a new one: CPU against that of the first run."""
    delivered, lake = bench.scratch / "delivered", bench.scratch / "history"
    delivered.mkdir()
    (delivered / "1.csv.gz").symlink_to(bench.file(rows))
    bench.data = None
    small = bench.file(rows // 100, seed=8)
    first, second = [], []
    for _ in range(bench.runs):
        shutil.rmtree(lake, ignore_errors=True)
        (delivered / "2.csv.gz").unlink(missing_ok=True)
        first.append(measure(ride(delivered / "*.csv.gz", lake)))
        (delivered / "2.csv.gz").symlink_to(small)
        second.append(measure(ride(delivered / "*.csv.gz", lake)))
    bench.keep({f"history of {rows:,} rows": first, "1 % new rows": second})
    cpu, wall = ([[getattr(sample, what) for sample in each] for each in (second, first)] for what in ("cpu", "wall"))
    bench.figures.append(Figure(f"1 % new rows to {rows:,}, CPU s", cpu[0], 0.15, cpu[1]))
    bench.figures.append(Figure(f"1 % new rows to {rows:,}, s", wall[0], None, wall[1]))


def main() -> int:
    """Measure what was asked for; a missed target is told, and fails nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="1,500,000 rows, and 1 %% delivered to them")
    parser.add_argument("--huge", action="store_true", help="15,000,000 rows, once; takes long and 30 GB of disk")
    parser.add_argument("--runs", type=int, help="how often each command runs (default: 5, and 3 for --large)")
    parser.add_argument("--data", type=Path, help="a file of ride bookings to use instead of a sample")
    parser.add_argument("--scratch", type=Path, help="where lakes and samples go (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir=options.scratch) as folder:
        data = options.data.absolute() if options.data else None
        bench = Bench(Path(folder), options.runs or (3 if options.large else 5), data)
        warm_up(bench.scratch / "warm-up")
        if options.huge:
            against_floor(bench, 15_000_000, {"cpu": 1.2, "peak": 2048}, 1)
        elif options.large:
            against_floor(bench, 1_500_000, {"cpu": 1.3}, bench.runs)
            small_delivery(bench, 1_500_000)
        else:
            against_floor(bench, 150_000, {"wall": 2.5, "cpu": 3}, bench.runs)
            nothing_new(bench)
            waiting_tables(bench)
            workers(bench)
    name = "huge" if options.huge else "large" if options.large else "bench"
    write(RESULTS / f"{name}.json", bench.figures, bench.samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
