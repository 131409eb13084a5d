"""Hundreds of small runs in one process: memory, open files, the catalog and the lake stay as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conformance.processes import ROOT, environment

pytestmark = pytest.mark.faults

EVERY = 50
"""After so many deliveries the lake is vacuumed."""
# Each delivery is a run of three tables; at some of them it is measured what a run, and one with nothing to do, takes.
CODE = """
import json, os, sys, threading, time
from dataclasses import replace
from pathlib import Path
import assay
from tests.runtime.shop import SETTINGS, Shop
from tests.runtime.test_undo import tables

shop, runs, every = Shop(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
given = {"warehouse": shop.lake, "sources": {"orders": shop.inbox / "orders*.csv"}}
given["settings"] = replace(SETTINGS, workers=1, keep_runs=10, keep_days=0)
pipeline = shop.pipeline(*tables())

def timed(what):
    begun = time.process_time()
    return what(), time.process_time() - begun

for number in range(1, runs + 1):
    shop.orders(f"{number},ann,{number}", f"{number % 50},bob,{number}", file=f"orders{number % 20:03}.csv")
    done, seconds = timed(lambda: assay.run(pipeline, **given))
    assert done.state == "published", done.problems
    if number % every == 0:
        assert assay.vacuum(shop.lake, remove=True, settings=given["settings"]).removed
    if number in (10, 100, runs):
        again = [timed(lambda: assay.run(pipeline, **given)) for _ in range(9)]
        assert all(result.run is None for result, _ in again)
        files = [path for path in shop.lake.rglob("*") if path.is_file()]
        print(json.dumps({
            "run": number,
            "seconds": round(seconds, 3),
            "no_op": round(min(cpu for _, cpu in again), 4),
            "read": round(min(timed(lambda: assay.connect(shop.lake).close())[1] for _ in range(5)), 4),
            "memory": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
            "open": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
            "catalog": (shop.lake / "catalog.db").stat().st_size,
            "files": len(files),
            "bytes": sum(path.stat().st_size for path in files),
        }), flush=True)
"""


def test_the_last_of_many_runs_is_as_cheap_as_the_tenth(tmp_path: Path, sweep: bool) -> None:
    runs = 1_000 if sweep else 200
    command = [sys.executable, "-c", CODE, str(tmp_path), str(runs), str(EVERY)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), text=True, capture_output=True, timeout=3600, check=False
    )
    sys.stdout.write(done.stdout)  # the figures, for whoever wants to see them (pytest -s)
    assert done.returncode == 0, done.stderr
    found: list[Mapping[str, float]] = [json.loads(line) for line in done.stdout.splitlines()]
    tenth, hundredth, last = found
    assert [figures["run"] for figures in found] == [10, 100, runs]
    # Less than twice: what other processes do to caches shows in CPU seconds too.
    assert last["no_op"] < 2 * tenth["no_op"]
    assert last["seconds"] < 2 * hundredth["seconds"]
    assert last["read"] < 2 * hundredth["read"]
    assert last["memory"] < hundredth["memory"] + 50e6
    assert (last["open"], last["threads"]) == (tenth["open"], tenth["threads"])
    # The list of runs grows, by less than a kilobyte each; all else is what the last ten need.
    assert last["catalog"] < hundredth["catalog"] + 1000 * (runs - 100)
    assert last["files"] < 1.2 * hundredth["files"]
    assert last["bytes"] - last["catalog"] < 1.2 * (hundredth["bytes"] - hundredth["catalog"])
