"""Who holds a lease: this process, told apart from every other on every host, and whether it still lives."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """One process: `place` is its host since its last start, with its process namespace."""

    place: str
    pid: int
    started: str

    @classmethod
    def here(cls) -> Owner:
        """Return this process."""
        pid = os.getpid()
        return cls(_place(), pid, _started(pid))

    @classmethod
    def nobody(cls) -> Owner:
        """Return the owner that is no process: only time can tell that it is gone."""
        return cls("", 0, "")

    @classmethod
    def from_text(cls, text: str) -> Owner:
        """Rebuild an owner from `to_text`."""
        return cls(**json.loads(text))

    def to_text(self) -> str:
        """Return plain text for the control tables."""
        return json.dumps(asdict(self))

    def shares_uptime(self) -> bool:
        """Return whether it counts the time since the same start of the same machine."""
        return bool(_boot()) and self.place == _place()

    def is_surely_dead(self) -> bool:
        """Return whether the process has ended; False where this host cannot tell."""
        if self.place != _place():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        # The number may have been given to another process since.
        return _started(self.pid) != self.started


def _place() -> str:
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {_boot()} {namespace}".strip()


def _boot() -> str:
    return _read(Path("/proc/sys/kernel/random/boot_id"))


def _started(pid: int) -> str:
    # The command's name stands in brackets and may hold anything; the start time is the 20th field behind it.
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    if len(fields) > 19 and fields[0] != "Z":
        return fields[19]
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
