"""A whole Airflow on this machine: scheduler, DAG processor, triggerer and API, which end with the test."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from tests.conformance.processes import ROOT, environment

_AIRFLOW = Path(sys.executable).parent / "airflow"
_PORTS = {"AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT", "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT", "AIRFLOW__API__PORT"}
_ENDED = ("success", "failed")
SECONDS = 180.0


@dataclass(frozen=True)
class Server:
    """What is asked over HTTP."""

    url: str

    def ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Ask the API as its page does."""
        data = json.dumps(body).encode() if body else None
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token()}"}
        request = urllib.request.Request(f"{self.url}/api/v2/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def trigger(self, dag: str, **asked: Any) -> str:
        """Begin a DAG run with some of its parameters, and return its id."""
        until(lambda: self.knows(dag))
        self.ask("PATCH", f"dags/{dag}", is_paused=False)
        return str(self.ask("POST", f"dags/{dag}/dagRuns", logical_date=None, conf=asked)["dag_run_id"])

    def knows(self, dag: str) -> bool:
        """Return whether the DAG has been parsed."""
        with suppress(URLError):
            return bool(self.ask("GET", f"dags/{dag}"))
        return False

    def ended(self, dag: str, run: str) -> str:
        """Wait for the end of a DAG run, and return its state."""
        until(lambda: self.state(dag, run) in _ENDED)
        return self.state(dag, run)

    def state(self, dag: str, run: str) -> str:
        """Return the state of a DAG run."""
        return str(self.ask("GET", f"dags/{dag}/dagRuns/{run}")["state"])

    def tasks(self, dag: str, run: str) -> dict[str, dict[str, Any]]:
        """Return what the API tells of each task."""
        found = self.ask("GET", f"dags/{dag}/dagRuns/{run}/taskInstances?limit=100")["task_instances"]
        return {each["task_id"]: each for each in found}

    def _token(self) -> str:
        with urllib.request.urlopen(f"{self.url}/auth/token", timeout=30) as answer:
            return str(json.load(answer)["access_token"])


@contextmanager
def running(home: Path, dags: Path, **variables: str) -> Iterator[Server]:
    """Start all of Airflow, and end all of it."""
    ports = {name: str(_free_port()) for name in _PORTS}
    url = f"http://127.0.0.1:{ports['AIRFLOW__API__PORT']}"
    own = {
        **{name: value for name, value in environment().items() if not name.startswith("AIRFLOW")},
        **ports,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PATH": f"{_AIRFLOW.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    with (home / "airflow.log").open("w") as log:
        process = subprocess.Popen(
            [_AIRFLOW, "standalone"], cwd=home, env=own, stdout=log, stderr=log, start_new_session=True
        )
    try:
        server = Server(url)
        until(lambda: process.poll() is None and _healthy(server))
        yield server
    finally:
        _end(process)
        _end_others(home)


def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.5)


def _healthy(server: Server) -> bool:
    """Return whether the scheduler, the DAG processor and the triggerer have all been heard of."""
    try:
        with urllib.request.urlopen(f"{server.url}/api/v2/monitor/health", timeout=5) as answer:
            told: Mapping[str, Any] = json.load(answer)
    except (OSError, ValueError):
        return False
    return all(told[part]["status"] == "healthy" for part in ("scheduler", "dag_processor", "triggerer"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: what is told to end leaves its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)


def _end_others(home: Path) -> None:
    """End what has left the group: a task's process makes a session of its own, and stays in the folder."""
    for place in Path("/proc").glob("[0-9]*"):
        # One of them may have ended meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if (place / "cwd").readlink() == home:
                os.kill(int(place.name), signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
