"""What the benchmarks found: one table for people, and the raw samples as JSON."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.measure import Sample


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its samples, and the most it may be: of the floor's samples where there are any."""

    name: str
    values: Sequence[float]
    target: float | None = None
    floor: Sequence[float] = ()

    @property
    def judged(self) -> float:
        """The smallest sample, or how many times the floor's smallest it is: others only ever make a run slower."""
        return min(self.values) / (min(self.floor) if self.floor else 1)

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.target is None or self.judged <= self.target

    def row(self) -> tuple[str, ...]:
        """Return the figure as a row of the table."""
        spread = [f"{value:.2f}" for value in (min(self.values), median(self.values), max(self.values))]
        floor, ratio = (f"{min(self.floor):.2f}", f"{self.judged:.2f} x") if self.floor else ("", "")
        target = "" if self.target is None else f"{self.target:g}{' x' if self.floor else ''}"
        return (self.name, *spread, floor, ratio, target, "" if self.target is None else "yes" if self.met else "NO")

    def to_json(self) -> dict[str, object]:
        """Return the figure with every sample it was made of."""
        return {
            "name": self.name,
            "values": list(self.values),
            "floor": list(self.floor),
            "judged": self.judged,
            "target": self.target,
            "met": self.met,
        }


def write(path: Path, figures: Sequence[Figure], samples: Mapping[str, Sequence[Sample]]) -> None:
    """Print the figures, and write them with all samples."""
    print(table(figures))
    document = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
        },
        "figures": [figure.to_json() for figure in figures],
        "samples": {name: [sample.to_json() for sample in each] for name, each in samples.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"\n{sum(not figure.met for figure in figures)} targets missed; every sample is in {path}")


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table in Markdown, its columns aligned."""
    head = ("figure", "min", "median", "max", "floor", "ratio", "target", "met")
    rows = [head, *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        f"| {' | '.join(cell.ljust(width) if n == 0 else cell.rjust(width) for n, (cell, width) in line)} |"
        for line in (list(enumerate(zip(row, widths, strict=True))) for row in rows)
    ]
    rule = f"|{'|'.join('-' * (width + 1) + ('-' if n == 0 else ':') for n, width in enumerate(widths))}|"
    return "\n".join((lines[0], rule, *lines[1:]))
