"""The most memory that this process has held at once."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.platform != "win32":
    import resource

_STATUS = Path("/proc/self/status")
"""Where Linux tells it of this program alone; `getrusage` also counts the one that started it."""


def peak_memory() -> int | None:
    """Return the peak resident size of this process in bytes; None where the system does not tell."""
    if _STATUS.is_file():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return _by_usage()


def _by_usage() -> int | None:
    if sys.platform == "win32":
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
