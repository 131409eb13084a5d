"""The folder that an engine spills to, and others may write to: it goes with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
import weakref
from contextlib import suppress
from pathlib import Path

_PREFIX = "assay-spill-"
_LOCK = "lock"
_OPENING_SECONDS = 60.0
"""How long it may take until a folder that was just made is locked."""


class Spill:
    """A folder that this process alone uses; the system drops its lock when the process ends, however it does."""

    def __init__(self, folder: str | None = None) -> None:
        """Make it in a folder, or among the system's temporary files, and remove what processes have left there."""
        parent = Path(folder or tempfile.gettempdir())
        _sweep(parent)
        made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = os.open(made / "made", os.O_WRONLY | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Under its name it is locked from the first moment on: one that can be locked is of a process that has ended.
        (made / "made").rename(made / _LOCK)
        self.name = str(made / "spilled")
        self.room = str(made)
        self._remove = weakref.finalize(self, _remove, made, lock)

    def close(self) -> None:
        """Remove it."""
        self._remove()


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _sweep(parent: Path) -> None:
    """Remove folders whose process has ended without doing so: killed, it can have left much."""
    for folder in parent.glob(f"{_PREFIX}*"):
        # What is another user's, or goes at this moment, is somebody else's to remove.
        with suppress(OSError):
            if folder.stat().st_uid == os.geteuid() and _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_WRONLY)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > _OPENING_SECONDS
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
