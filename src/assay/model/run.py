"""A run: what was asked for, what each table did, and how it ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from assay.model.check import Verdict
from assay.model.ledger import ControlTotal, Ledger
from assay.model.selection import Selection
from assay.model.source import Mended

RunState = Literal["staged", "published", "unchanged", "failed", "undone", "done"]
"""done: a workflow has, whose pipelines published in runs of their own."""
Status = Literal["written", "unchanged", "skipped", "computed", "failed", "blocked"]
"""written: staged with new content. unchanged: equal to what is published, or nothing it reads has changed.
computed: a view or source was. failed: after its retries. blocked: by something it reads. skipped: not chosen."""
DONE: tuple[Status, ...] = ("written", "unchanged", "computed")
"""Of a step that did what it was to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a table's function may know of its run."""

    as_of: dt.date
    """The run's own date: the only clock."""


@dataclass(frozen=True, slots=True)
class RunHandle:
    """A run under way: its number and the token that fences it."""

    id: int
    token: int
    started_at: dt.datetime


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a user asked of one run."""

    as_of: dt.date
    select: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    full: bool = False
    allow_duplicates: bool = False
    """Whether a file may be loaded whose content is known under another name."""
    redo: bool = False
    """Whether deliveries that an undo took away are loaded again."""
    allow_empty: bool = False
    """Whether a file that brought rows may be delivered again without any."""
    month: str | None = None
    """The month to rebuild, as 2024-11, in tables that have months."""
    date: dt.date | None = None
    """The day to rebuild, in tables that have days."""
    backfill: bool = False
    """Whether to compute anew from what is stored, without a look at the sources."""
    mended: tuple[Mended, ...] = ()
    """What to load instead of looking at the sources."""
    dated: bool = False
    """Whether the user gave the date, so that stamps show it, rather than the clock."""

    @property
    def selections(self) -> tuple[Selection, ...]:
        """The tables that were asked for."""
        return tuple(Selection.of(text) for text in self.select)

    def to_json(self) -> dict[str, Any]:
        """Return them as plain data."""
        return {n: value.isoformat() if isinstance(value, dt.date) else value for n, value in asdict(self).items()}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> RunOptions:
        """Rebuild them from `to_json`; what an older run did not record was not asked of it."""
        dates = {name: dt.date.fromisoformat(body[name]) for name in ("as_of", "date") if body.get(name)}
        lists = {name: tuple(body.get(name, ())) for name in ("select", "layers")}
        mended = tuple(Mended.from_json(each) for each in body.get("mended", ()))
        return cls(**{**body, **dates, **lists, "mended": mended})


@dataclass(frozen=True, slots=True)
class NodeRun:
    """What one table, view or source did in one run."""

    name: str
    status: Status
    reason: str
    rows: int | None = None
    """Rows of the table as it stands if the run is published."""
    ledger: Ledger = field(default_factory=Ledger)
    verdicts: tuple[Verdict, ...] = ()
    attempts: int = 1
    retried: tuple[str, ...] = ()
    """The error of each attempt that was retried."""
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    error: str | None = None
    quarantine: tuple[str, ...] = ()
    unaccounted: int = 0
    """Rows that went in and did not come out, of a table whose grain states no equation."""
    along: tuple[NodeRun, ...] = ()
    """What was done with this node: views that it was found to need, sources that are read in one snapshot with it."""
    may_pass: bool = False
    """Whether a failure may pass if it is tried again: what assay itself refuses, it would refuse again."""
    traceback: str | None = field(default=None, repr=False)
    """Of the error; for people who look for its cause, so that it is told on request and not recorded."""

    @property
    def seconds(self) -> float:
        """Wall time from first attempt to last."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return (self.ended_at - self.started_at).total_seconds()

    @classmethod
    def from_json(cls, name: str, body: Mapping[str, Any]) -> NodeRun:
        """Return what `to_json` was made of, but for what was done along, and files of the quarantine."""
        plain = ("returned", "rejected", "deduplicated", "written", "inserted", "updated", "unchanged", "deleted")
        totals = tuple(
            ControlTotal(t["total"], t["went_in"], t["came_out"], agrees=t["agrees"]) for t in body["totals"]
        )
        times = {at: dt.datetime.fromisoformat(body[at]) if body[at] else None for at in ("started_at", "ended_at")}
        return cls(
            name=name,
            ledger=Ledger(
                read=body["read"], filtered=body["filtered_by"], totals=totals, **{line: body[line] for line in plain}
            ),
            verdicts=tuple(Verdict(v["check"], v["action"], v["broken"], v["detail"]) for v in body["checks"]),
            retried=tuple(body["retried"]),
            started_at=times["started_at"],
            ended_at=times["ended_at"],
            **{field: body[field] for field in ("status", "reason", "rows", "attempts", "error", "unaccounted")},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` prints for one table."""
        ledger = self.ledger
        return {
            "status": self.status,
            "reason": self.reason,
            "rows": self.rows,
            "read": dict(ledger.read),
            "filtered": ledger.filtered_rows,
            "filtered_by": dict(ledger.filtered),
            "returned": ledger.returned,
            "rejected": ledger.rejected,
            "deduplicated": ledger.deduplicated,
            "inserted": ledger.inserted,
            "updated": ledger.updated,
            "deleted": ledger.deleted,
            "unchanged": ledger.unchanged,
            "written": ledger.written,
            "unaccounted": self.unaccounted,
            "totals": [
                {"total": t.name, "went_in": t.went_in, "came_out": t.came_out, "agrees": t.agrees}
                for t in ledger.totals
            ],
            "checks": [
                {"check": v.check, "action": v.action, "broken": v.broken, "detail": v.detail} for v in self.verdicts
            ],
            "attempts": self.attempts,
            "retried": list(self.retried),
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended; `--json` prints `to_json`."""

    run: int | None
    """The run's number in its warehouse; None when there was nothing to do, so that none was made."""
    pipeline: str
    state: RunState
    as_of: dt.date
    nodes: Mapping[str, NodeRun]
    tables: Mapping[str, NodeRun]
    seconds: float
    problems: tuple[str, ...] = ()
    """Why it was not published, a sentence each."""
    peak_memory_bytes: int | None = None
    """The most memory that the process had held by the end; None where the system does not tell."""
    warnings: tuple[str, ...] = ()
    """What else is to be known, a clause each: of a mirror, the published tables that were not read."""

    @classmethod
    def failed(cls, run: int, pipeline: str, problem: str) -> RunResult:
        """Return the result of a run that ended before any table was computed."""
        today = dt.datetime.now(dt.UTC).date()
        return cls(run, pipeline, "failed", today, {}, {}, 0.0, (problem,))

    @property
    def ok(self) -> bool:
        """Whether the warehouse now holds what was asked for."""
        return self.state in ("published", "unchanged", "done")

    def to_json(self) -> dict[str, Any]:
        """Return the whole result as plain data."""
        return {
            "run": self.run,
            "pipeline": self.pipeline,
            "state": self.state,
            "as_of": self.as_of.isoformat(),
            "seconds": round(self.seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "tables": {name: node.to_json() for name, node in self.tables.items()},
            "steps": {name: node.to_json() for name, node in self.nodes.items() if name not in self.tables},
        }
