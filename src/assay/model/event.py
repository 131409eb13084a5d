"""What happens in a run, as it happens: one frozen record each, of which every observer is a function."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from assay.model.run import NodeRun, RunResult

NodeKind = Literal["source", "view", "table"]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run has its plan, and where there is something to do its number; resuming starts it again."""

    pipeline: str
    run: int | None
    as_of: dt.date
    nodes: int
    """How many sources, views and tables will end."""
    at: dt.datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A source, view or table is being read or computed; one that stands as it is never starts."""

    pipeline: str
    run: int
    name: str
    kind: NodeKind
    at: dt.datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class NodeEnded:
    """A source, view or table is staged, stands as it is, has failed or is blocked."""

    pipeline: str
    run: int
    node: NodeRun
    kind: NodeKind
    at: dt.datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run is published, unchanged or failed, and recorded so."""

    result: RunResult
    at: dt.datetime = field(default_factory=_now)


Event = RunStarted | NodeStarted | NodeEnded | RunEnded
Observer = Callable[[Event], None]
"""Told of each event as it happens, also from worker threads. It never changes anything."""
