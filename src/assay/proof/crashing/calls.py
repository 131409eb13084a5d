"""Calls to the system that change a warehouse, as strace reports them: under which point each lies."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.model.errors import UsageError
from assay.proof.crashing.points import BEFORE

_CHANGING = (
    *("write", "pwrite64", "writev", "pwritev", "pwritev2", "fallocate", "ftruncate", "truncate"),
    *("fsync", "fdatasync", "sync_file_range", "rename", "renameat", "renameat2", "link", "linkat", "symlink"),
    *("symlinkat", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "copy_file_range", "sendfile"),
)
_OPENING = ("openat", "creat", "open")
_SYNCING = ("fsync", "fdatasync")
_REMOVING = ("unlink", "unlinkat", "rmdir")
_NOT_PUBLISHED = ("catalog.db", "_assay/runs/", ".")
"""What no publish refers to: the catalog, which SQLite itself keeps safe, and files that live as long as a run."""
PUBLISH = "publish"
_LINE = re.compile(r"^(?:(?P<thread>\d+) +)?(?P<call>\w+)\((?P<given>.*)$")
_MARK = re.compile(r'^\d+</dev/null[^>]*>, "(?P<when>before|after) (?P<point>.*?)"')


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """The n-th call of this name that a thread makes."""

    name: str
    nth: int
    first_thread: bool
    """Whether it is the thread that the process began with."""

    def __str__(self) -> str:
        """Return how it is told to people."""
        return f"{self.name} ({self.nth})" + ("" if self.first_thread else " of another thread")


@dataclass(slots=True)
class Traced:
    """What one run did to its warehouse."""

    under: Counter[str] = field(default_factory=Counter)
    """Point -> calls."""
    outside: list[str] = field(default_factory=list)
    """Calls under no point, as strace wrote them."""
    calls: set[Call] = field(default_factory=set)
    """Those that a process can be killed at."""
    unsynced: set[str] = field(default_factory=set)
    """Files, and folders that got one, that were not forced to the disk before the publish which refers to them."""


def command(life: Path, log: Path, *, at: Call | None = None) -> list[str]:
    """Return the command that lives a life under strace, killed as it makes one call, or watched to its end.

    Raises UsageError where strace is not installed.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise UsageError("strace is not installed, and calls cannot be counted without it: apt-get install strace")
    options = [] if at is not None and at.first_thread else ["-f"]
    watched = _CHANGING if at is not None else (*_CHANGING, *_OPENING)
    # A name that this machine's system does not know is left out, where it begins with a question mark.
    options += ["-y", "-s", "256", "-o", str(log), "-e", "trace=" + ",".join(f"?{name}" for name in watched)]
    if at is not None:
        options += ["-e", f"inject={at.name}:signal=SIGKILL:when={at.nth}"]
    return [strace, *options, sys.executable, "-m", "assay.proving", str(life)]


def run(command: list[str], *, seconds: float) -> int:
    """Run a command to its end, without a word, and return how it ended."""
    return subprocess.run(command, check=False, capture_output=True, timeout=seconds).returncode


def traced(lines: Iterable[str], warehouse: str) -> Traced:
    """Read what strace wrote of a run, whose points are marked by writes to the null device."""
    found = Traced()
    inside: dict[str, list[str]] = defaultdict(list)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    first: str | None = None
    loose: set[str] = set()
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        thread, call, given = match["thread"] or "", match["call"], match["given"]
        first = thread if first is None else first
        counts[thread][call] += 1
        if call == "write" and (mark := _MARK.match(given)):
            _pass(inside[thread], mark["when"], mark["point"])
            if mark["point"].startswith(PUBLISH) and mark["when"] == BEFORE:
                found.unsynced |= loose
        elif (path := _path(given, warehouse)) and (call in _CHANGING or _makes(given)):
            point = _point(thread, path, inside)
            if point is None:
                found.outside.append(f"{call} {path}")
            else:
                found.under[point] += 1
            if call in _CHANGING:
                found.calls.add(Call(call, counts[thread][call], thread == first))
            _follow(loose, call, path)
    return found


def _follow(loose: set[str], call: str, path: str) -> None:
    """Keep account of what a loss of power would take: what was written, and not forced to the disk since."""
    folder = path.rpartition("/")[0] or "."
    if call in _SYNCING or call in _REMOVING:
        loose.discard(path)
    elif not path.startswith(_NOT_PUBLISHED):
        # The name of a new file is written in its folder.
        loose |= {path, folder} if call in (*_OPENING, "mkdir", "mkdirat", "rename") else {path}


def _path(given: str, warehouse: str) -> str | None:
    """Return the path under the warehouse that a call is about, relative to it."""
    match = re.search(re.escape(warehouse) + r'(?=[/">])([^"<>]*)', given)
    return None if match is None else match[1].lstrip("/") or "."


def _makes(given: str) -> bool:
    """Return whether opening a file makes or empties it; SQLite asks to create whatever it opens."""
    return "O_EXCL" in given or "O_TRUNC" in given


def _point(thread: str, path: str, inside: Mapping[str, list[str]]) -> str | None:
    """Return the point that a call lies under: of its thread, or of the one that threads of the engine write for."""
    if inside.get(thread):
        return inside[thread][-1]
    plain = "/".join(part for part in path.split("/") if not part.isdigit())
    writing = (points[-1] for points in inside.values() if points)
    return next((point for point in writing if plain.startswith(point.partition(" ")[2] + "/")), None)


def _pass(inside: list[str], when: str, point: str) -> None:
    if when == BEFORE:
        inside.append(point)
    elif inside:
        inside.pop()


def spread(calls: Iterable[Call], most: int) -> list[Call]:
    """Return at most so many calls, evenly over all."""
    every = sorted(calls)
    count = min(most, len(every))
    return [every[n * len(every) // count] for n in range(count)]
