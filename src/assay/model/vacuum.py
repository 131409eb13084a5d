"""Vacuuming: how much of the past is kept, and what went because nothing needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["data", "metadata", "quarantine", "leftover", "rows"]
"""data: files of tables and sources that no kept state has. metadata: what only other programs read of such states.
quarantine: rejected rows of runs of which nothing stands. leftover: what runs left that published nothing of it: files,
and schemas in which dbt was at work. rows: what the control tables tell of runs beyond the retention."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Which published states are kept: those of the newest runs, and all of the last days."""

    runs: int
    days: float

    def __str__(self) -> str:
        return f"the last {self.runs} runs and {self.days:g} days"


@dataclass(frozen=True, slots=True)
class Removed:
    """How much of one kind went, or would go."""

    count: int
    bytes: int

    def __add__(self, more: Removed) -> Removed:
        """Return both together."""
        return Removed(self.count + more.count, self.bytes + more.bytes)


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What a vacuum removed, or would remove."""

    removed: bool
    """False where nothing was asked to be removed, or where a reader still needs it."""
    kinds: Mapping[Kind, Removed]
    oldest: int | None
    """The oldest run whose state can be read from now on; None where every state can."""
    readers: tuple[int, ...] = ()
    """Runs whose states are kept just because they are being read."""

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` prints."""
        return {
            "removed": self.removed,
            "oldest": self.oldest,
            "readers": list(self.readers),
            "kinds": {kind: {"count": found.count, "bytes": found.bytes} for kind, found in self.kinds.items()},
        }
