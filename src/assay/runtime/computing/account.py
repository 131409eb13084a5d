"""Counting what became of a table's rows, each line of its ledger from its own place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import narwhals as nw
from narwhals import col, when

from assay.model.check import Reconciles, RowCheck, Verdict
from assay.model.ledger import ControlTotal, Number
from assay.model.ports import Frame, Session
from assay.model.rows import Grain, Groups
from assay.model.table import Table
from assay.model.write import Append
from assay.quality.checks import agree, any_broken, broken, not_null, size_of, total_of
from assay.transform.drop import Dropped

_LOOKS_AROUND = re.compile(r"\bover\b", re.IGNORECASE)


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


@dataclass(frozen=True, slots=True)
class Loss:
    """What one `drop_where` took away."""

    reason: str
    rows: int
    totals: Mapping[str, Any]
    """By column, where the frame had it and it can be summed."""
    before: Frame
    """The frame that it was taken from."""


def losses(session: Session, dropped: Sequence[Dropped], grain: Grain) -> tuple[Loss, ...]:
    """Return what was dropped, with the columns' sums that the grain's control totals need.

    Drops that follow on each other directly share one scan.
    """
    wanted = (
        [] if not isinstance(grain, Groups) else [*grain.totals, *grain.totals.values(), *filter(None, [grain.count])]
    )
    found: list[Loss] = []
    for chain in _chains(session, dropped):
        before = chain[0].before
        known = before.collect_schema()
        # An input may have a text under the name of a total.
        columns = [column for column in dict.fromkeys(wanted) if column in known and _is_summed(known[column])]
        flags = _gone_first(chain)
        sums = {
            f"c{n}_{m}": when(gone).then(col(column))
            for n, gone in enumerate(flags)
            for m, column in enumerate(columns)
        }
        counts = {f"rows{n}": _number(gone) for n, gone in enumerate(flags)}
        flagged = before.select(*(e.alias(name) for name, e in (counts | sums).items()))
        (row,) = session.fetch(flagged.select(col(name).sum() for name in (*counts, *sums)))
        totals = iter(row[len(chain) :])
        for drop, rows in zip(chain, row, strict=False):
            sums_of = {column: next(totals) or 0 for column in columns}
            found.append(Loss(drop.reason, int(rows or 0), sums_of, drop.before))
    return tuple(found)


def _chains(session: Session, dropped: Sequence[Dropped]) -> list[list[Dropped]]:
    """Return drops in groups that one scan can count: each takes rows from what the one before it left.

    An expression that looks at other rows means another thing before a drop than after it, and stands alone.
    """
    chains: list[list[Dropped]] = []
    for drop in dropped:
        follows = chains and drop.before is chains[-1][-1].after
        if follows and not _LOOKS_AROUND.search(session.definition(drop.before.select(drop.gone.alias("gone")))):
            chains[-1].append(drop)
        else:
            chains.append([drop])
    return chains


def _gone_first(chain: Sequence[Dropped]) -> list[nw.Expr]:
    """Return for each drop of a chain which rows it took, among all that stood before the first."""
    flags: list[nw.Expr] = []
    for drop in chain:
        earlier = [~other.gone for other in chain[: len(flags)]]
        flags.append(nw.all_horizontal(*earlier, drop.gone, ignore_nulls=False))
    return flags


def filtered(lost: Sequence[Loss]) -> dict[str, int]:
    """Return the rows dropped for each reason."""
    counts: dict[str, int] = {}
    for loss in lost:
        counts[loss.reason] = counts.get(loss.reason, 0) + loss.rows
    return counts


def control_totals(
    session: Session, grain: Groups, frame: Frame, read: Frame, lost: Sequence[Loss]
) -> tuple[ControlTotal, ...]:
    """Return each control total as it went in, less what was dropped by name, and as it came out."""
    wanted: list[tuple[str, str | None]] = list(grain.totals.items())
    if grain.count is not None:
        wanted.append((grain.count, None))
    into = _totals(session, read, [column for _, column in wanted])
    out_of = _totals(session, frame, [out for out, _ in wanted])
    found = []
    for (out, column), went_in, came_out in zip(wanted, into, out_of, strict=True):
        left = went_in - sum(_taken(session, loss, out, column, read) for loss in lost)
        found.append(_compared(session, out, (left, came_out), [(read, column), (frame, out)]))
    return tuple(found)


def reconciled(session: Session, check: Reconciles, mine: Frame, other: Frame) -> ControlTotal:
    """Return the total over another table as it went in, and the sum of the checked one's column as it came out."""
    ((there,),) = session.fetch(total_of(other, check.other_column, count=check.count))
    ((here,),) = session.fetch(total_of(mine, check.column, count=False))
    summed = [(mine, check.column), (other, None if check.count else check.other_column)]
    return _compared(session, check.name, (there or 0, here or 0), summed)


def _compared(
    session: Session, name: str, totals: tuple[Any, Any], summed: Sequence[tuple[Frame, str | None]]
) -> ControlTotal:
    def size() -> float:
        return max(float(_fetch(session, size_of(frame, column))) for frame, column in summed if column is not None)

    return ControlTotal(name, _plain(totals[0]), _plain(totals[1]), agree(*totals, size))


def _taken(session: Session, loss: Loss, out: str, column: str | None, read: Frame) -> Any:
    """Return what a loss took from a control total.

    Dropped before grouping a row counts for itself, after it for all that it stands for.
    """
    own = loss.rows if column is None else loss.totals.get(column)
    of_group = loss.totals.get(out)
    if own is None or of_group is None:
        return (of_group if own is None else own) or 0
    # Where the input has a column of that name, it may be that and not the result's.
    is_namesake = out in read.collect_schema().names() and not _is_grouped(session, loss.before, read)
    return own if is_namesake else of_group


def _is_grouped(session: Session, frame: Frame, read: Frame) -> bool:
    from assay.runtime.tracing.grouping import is_grouped

    return is_grouped(session.definition(frame), session.definition(read))


def _is_summed(kind: nw.dtypes.DType) -> bool:
    return kind.is_numeric() or kind == nw.Boolean


def _totals(session: Session, frame: Frame, columns: Sequence[str | None]) -> list[Any]:
    """Return the sum of each column, or without a column the number of rows, in one scan."""
    sums = [(nw.len() if column is None else col(column).sum()).alias(f"t{n}") for n, column in enumerate(columns)]
    (row,) = session.fetch(frame.select(*sums))
    return [value if value is not None else 0 for value in row]


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
