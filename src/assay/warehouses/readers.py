"""Who reads a lake, and which state: a lock on a file for each state read, which the system drops with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.warehouses import layout

OPENING = "opening"
"""The lock of a reader that has yet to find out which state it will read."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A lock on one state; closing it lets the state go."""

    path: Path
    descriptor: int | None
    """None in a lake where nothing can be written: its readers have the time that the retention gives them."""

    def close(self) -> None:
        """Drop the lock, and remove its file where nobody else holds one on it; call it once."""
        if self.descriptor is None:
            return
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path.unlink(missing_ok=True)
        except OSError:
            pass  # another reads the same state, and removes it when it has ended
        finally:
            os.close(self.descriptor)


def hold(root: Path, state: str) -> Hold:
    """Lock a state against removal, beside any others who read it."""
    path = root / layout.READERS / state
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_there(descriptor, path):
                return Hold(path, descriptor)
            # A vacuum has removed the file between the two calls: nobody had locked it yet.
            os.close(descriptor)
    except OSError:
        return Hold(path, None)


def held(root: Path) -> frozenset[str]:
    """Return the states that are being read; the files of those that nobody reads any more are removed."""
    return frozenset(_held(root / layout.READERS))


def _held(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(descriptor, path):
                path.unlink()
        except BlockingIOError:
            yield path.name
        finally:
            os.close(descriptor)


def _is_there(descriptor: int, path: Path) -> bool:
    """Return whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
