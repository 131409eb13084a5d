"""What a warehouse tells of runs that were: the history, a run's own record, and what an undo did."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.model.outcome import UnitRun

_DIGITS = 18
"""Of the longest number that every database takes."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """One line of the history."""

    id: int
    pipeline: str
    state: str
    as_of: str
    started_at: str
    ended_at: str | None
    published: int | None
    """The order of publishing, None for a run that published nothing."""
    rows: int
    undone: tuple[int, ...] = ()
    """Of an undo: the runs that it undid."""
    problems: tuple[str, ...] = ()
    tables: tuple[str, ...] = field(default=())
    """The tables that got new content."""

    @property
    def seconds(self) -> float | None:
        """How long it took; None for one whose end nobody has recorded."""
        if self.ended_at is None:
            return None
        return (dt.datetime.fromisoformat(self.ended_at) - dt.datetime.fromisoformat(self.started_at)).total_seconds()


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What a run has recorded of itself, as plain data."""

    id: int
    state: str
    plan: Mapping[str, Any]
    nodes: Mapping[str, Mapping[str, Any]]
    """What each node, or step of a workflow, did, by name."""
    problems: tuple[str, ...] = ()
    """Why it was not published, where it has ended so."""
    tables: tuple[str, ...] = ()
    """Which of the nodes are tables, where it has ended."""

    @property
    def units(self) -> dict[str, UnitRun]:
        """What each step of a workflow did."""
        return {name: UnitRun.from_json(name, body) for name, body in self.nodes.items()}

    @property
    def is_planned(self) -> bool:
        """Whether it came so far as to record what it was to do, without which nobody can go on with it."""
        return "options" in self.plan


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did."""

    run: int
    """The run that it is."""
    undone: tuple[int, ...]
    """The runs that are undone, in the order of their publishing."""
    tables: Mapping[str, int | None]
    """Rows of each table that was brought back, None for one that was not there before."""


def read_at(text: str) -> int | dt.datetime:
    """Return the published state that a text names: the number of a run, or a time such as 2024-12-01T08:00 in UTC.

    Raises ValueError where it is neither.
    """
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
        return int(text)
    return dt.datetime.fromisoformat(text)
