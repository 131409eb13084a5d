"""What a proof has found: a verdict for each thing that was tried, and the rows that differ."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["same", "order-dependent", "differs", "failed"]
"""order-dependent: the file's own rows stood in another order, and what differs is by position, as declared."""
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """How the content of one table differs from what it is as delivered."""

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    as_delivered: tuple[Row, ...]
    """Some of the rows that are only there as delivered."""
    here: tuple[Row, ...]
    """Some of the rows that are only there in what was tried."""
    rows: int
    """How many rows there are that only one of them has."""

    @property
    def telling(self) -> tuple[str, ...]:
        """The columns worth a look: the key, and those in which the rows differ."""
        return tuple(
            name
            for n, name in enumerate(self.columns)
            if name in self.key
            or sorted(repr(r[n]) for r in self.as_delivered) != sorted(repr(r[n]) for r in self.here)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the difference as plain data."""
        return {
            "table": self.table,
            "rows": self.rows,
            "only_as_delivered": [dict(zip(self.columns, row, strict=True)) for row in self.as_delivered],
            "only_here": [dict(zip(self.columns, row, strict=True)) for row in self.here],
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one thing that was tried."""

    tried: str
    runs: int
    verdict: Verdict
    detail: str = ""
    differing: tuple[str, ...] = ()
    """Tables whose content is another, each after what it reads."""
    first: Difference | None = None
    """Of the first of them that should not differ."""

    @property
    def ok(self) -> bool:
        """Whether it went as promised."""
        return self.verdict in ("same", "order-dependent")

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return {
            "tried": self.tried,
            "runs": self.runs,
            "verdict": self.verdict,
            "detail": self.detail,
            "tables": list(self.differing),
            "first": self.first.to_json() if self.first else None,
        }


@dataclass(frozen=True, slots=True)
class Proof:
    """What `assay prove` found."""

    pipeline: str
    as_of: dt.date
    tables: int
    findings: Sequence[Finding]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether all that was tried went as promised."""
        return all(finding.ok for finding in self.findings)

    @property
    def runs(self) -> int:
        """How many runs were made."""
        return sum(finding.runs for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the proof as plain data."""
        return {
            "pipeline": self.pipeline,
            "as_of": self.as_of.isoformat(),
            "ok": self.ok,
            "tables": self.tables,
            "runs": self.runs,
            "seconds": round(self.seconds, 1),
            "findings": [finding.to_json() for finding in self.findings],
        }
