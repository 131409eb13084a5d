"""A server of Prefect for the tests of this folder, and a home of their own for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.prefect import access
from tools.prefect.server import free_port

# Prefect reads these as it is imported, which the tests do after this.
_HOME = tempfile.TemporaryDirectory(prefix="prefect-")
PORT = free_port()
OWN = {
    "PREFECT_HOME": _HOME.name,
    "PREFECT_API_URL": f"http://127.0.0.1:{PORT}/api",
    **access.OWN,
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}
os.environ.update(OWN)

from prefect.events.worker import EventsWorker  # noqa: E402
from prefect.logging.handlers import APILogWorker  # noqa: E402


@dataclass
class Server:
    """A server of Prefect on this machine."""

    port: int
    home: Path
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = Path(sys.executable).with_name("prefect")
        command = [program, "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        log = self.home / "server.log"
        environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        with log.open("a") as written:
            self.process = subprocess.Popen(
                command, env=environment, stdout=written, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while not _answers(self.port):
            assert self.process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)

    def stop(self, kind: signal.Signals) -> None:
        """Stop it, and all that it started."""
        assert self.process is not None
        os.killpg(self.process.pid, kind)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def restarted(server: Server) -> Iterator[None]:
    """Have the server killed while the block runs, and there again after it."""
    server.stop(signal.SIGKILL)
    try:
        yield
    finally:
        server.start()


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[Server]:
    """A server, at the address that this process has in PREFECT_API_URL."""
    server = Server(PORT, Path(_HOME.name))
    server.start()
    try:
        yield server
    finally:
        # What is left to be told goes to the server that is there; else the end of the process waits for it.
        for worker in (APILogWorker, EventsWorker):
            worker.drain_all()
        server.stop(signal.SIGTERM)
