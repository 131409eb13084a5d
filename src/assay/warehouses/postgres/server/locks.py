"""Locks on files, which the system drops when the last process that holds them has ended, however it ended."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True, slots=True)
class Lock:
    """A file that is open to be locked; processes that are started with its descriptor hold the same lock."""

    descriptor: int

    @classmethod
    def on(cls, path: Path) -> Lock:
        """Open a file, which is made where it is missing; nothing is locked yet."""
        # Nobody but its owner locks it: who could, could keep a server from ever stopping.
        return cls(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))

    def share(self) -> bool:
        """Lock the file beside others who share it; False where one has it alone."""
        return self._locked(fcntl.LOCK_SH)

    def take(self) -> bool:
        """Lock the file alone; False where any other has locked it."""
        return self._locked(fcntl.LOCK_EX)

    def wait(self) -> None:
        """Lock the file alone, when all others have let it go; those who come meanwhile may share it before."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def drop(self) -> None:
        """Let the file go, for all processes that hold this same lock."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def _locked(self, kind: int) -> bool:
        try:
            fcntl.flock(self.descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # The lock itself stays with the processes that have inherited it.
        os.close(self.descriptor)
