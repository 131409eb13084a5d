"""The user as whom a server runs: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assay.model.errors import WarehouseError
from assay.warehouses.postgres.server.home import Home

_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user and its group."""

    uid: int
    gid: int

    @classmethod
    def of(cls, home: Home) -> Account:
        """Return who runs the server of a folder: this process's user or, where that is root, its owner or another.

        Raises WarehouseError where the data belongs to somebody else, or where there is no user to take.
        """
        made = home.data.exists()
        owner = (home.data if made else home.folder).stat()
        if os.geteuid() != 0:
            if made and owner.st_uid != os.geteuid():
                raise WarehouseError(f"{home.folder}: belongs to {_name(owner.st_uid)}; only they and root can use it.")
            return cls(os.geteuid(), os.getegid())
        if owner.st_uid != 0:
            return cls(owner.st_uid, _group(owner))
        for name in _UNPRIVILEGED:
            try:
                found = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(found.pw_uid, found.pw_gid)
        raise WarehouseError("PostgreSQL refuses to run as root, and there is no user postgres or nobody. Add one.")

    @property
    def name(self) -> str:
        """The user's name."""
        return _name(self.uid)

    @property
    def _is_own(self) -> bool:
        return self.uid == os.geteuid()

    def owns(self, path: Path) -> None:
        """Give it a file or folder that this process has made."""
        if not self._is_own:
            os.chown(path, self.uid, self.gid)

    @contextmanager
    def reaching(self, folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield a folder's name for the user's processes, and the descriptors that these must inherit for it.

        The folders above may be closed to the user, as root's home is; an open descriptor leads past them.
        """
        if self._is_own:
            yield str(folder), ()
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)

    def started(
        self,
        command: Sequence[str | Path],
        *,
        keep: Sequence[int] = (),
        output: int,
        text: int = subprocess.DEVNULL,
        first: Callable[[], None] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process of the user, which inherits the descriptors to keep; `first` is called in it.

        `output` and `text`, what it says and reads, are descriptors or what subprocess has for them.
        """
        uid, gid, groups = (None, None, None) if self._is_own else (self.uid, self.gid, ())
        return subprocess.Popen(
            command,
            stdin=text,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=keep,
            cwd="/",
            user=uid,
            group=gid,
            extra_groups=groups,
            preexec_fn=first,  # noqa: PLW1509 the keeper has no thread yet
        )


def _group(owner: os.stat_result) -> int:
    """Return the group of a folder's owner, who may have the folder in another group."""
    try:
        return pwd.getpwuid(owner.st_uid).pw_gid
    except KeyError:
        return owner.st_gid


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
