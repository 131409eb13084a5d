"""What happens in a run or workflow, as it happens: one frozen record each, of which every observer is a function."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from assay.model.outcome import UnitRun, WorkflowResult
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


@dataclass(frozen=True, slots=True)
class WorkflowStarted:
    """A workflow has its number; resuming starts it again. The runs of its pipelines tell of themselves too."""

    workflow: str
    run: int
    as_of: dt.date
    phases: tuple[str, ...]
    at: dt.datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase begins: all in it side by side."""

    workflow: str
    run: int
    phase: str
    units: tuple[str, ...]
    """What is to be done in it now: a resume leaves out what has ended well."""
    at: dt.datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class UnitEnded:
    """A pipeline, task or workflow in a phase has ended, well or not."""

    workflow: str
    run: int
    phase: str
    unit: UnitRun
    at: dt.datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class PhaseEnded:
    """All in a phase have ended."""

    workflow: str
    run: int
    phase: str
    ok: bool
    """Whether all ended well, so that the next phase begins."""
    at: dt.datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class WorkflowEnded:
    """A workflow is done or has failed, and is recorded so."""

    result: WorkflowResult
    at: dt.datetime = field(default_factory=_now)


WorkflowEvent = WorkflowStarted | PhaseStarted | UnitEnded | PhaseEnded | WorkflowEnded
Event = RunStarted | NodeStarted | NodeEnded | RunEnded | WorkflowEvent
Observer = Callable[[Event], None]
"""Told of each event as it happens, also from worker threads. It never changes anything."""
