"""Twenty tables of a second each under a scheduler of Airflow, each in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT
from benchmarks.report import Figure
from benchmarks.servers import asked, between, free_port, running, until

AIRFLOW = ROOT / "build/airflow-env/bin"
DAG = """
from assay.orchestrators.airflow import to_dag

dag = to_dag("benchmarks.slow_fleet:slow_fleet", warehouse={lake!r}, max_active_tasks={limit})
"""
_PORTS = ("LOGGING__WORKER_LOG_SERVER_PORT", "LOGGING__TRIGGER_LOG_SERVER_PORT")


def on_airflow(runs: int, folder: Path, limit: int, ideal: float) -> list[Figure]:
    """Measure DAG runs, from the call that asks for one to its end, each on a lake that has all tables already."""
    for name in ("airflow", "dags"):
        (folder / name).mkdir()
    (folder / "dags/slow.py").write_text(DAG.format(lake=str(folder / "airflow-lake"), limit=limit))
    seconds: dict[str, list[float]] = {"whole": [], "until it begins": [], "begin": [], "tables": [], "publish": []}
    with _served(folder, limit) as url:
        token = asked(f"{url}/auth/token")["access_token"]
        dag = f"{url}/api/v2/dags/slow_fleet"
        until(lambda: bool(asked(f"{url}/api/v2/dags", token=token)["dags"]))
        asked(dag, {"is_paused": False}, method="PATCH", token=token)
        for _ in range(runs):
            begun = asked(f"{dag}/dagRuns", {"logical_date": None, "conf": {"full": True}}, token=token)
            _told(f"{dag}/dagRuns/{begun['dag_run_id']}", token, seconds)
            print(f"  airflow: {seconds['whole'][-1]:.2f} s", file=sys.stderr)
    return [Figure(f"airflow: {what}, s", each, None, [ideal] * runs) for what, each in seconds.items()]


def _told(dag_run: str, token: str, seconds: dict[str, list[float]]) -> None:
    """Wait for the end of a DAG run, and add of what its time was made."""
    until(lambda: asked(dag_run, token=token)["state"] in ("success", "failed"))
    run = asked(dag_run, token=token)
    if run["state"] != "success":
        sys.exit(f"{run}\nnothing was measured.")
    listed = asked(f"{dag_run}/taskInstances?limit=100", token=token)["task_instances"]
    tasks: dict[str, Any] = {each["task_id"]: each for each in listed}
    tables = [each for name, each in tasks.items() if name.startswith("extract_")]
    first, last = min(each["start_date"] for each in tables), max(each["end_date"] for each in tables)
    seconds["whole"].append(between(run["queued_at"], run["end_date"]))
    seconds["until it begins"].append(between(run["queued_at"], tasks["begin"]["start_date"]))
    seconds["begin"].append(tasks["begin"]["duration"])
    seconds["tables"].append(between(first, last))
    seconds["publish"].append(tasks["publish"]["duration"])


@contextmanager
def _served(folder: Path, limit: int) -> Iterator[str]:
    """Run scheduler, DAG processor, triggerer and API, and yield the address."""
    ports = {f"AIRFLOW__{name}": str(free_port()) for name in _PORTS}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": str(limit),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PATH": f"{AIRFLOW}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    with running([AIRFLOW / "airflow", "standalone"], folder, {**os.environ, **ports, **own}):
        until(lambda: _healthy(asked(f"{url}/api/v2/monitor/health")))
        yield url


def _healthy(told: Any) -> bool:
    return told is not None and all(told[part]["status"] == "healthy" for part in ("scheduler", "dag_processor"))
