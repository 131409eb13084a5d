"""Who reads a lake, and which state: a lock on a file for each state read, which the system drops with its process."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from assay.model.errors import WarehouseError
from assay.warehouses import layout

OPENING = "opening"
"""The lock of a reader that has yet to find out which state it will read."""
_MAY_NOT = (errno.EACCES, errno.EPERM, errno.EROFS)


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
    """Lock a state against removal, beside any others who read it; raises WarehouseError where that fails."""
    path = root / layout.READERS / state
    with _named(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                with ExitStack() as closing:
                    descriptor = _open(path, os.O_CREAT)
                    closing.callback(os.close, descriptor)
                    fcntl.flock(descriptor, fcntl.LOCK_SH)
                    if _is_there(descriptor, path):
                        closing.pop_all()
                        return Hold(path, descriptor)
                    # A vacuum has removed the file between the two calls: nobody had locked it yet.
        except OSError as error:
            if error.errno in _MAY_NOT:
                return Hold(path, None)
            raise


def held(root: Path) -> frozenset[str]:
    """Return the states that are being read; the files of those that nobody reads any more are removed.

    Raises WarehouseError where that cannot be found out.
    """
    folder = root / layout.READERS
    with _named(folder):
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return frozenset(path.name for path in paths if _is_held(path))


def _is_held(path: Path) -> bool:
    with _named(path), ExitStack() as closing:
        try:
            descriptor = _open(path)
            closing.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        if _is_there(descriptor, path):
            # Where only its owner may remove it, it stays: nobody holds it.
            with suppress(PermissionError):
                path.unlink()
    return False


def _open(path: Path, flags: int = 0) -> int:
    """Open the file of a lock; that of another user can be locked, too, though it cannot be written."""
    try:
        # NFS lets nobody lock a file for himself alone who cannot write it.
        return os.open(path, os.O_RDWR | flags, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY | flags, 0o666)


def _is_there(descriptor: int, path: Path) -> bool:
    """Return whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file that cannot be locked."""
    try:
        yield
    except OSError as error:
        raise WarehouseError(f"{path}: cannot be locked for those who read: {error.strerror}.") from error
