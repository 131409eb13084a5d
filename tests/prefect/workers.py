"""Workers of Prefect as processes, and the fleet's deployments run on them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    LogFilter,
    LogFilterFlowRunId,
)

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
PARENTS = "default-pool-parents"
POOL = "default-pool"
SECONDS = 300


@dataclass
class Worker:
    """A worker, with the flow runs that it started."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    def kill(self) -> None:
        """Let the machine of the worker lose its power: it is gone, with all that it started."""
        family = [self.process.pid, *descendants(self.process.pid)]
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


def descendants(pid: int) -> list[int]:
    """Return the processes that one has started, and those that they have."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


@contextmanager
def working(
    folder: Path, pools: Mapping[str, str], environment: Mapping[str, str], around: Sequence[str] = ()
) -> Iterator[dict[str, Worker]]:
    """Run workers by name, each for a pool, until the block ends; `around` is a command that runs their programs."""
    env = {
        **os.environ,
        **environment,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",
        "NO_COLOR": "1",
    }
    workers: dict[str, Worker] = {}
    try:
        for name, pool in pools.items():
            limit = ["--limit", "1"] if pool == POOL else []
            command = [*around, BIN / "prefect", "worker", "start", "--pool", pool, "--name", name, *limit]
            log = folder / f"{name}.log"
            with log.open("a") as written:
                process = subprocess.Popen(
                    command, env=env, stdout=written, stderr=subprocess.STDOUT, cwd=ROOT, text=True
                )
            workers[name] = Worker(name, process, log)
        yield workers
    finally:
        for worker in workers.values():
            if worker.process.poll() is None:
                worker.kill()


def deployed() -> str:
    """Put the project's deployments on the server, as the command does, and return what it prints."""
    made = subprocess.run([BIN / "assay", "deploy", "prefect"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return made.stdout


def begun(deployment: str, **parameters: Any) -> UUID:
    """Start a run of a deployment by the call that the user interface makes."""
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        answer = client._client.post(f"/deployments/{found.id}/create_flow_run", json={"parameters": parameters})
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["id"])


def ended(flow_run: UUID) -> Any:
    """Wait for the end of a flow run, and return it."""
    return until(lambda: (run := state_of(flow_run)).state.is_final() and run)


def state_of(flow_run: UUID) -> Any:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run)


def flow_runs(flow: str, since: UUID) -> list[Any]:
    """Return the runs of a flow that were made after another flow run."""
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])))
        began = client.read_flow_run(since).created
    return [run for run in found if run.created > began]


def log_of(flow_run: UUID) -> list[str]:
    """Return the lines of a flow run's log."""
    with get_client(sync_client=True) as client:
        only = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run]))
        return [line.message for line in client.read_logs(only, limit=200)]


def until(found: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Return what is found, once it is; fail after some minutes."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := found():
            return answer
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.5)
