"""Judging any frame by checks, outside of any run: a table in memory, a file, the result of a query."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
from narwhals import LazyFrame, col

from assay.model.check import Check, Complete, FreshWithin, HasType, RowCheck, RowCount, Unique, Verdict
from assay.model.errors import DeclarationError
from assay.quality.checks import any_broken, broken, count_own


@dataclass(frozen=True, slots=True)
class Assessment:
    """What checks found in a frame."""

    rows: int
    verdicts: tuple[Verdict, ...]
    sound: int
    """Rows that break none of the checks over rows."""

    @property
    def ok(self) -> bool:
        """Whether nothing breaks any check."""
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def score(self) -> float:
        """The share of rows that break none of the checks over rows; 1 for no rows."""
        return self.sound / self.rows if self.rows else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data: a report."""
        checks = [{"check": v.check, "action": v.action, "broken": v.broken} for v in self.verdicts]
        return {"rows": self.rows, "sound": self.sound, "score": self.score, "checks": checks}


def assess(frame: Any, checks: Sequence[Check], *, as_of: dt.date | None = None) -> Assessment:
    """Judge a frame of Polars, pandas, Arrow or DuckDB by checks such as `not_null("id")`, in the order given.

    `as_of` is the day that `fresh_within` counts from. Raises DeclarationError for checks that need other tables.
    """
    given = nw.from_native(frame)
    lazy: LazyFrame[Any] = given.lazy() if isinstance(given, nw.DataFrame) else given
    by_row = [check for check in checks if isinstance(check, RowCheck)]
    counts = {f"c{n}": broken(check) for n, check in enumerate(by_row)} | {"any": any_broken(by_row)}
    flags = lazy.select(**{name: flag.cast(nw.Int64()) for name, flag in counts.items()}) if by_row else None
    rows = _one(lazy.select(nw.len()))
    found = _first(flags.select(*(col(name).sum() for name in counts))) if flags is not None else [0]
    *broken_rows, unsound = [int(count or 0) for count in found]
    # By place: two checks may have one name.
    of_row = iter(broken_rows)
    verdicts = []
    for check in checks:
        match check:
            case RowCheck():
                number = next(of_row)
            case Unique() | RowCount() | FreshWithin() | Complete() | HasType():
                number = _one(count_own(lazy, check, as_of or dt.date.max))
            case _:
                raise DeclarationError(f"{check.name} looks at another table; a frame has none beside it.")
        verdicts.append(Verdict(check.name, check.action, number))
    return Assessment(rows, tuple(verdicts), rows - unsound)


def _first(frame: LazyFrame[Any]) -> list[Any]:
    return list(frame.collect().row(0))


def _one(frame: LazyFrame[Any]) -> int:
    return int(_first(frame)[0] or 0)
