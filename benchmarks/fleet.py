"""Measure twenty tables of a second each, five at once: embedded, on Prefect with two workers, and on Airflow."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from assay.warehouses.postgres.server.embedded import embedded
from benchmarks.fleet_airflow import on_airflow
from benchmarks.measure import ROOT, Sample, assay, measure
from benchmarks.report import Figure, write
from benchmarks.servers import asked, between, call, free_port, running, until
from benchmarks.slow_fleet import TABLES, VIEWS
from tools.prefect.access import OWN

LIMIT = 5
SECONDS = 1.0
IDEAL = len(TABLES) * SECONDS / LIMIT
TARGET = 1.1
PREFECT = ROOT / "build/prefect-env/bin"
PARENT = "slow_fleet/slow"
DECLARED = f"""
work_pool = "slow"
database_limit = {LIMIT}
workers = {LIMIT}

[deployments.slow]
run = "benchmarks.slow_fleet:slow_fleet"
spread = {{ slow_fleet = "slow-tables" }}
chunks = 2

[deployments.slow-tables]
tables_of = "benchmarks.slow_fleet:slow_fleet"
"""


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--prefect", action="store_true", help="on Prefect too (make setup-prefect)")
    parser.add_argument("--airflow", action="store_true", help="on Airflow too (make setup-airflow)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as place, embedded(Path(place) / "server") as url:
        os.environ["SLOW_FLEET_URL"] = url.replace("+psycopg", "", 1)
        with psycopg.connect(os.environ["SLOW_FLEET_URL"], autocommit=True) as connection:
            for name in TABLES:
                connection.execute(VIEWS.format(name=name, seconds=SECONDS).encode())
        samples: dict[str, list[Sample]] = {}
        figures = _embedded(options.runs, Path(place), samples)
        if options.prefect:
            figures += _prefect(options.runs, Path(place))
        if options.airflow:
            figures += on_airflow(options.runs, Path(place), LIMIT, IDEAL)
        write(ROOT / "build/bench/fleet.json", figures, samples)


def _embedded(runs: int, folder: Path, samples: dict[str, list[Sample]]) -> list[Figure]:
    """Measure runs in one process: the pipeline, and a workflow of it in sequence and in phases, in turn."""
    seconds: dict[str, list[float]] = {}
    project = folder / "embedded"
    project.mkdir()
    (project / "assay.toml").write_text(f"database_limit = {LIMIT}\n")
    for turn in range(runs):
        for name in ("slow_fleet", "in_sequence", "in_phases"):
            command = assay("run", f"benchmarks.slow_fleet:{name}", "--warehouse", folder / f"{name}-{turn}", "--json")
            sample = measure([*command, "--log", "none"], project)
            samples.setdefault(name, []).append(sample)
            seconds.setdefault(name, []).append(json.loads(sample.output)["seconds"])
            print(f"  {name}: the run {seconds[name][-1]:.2f} s, the command {sample.wall:.2f} s", file=sys.stderr)
    ideal = [IDEAL] * runs
    return [
        Figure("embedded: the run, s", seconds["slow_fleet"], TARGET, ideal),
        Figure("embedded: the command, s", [sample.wall for sample in samples["slow_fleet"]], None, ideal),
        Figure("a second before it, in sequence, s", seconds["in_sequence"], None, ideal),
        Figure("the same in phases, s", seconds["in_phases"], None, ideal),
    ]


def _prefect(runs: int, folder: Path) -> list[Figure]:
    """Measure flow runs on a server with two workers, from the call that starts one to its end."""
    project = folder / "project"
    project.mkdir()
    (project / "assay.toml").write_text(DECLARED)
    seconds: dict[str, list[float]] = {"whole": [], "until it runs": [], "until its tables are begun": [], "tables": []}
    with _served(folder) as (url, environment):
        call([PREFECT / "assay", "deploy", "prefect"], project, environment)
        with _workers(project, environment):
            found = asked(f"{url}/deployments/name/{PARENT}")["id"]
            for turn in range(runs):
                lake = str(folder / f"prefect-{turn}")
                begun = asked(f"{url}/deployments/{found}/create_flow_run", {"parameters": {"warehouse": lake}})
                _told(url, _ended(f"{url}/flow_runs/{begun['id']}"), seconds)
                print(f"  prefect: {seconds['whole'][-1]:.2f} s", file=sys.stderr)
    ideal = [IDEAL] * runs
    return [Figure(f"prefect, two workers: {what}, s", each, None, ideal) for what, each in seconds.items()]


def _ended(flow_run: str) -> Any:
    """Wait for the end of a flow run, and return it."""
    until(lambda: asked(flow_run)["state_type"] in ("COMPLETED", "FAILED", "CRASHED"))
    run = asked(flow_run)
    if run["state_type"] != "COMPLETED":
        sys.exit(f"{run['state']}\nnothing was measured.")
    return run


def _told(url: str, run: Any, seconds: dict[str, list[float]]) -> None:
    """Add of what the time of a flow run was made."""
    only = {"flow_runs": {"parent_task_run_id": {"is_null_": False}, "start_time": {"after_": run["created"]}}}
    chunks = asked(f"{url}/flow_runs/filter", only)
    seconds["whole"].append(between(run["created"], run["end_time"]))
    seconds["until it runs"].append(between(run["created"], run["start_time"]))
    seconds["until its tables are begun"].append(between(run["start_time"], min(each["start_time"] for each in chunks)))
    first, last = min(each["start_time"] for each in chunks), max(each["end_time"] for each in chunks)
    seconds["tables"].append(between(first, last))


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Run a server of Prefect, and yield its address and what others need to find it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    own = {"PREFECT_HOME": str(folder / "home"), **OWN}
    environment = {**os.environ, **own, "PYTHONPATH": str(ROOT)}
    command = [PREFECT / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, folder, environment):
        until(lambda: asked(f"{url}/health") is True)
        yield url, environment | {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "1"}


@contextmanager
def _workers(project: Path, environment: Mapping[str, str]) -> Iterator[None]:
    pools = ("slow", "slow", "slow-parents")
    limits = [["--limit", "1"] if pool == "slow" else [] for pool in pools]
    commands = [[PREFECT / "prefect", "worker", "start", "--pool", *each] for each in zip(pools, limits, strict=True)]
    with (
        running(_flat(commands[0]), project, environment),
        running(_flat(commands[1]), project, environment),
        running(_flat(commands[2]), project, environment),
    ):
        yield


def _flat(command: list[Any]) -> list[Any]:
    return [part for each in command for part in (each if isinstance(each, list) else [each])]


if __name__ == "__main__":
    main()
