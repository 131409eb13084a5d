"""Counting what became of a table's rows, each line of its ledger from its own place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import narwhals as nw
from narwhals import col

from assay.model.check import RowCheck, Verdict
from assay.model.ledger import ControlTotal, Number
from assay.model.ports import Frame, Session
from assay.model.rows import Groups
from assay.model.table import Table
from assay.model.write import Append
from assay.quality.checks import agree, any_broken, broken, not_null, total_of
from assay.transform.drop import Dropped


@dataclass(frozen=True, slots=True)
class Judged:
    """What one scan over a function's rows found."""

    returned: int
    rejected: int
    verdicts: tuple[Verdict, ...]


def row_checks(table: Table) -> tuple[RowCheck, ...]:
    """Return the table's row checks, with the one that its key implies: rows are updated by keys that are not null.

    Appended rows are never looked up by their key, and in deduplication null equals null.
    """
    own = tuple(check for check in table.checks if isinstance(check, RowCheck))
    implied = table.key and not isinstance(table.write, Append) and not _key_covered(table, own)
    return (not_null(*table.key), *own) if implied else own


def judge_rows(session: Session, frame: Frame, checks: Sequence[RowCheck]) -> Judged:
    """Judge all row checks in one scan."""
    rejecting = [check for check in checks if check.action == "reject"]
    flags = {f"c{n}": broken(check) for n, check in enumerate(checks)} | {"rejected": any_broken(rejecting)}
    flagged = frame.select(*(_number(flag).alias(name) for name, flag in flags.items()))
    ((returned, *counts, rejected),) = session.fetch(flagged.select(nw.len(), *(col(name).sum() for name in flags)))
    verdicts = tuple(Verdict(c.name, c.action, int(n)) for c, n in zip(checks, counts, strict=True))
    return Judged(int(returned), int(rejected), verdicts)


def count_keys(session: Session, frame: Frame, key: Sequence[str]) -> int:
    """Return the number of distinct keys: what deduplication must leave, counted without deduplicating."""
    return scalar(session, frame.group_by(*key).agg(nw.len()).select(nw.len()))


def filtered(session: Session, dropped: Sequence[Dropped]) -> dict[str, int]:
    """Return the rows dropped for each reason."""
    counts: dict[str, int] = {}
    for drop in dropped:
        rows = scalar(session, drop.before.select(_number(drop.gone).sum()))
        counts[drop.reason] = counts.get(drop.reason, 0) + rows
    return counts


def control_totals(
    session: Session, grain: Groups, frame: Frame, read: Frame, dropped: Sequence[Dropped]
) -> tuple[ControlTotal, ...]:
    """Return each control total as it went in, less what was dropped by name, and as it came out."""
    wanted: list[tuple[str, str | None]] = list(grain.totals.items())
    if grain.count is not None:
        wanted.append((grain.count, None))
    found = []
    for out, column in wanted:
        went_in = _fetch(session, total_of(read, column, count=False))
        for drop in dropped:
            gone = drop.before.filter(drop.gone)
            columns = gone.collect_schema().names()
            # Dropped before grouping a row counts for itself, after it for all that it stands for.
            counted = out if out in columns else column
            if counted is None or counted in columns:
                went_in -= _fetch(session, total_of(gone, counted, count=False))
        came_out = _fetch(session, total_of(frame, out, count=False))
        found.append(ControlTotal(out, _plain(went_in), _plain(came_out), agree(went_in, came_out)))
    return tuple(found)


def scalar(session: Session, frame: Frame) -> int:
    """Return the one number of a frame with one row and one column; null is 0."""
    return int(_fetch(session, frame))


def _fetch(session: Session, frame: Frame) -> Any:
    ((value,),) = session.fetch(frame)
    return value if value is not None else 0


def _number(flag: nw.Expr) -> nw.Expr:
    return flag.cast(nw.Int64())


def _plain(value: Any) -> Number:
    return str(value) if isinstance(value, Decimal) else value


def _key_covered(table: Table, checks: Sequence[RowCheck]) -> bool:
    """Return whether the table itself says what happens to rows without a key."""
    named = (check for check in checks if check.name.startswith("not_null(") and check.action != "warn")
    said = {name for check in named for name in check.columns}
    return set(table.key) <= said


def rejected_with_reasons(frame: Frame, checks: Sequence[RowCheck]) -> tuple[Frame, Mapping[str, str]]:
    """Return the rejected rows with one flag a check, and the check that each flag stands for."""
    rejecting = [check for check in checks if check.action == "reject"]
    names = {f"_assay_reason_{n}": check.name for n, check in enumerate(rejecting)}
    flags = [broken(check).alias(name) for name, check in zip(names, rejecting, strict=True)]
    return frame.filter(any_broken(rejecting)).with_columns(*flags), names
