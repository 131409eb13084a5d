"""Workers of Prefect on this machine: as many as are wanted, started again where one dies, and stopped together."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from assay.assembly import current_settings
from tools.prefect.access import OperatingError
from tools.prefect.server import ROOT, Server, program

MARK = "PREFECT_WORKERS_OF"
"""The variable that a worker and all that it starts carry, so that none is left behind when it dies."""
AGAIN_SECONDS = 3.0
"""A worker that dies at once is started this long after its last start."""
GRACE_SECONDS = 20.0
ASKING = {"PREFECT_WORKER_QUERY_SECONDS": "2"}
"""How often a worker asks for work, unless the environment says otherwise."""


@dataclass
class Worker:
    """One worker: the command that it is, where it tells what it does, and its process."""

    name: str
    pool: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0

    def start(self, environment: dict[str, str]) -> str:
        """Start its process, out of reach of the terminal's Ctrl-C."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started = time.monotonic()
        return f"{self.name} has begun, process {self.process.pid}"


@dataclass
class Workers:
    """Workers of one server: those of the pool, and one of the pool of flow runs that wait for others."""

    place: Path
    environment: dict[str, str]
    tell: Callable[[str], None]
    limit: int
    """How many flow runs each does at once, but for those that wait for others."""
    workers: list[Worker] = field(default_factory=list)

    def add(self, pool: str, name: str, limit: int | None = None) -> None:
        """Start a worker of a pool, which does so many flow runs at once."""
        command = [str(program("prefect")), "worker", "start", "--pool", pool, "--name", name, "--type", "process"]
        whole = [*command, *(["--limit", str(limit)] if limit else [])]
        worker = Worker(name, pool, whole, self.place / f"{name}.log")
        self.workers.append(worker)
        self.tell(worker.start(self.environment))

    def add_to(self, pool: str) -> None:
        """Start one more worker of a pool."""
        self.add(pool, f"{socket.gethostname()}-{self.count(pool) + 1}", self.limit)

    def count(self, pool: str) -> int:
        """Return how many workers a pool has here."""
        return sum(worker.pool == pool for worker in self.workers)

    def end_last(self, pool: str) -> None:
        """End the worker of a pool that began last, which has nothing to do."""
        last = [worker for worker in self.workers if worker.pool == pool][-1]
        self.workers.remove(last)
        if last.process is not None:
            last.process.terminate()
            last.process.wait(timeout=GRACE_SECONDS)
        self.tell(f"{last.name} has ended")

    def look(self) -> None:
        """Start those again that have died."""
        for worker in self.workers:
            code = None if worker.process is None else worker.process.poll()
            if code is not None and time.monotonic() - worker.started >= AGAIN_SECONDS:
                self.tell(f"{worker.name} has ended with {code}: {worker.log} may tell why")
                self.tell(worker.start(self.environment))


@contextmanager
def working(server: Server, count: int, limit: int, tell: Callable[[str], None]) -> Iterator[Workers]:
    """Run so many workers of the server of a folder until the block ends, and one for flow runs that wait for others.

    These are as many as come: where they were limited, those that wait could keep out those that they wait for. What
    the workers have started ends with them. Raises OperatingError where others have workers here.
    """
    server.place.mkdir(parents=True, exist_ok=True)
    mark = str(server.place.absolute())
    with (server.place / "workers.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperatingError("Workers are at work here already: end these first, by Ctrl-C") from None
        _end(mark)  # of those who were killed before they could
        found = {**ASKING, **os.environ, **server.home, **server.access().environment, MARK: mark}
        workers, pool = Workers(server.place, found, tell, limit), current_settings().work_pool
        try:
            for _ in range(count):
                workers.add_to(pool)
            workers.add(f"{pool}-parents", f"{socket.gethostname()}-parents")
            yield workers
        finally:
            _end(mark, workers.workers)


def tell_line(line: str) -> None:
    """Tell it on standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _end(mark: str, known: Sequence[Worker] = ()) -> None:
    """End the workers of a folder and the flow runs that they have started; what does not end is killed."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GRACE_SECONDS
        for pid in _alive(mark, known):
            with suppress(ProcessLookupError):
                os.kill(pid, way)
        while _alive(mark, known) and time.monotonic() < deadline:
            time.sleep(0.1)


def _alive(mark: str, known: Sequence[Worker]) -> set[int]:
    """Return the processes that carry the mark; where the system does not show it, the workers alone."""
    found = {worker.process.pid for worker in known if worker.process is not None and worker.process.poll() is None}
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"{MARK}={mark}".encode() in environment.read_bytes().split(b"\0"):
                found.add(int(environment.parent.name))
    return found - {os.getpid()}
