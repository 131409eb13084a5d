"""How a workflow ended: what each of its phases, and each pipeline, task and workflow in them, did and when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from assay.model.run import RunResult
from assay.model.workflow import UnitKind

UnitStatus = Literal["done", "failed", "blocked"]
"""done: it ended well. failed: after its retries. blocked: an earlier phase did not end well, so it did not begin."""


@dataclass(frozen=True, slots=True)
class UnitRun:
    """What one pipeline, task or workflow did in a workflow's run."""

    name: str
    kind: UnitKind
    status: UnitStatus
    run: int | None = None
    """The number of its own run; None for a task, and where there was nothing to do."""
    value: Any = None
    """What a task returned."""
    error: str | None = None
    attempts: int = 0
    retried: tuple[str, ...] = ()
    """The error of each attempt that was retried."""
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    result: RunResult | WorkflowResult | None = None
    """Of a pipeline or workflow that ran now; it is recorded as a run of its own."""

    @property
    def seconds(self) -> float:
        """Wall time from its first attempt to the end of its last."""
        return _seconds([self])

    @classmethod
    def from_json(cls, name: str, body: Mapping[str, Any]) -> UnitRun:
        """Return what `to_json` was made of."""
        started, ended = (
            dt.datetime.fromisoformat(body[at]) if body[at] else None for at in ("started_at", "ended_at")
        )
        plain = {field: body[field] for field in ("kind", "status", "run", "value", "error", "attempts")}
        return cls(name, retried=tuple(body["retried"]), started_at=started, ended_at=ended, **plain)

    def to_json(self) -> dict[str, Any]:
        """Return what is recorded of it, as plain data."""
        return {
            "kind": self.kind,
            "status": self.status,
            "run": self.run,
            "value": self.value,
            "error": self.error,
            "attempts": self.attempts,
            "retried": list(self.retried),
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class WorkflowResult:
    """How a workflow ended; `--json` prints `to_json`."""

    run: int
    """The number of its run in the warehouse."""
    workflow: str
    state: Literal["done", "failed"]
    as_of: dt.date
    phases: Mapping[str, tuple[UnitRun, ...]]
    seconds: float
    problems: tuple[str, ...] = ()
    """What failed, a sentence each."""

    @property
    def ok(self) -> bool:
        """Whether every phase has ended well."""
        return self.state == "done"

    @property
    def units(self) -> dict[str, UnitRun]:
        """What each pipeline, task and workflow did, by name."""
        return {unit.name: unit for units in self.phases.values() for unit in units}

    def as_run(self) -> RunResult:
        """Return what is recorded of the workflow's own run, which publishes nothing itself."""
        return RunResult(self.run, self.workflow, self.state, self.as_of, {}, {}, self.seconds, self.problems)

    def to_json(self) -> dict[str, Any]:
        """Return the whole result as plain data."""
        return {
            "run": self.run,
            "workflow": self.workflow,
            "state": self.state,
            "as_of": self.as_of.isoformat(),
            "seconds": round(self.seconds, 3),
            "problems": list(self.problems),
            "phases": {
                phase: {"seconds": round(_seconds(units), 3), "units": {unit.name: _told(unit) for unit in units}}
                for phase, units in self.phases.items()
            },
        }


def _seconds(units: Iterable[UnitRun]) -> float:
    """Return the wall time from the first beginning to the last end."""
    times = [(unit.started_at, unit.ended_at) for unit in units]
    begun = [start for start, _ in times if start is not None]
    ended = [end for _, end in times if end is not None]
    return (max(ended) - min(begun)).total_seconds() if begun and ended else 0.0


def _told(unit: UnitRun) -> dict[str, Any]:
    return unit.to_json() | ({"result": unit.result.to_json()} if unit.result else {})
