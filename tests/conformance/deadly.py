"""A process that is killed at its n-th change to a folder, by its own hand: it lives through none of what follows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conformance.processes import ROOT, SECONDS, environment

# Told of every file that Python itself opens for writing, removes or locks; what SQLite does lies between them.
_WATCH = """
import os, signal, sys
folder, left, seen = sys.argv[1], int(sys.argv[2]), 0
def watch(event, given):
    global seen
    writes = event in ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "shutil.rmtree", "fcntl.flock")
    if event == "open" and isinstance(given[2], int):
        writes = bool(given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if writes and (event == "fcntl.flock" or str(given[0]).startswith(folder)):
        seen += 1
        if seen == left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
"""


def changes(code: str, folder: Path, *given: object) -> int:
    """Run code to its end, with the folder as its first argument, and return how often it changed the folder."""
    done = _called(f"{_WATCH}{code}\nprint(seen)", folder, 0, *given)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def killed_at(number: int, code: str, folder: Path, *given: object) -> bool:
    """Run code until just before its n-th change; return False where it ended before."""
    return _called(f"{_WATCH}{code}", folder, number, *given).returncode == -9


def _called(code: str, folder: Path, number: int, *given: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, str(folder), str(number), *map(str, given)]
    return subprocess.run(
        command, cwd=ROOT, env=environment(), text=True, capture_output=True, timeout=SECONDS, check=False
    )
