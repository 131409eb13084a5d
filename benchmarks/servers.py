"""Servers that are started for a measurement, asked over HTTP, and ended with all that they have started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any


@contextmanager
def running(command: list[Any], folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a program until the block ends, with all that it starts."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
        # One that has ended may have left others.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def call(command: list[Any], folder: Path, environment: Mapping[str, str]) -> None:
    """Run a program to its end; raises CalledProcessError where that is no good one."""
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def asked(url: str, body: Any = None, *, method: str | None = None, token: str = "") -> Any:
    """Return the answer of a server; None where it does not answer yet."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{url}: {error}: {error.read()[:500]!r}")
    except OSError:
        return None


def until(found: Callable[[], bool], seconds: float = 300) -> None:
    """Wait until something is found."""
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() > deadline:
            sys.exit("it has not come about: nothing was measured.")
        time.sleep(0.2)


def between(earlier: str, later: str) -> float:
    """Return the seconds from one time to another, as servers tell them."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])
