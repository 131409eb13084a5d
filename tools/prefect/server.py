"""A server of Prefect on this machine alone, with its data, log and number in a folder: never two in one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from tools.prefect.access import API, OWN, PASSWORD, Access, OperatingError

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS, LOCK_SECONDS = 120.0, 30.0, 2.0


@dataclass(frozen=True)
class Running:
    """A server at work, as its folder tells."""

    pid: int
    port: int
    password_file: str | None

    @property
    def access(self) -> Access:
        """How it is asked."""
        return Access(f"http://{HOST}:{self.port}/api", self.password_file)


@dataclass(frozen=True)
class Server:
    """The server of a folder. It holds a lock there while it lives, so a number that is left behind means nothing."""

    place: Path

    @property
    def log(self) -> Path:
        """What it tells."""
        return self.place / "server.log"

    @property
    def home(self) -> dict[str, str]:
        """The variable by which programs keep here what they keep."""
        return {"PREFECT_HOME": str((self.place / "home").absolute())}

    @property
    def running(self) -> Running | None:
        """The server that is at work."""
        if not self._told.exists():
            return None
        with self._lock() as free:
            return None if free is not None else Running(**json.loads(self._told.read_text()))

    def access(self) -> Access:
        """Return how the server is asked that PREFECT_API_URL names, or else that is at work here."""
        if url := os.environ.get(API):
            return Access(url)
        if (found := self.running) is None:
            raise OperatingError("No server of Prefect is at work here: make prefect-start (or set PREFECT_API_URL)")
        return found.access

    def serve(self, port: int, password_file: str | None) -> NoReturn:
        """Become the server."""
        self.place.mkdir(parents=True, exist_ok=True)
        with self._lock(LOCK_SECONDS) as lock:
            if lock is None:
                raise OperatingError(f"A server is at work in {self.place} already: make prefect-stop")
            _check_free(port)
            found = Running(os.getpid(), port, password_file)
            password = found.access.password
            self._tell(found)
            os.set_inheritable(lock, True)
            inherited = {name: value for name, value in os.environ.items() if name not in (API, PASSWORD)}
            # Its pages ask the port that is usual, unless they are told.
            more = {"PREFECT_UI_API_URL": found.access.url}
            more |= {"PREFECT_SERVER_API_AUTH_STRING": password} if password else {}
            command = [str(program("prefect")), "server", "start", "--host", HOST, "--port", str(port)]
            os.execve(command[0], command, {**inherited, **OWN, **self.home, **more})

    def start(self, port: int, password_file: str | None = None) -> Running:
        """Start it in the background, unless it is at work, and return it when it answers."""
        return self.running or self._started(port, password_file)

    def stop(self) -> bool:
        """Stop it, and return when it has ended; false where none was at work."""
        found = self.running
        if found is None:
            return False
        for way in (signal.SIGTERM, signal.SIGKILL):
            os.kill(found.pid, way)
            if _comes(lambda: self.running is None, STOP_SECONDS):
                return True
        raise OperatingError(f"The server, process {found.pid}, does not end.")

    def clean(self) -> None:
        """Stop it, and remove all that it has kept."""
        self.stop()
        shutil.rmtree(self.place, ignore_errors=True)

    def _started(self, port: int, password_file: str | None) -> Running:
        self.place.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(port), *(["--password-file", password_file] if password_file else [])]
        command = [sys.executable, "-m", "tools.prefect", "--place", str(self.place.absolute()), "serve", *options]
        with self.log.open("a") as log:
            before = log.tell()
            child = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

        def answers() -> bool:
            found = self.running
            return child.poll() is not None or (found is not None and found.pid == child.pid and found.access.answers())

        _comes(answers, START_SECONDS)
        found = self.running
        if found is None or found.pid != child.pid or not found.access.answers():
            child.kill()
            said = self.log.read_text()[before:].strip()
            raise OperatingError(f"The server does not start: {said[-3000:]}")
        return found

    def _tell(self, found: Running) -> None:
        """Write it down, at once for all who look."""
        written = self._told.with_suffix(".new")
        written.write_text(json.dumps(asdict(found)))
        written.replace(self._told)

    @property
    def _told(self) -> Path:
        return self.place / "server.json"

    @contextmanager
    def _lock(self, patience: float = 0.0) -> Iterator[int | None]:
        """Take the lock, and yield its descriptor; None where a server holds it."""
        descriptor = os.open(self.place / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)

        def taken() -> bool:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        try:
            # Who only looks has it for an instant.
            yield descriptor if _comes(taken, patience) else None
        finally:
            os.close(descriptor)


def program(name: str) -> Path:
    """Return a program of the environment that this runs in."""
    return Path(sys.executable).with_name(name)


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as tried:
        tried.bind((HOST, 0))
        return int(tried.getsockname()[1])


def _check_free(port: int) -> None:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError:
            raise OperatingError(f"Port {port} is used by another program; name another: PORT={port + 1}") from None


def _comes(moment: Callable[[], bool], seconds: float) -> bool:
    """Wait for a moment, at most so long, and return whether it came."""
    deadline = time.monotonic() + seconds
    while not moment():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True
