"""Processes that use an embedded server, and what is left when they and it are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg

from assay.warehouses.postgres.server.cluster import at_work
from assay.warehouses.postgres.server.home import Home

SECONDS = 60
"""How long a test waits for what must come."""

# Another process: it uses the server of a folder until its standard input is closed.
USER = """
import sys
from pathlib import Path
from assay.warehouses.postgres.server.embedded import embedded
with embedded(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""

User = subprocess.Popen[str]


def asked(url: str, sql: str) -> tuple[object, ...]:
    """Return the first row that a server answers."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        row = connection.execute(sql).fetchone()
    assert row is not None
    return tuple(row)


def told(url: str, sql: str) -> None:
    """Have a server do something, for good."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(sql)


def sockets(url: str) -> Path:
    """Return the folder of a server's socket."""
    return Path(parse_qs(urlsplit(url).query)["host"][0])


@contextmanager
def starting(folder: Path, *, by: Sequence[str] = ()) -> Iterator[User]:
    """Start a process that will use the server of a folder; it is killed at the latest at the end of the block."""
    command = [*by, sys.executable, "-c", USER, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def using(folder: Path, *, by: Sequence[str] = ()) -> Iterator[tuple[User, str]]:
    """Start a process that uses the server of a folder, and yield it with the server's address."""
    with starting(folder, by=by) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url, process.communicate()[1]
        yield process, url


def until(done: Callable[[], bool]) -> None:
    """Wait for what must come."""
    end = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_free(folder: Path) -> bool:
    """Return whether nothing of a server is left, nor of who keeps it."""
    with Home(folder).lock("server") as server:
        return server.take() and not any(at_work(Home(folder)))


def postmaster(folder: Path) -> int:
    """Return the server's first process."""
    return int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])


def keeper(folder: Path) -> int:
    """Return the process that keeps the server: the first one's parent."""
    status = Path(f"/proc/{postmaster(folder)}/status").read_text()
    return int(status.partition("PPid:")[2].split()[0])


def kill(*processes: int) -> None:
    """Kill processes at once, none of them seeing the end of another; those that have ended by themselves are dead."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)
