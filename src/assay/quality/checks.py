"""The rules that tables can carry, and how each is counted over a frame."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, assert_never

import narwhals as nw
from narwhals import Expr, LazyFrame, col, lit

from assay.model.check import (
    Action,
    Complete,
    CrossCheck,
    FreshWithin,
    HasType,
    OwnCheck,
    Reconciles,
    References,
    RowCheck,
    RowCount,
    TableAction,
    Unique,
)
from assay.model.errors import DeclarationError
from assay.model.given import shown
from assay.model.schema import CLOSE, canonical_type
from assay.model.table import Table
from assay.quality.either import any_of

BROKEN = "broken"
"""The column of every count: how many rows, or cases, break the check."""
_KINDS = {
    "BOOLEAN": nw.Boolean,
    "INTEGER": nw.Int32,
    "BIGINT": nw.Int64,
    "REAL": nw.Float32,
    "DOUBLE": nw.Float64,
    "DECIMAL": nw.Decimal,
    "DATE": nw.Date,
    "TIME": nw.Time,
    "TIMESTAMP": nw.Datetime,
    "VARCHAR": nw.String,
    "BLOB": nw.Binary,
}
"""SQL types as frames have them."""


def fails_when(name: str, broken: Expr, action: Action = "warn") -> RowCheck:
    """Return a check of your own: the expression is true for rows that break it; null breaks nothing."""
    return RowCheck(name, broken, action)


def flagged(column: str, name: str, action: Action = "reject") -> RowCheck:
    """Return a check broken by rows in which a BOOLEAN column is true.

    The function returns the column for this check alone, and it is not stored: so a rule can look at other tables, as
    `flagged("is_orphan", "its customer is unknown")` does.
    """
    return RowCheck(name, col(column), action, (column,), flag=column)


def not_null(*columns: str, action: Action = "block") -> RowCheck:
    """Return a check broken by rows in which one of the columns is null."""
    _need_columns("not_null", columns)
    return RowCheck(
        f"not_null({', '.join(columns)})",
        any_of([col(c).is_null() for c in columns]),
        action,
        columns,
    )


def between(column: str, low: Any, high: Any, action: Action = "warn") -> RowCheck:
    """Return a check broken by rows in which the column is below `low` or above `high`."""
    _check_bounds(f"between({column}, {low}, {high})", low, high)
    return RowCheck(f"between({column}, {low}, {high})", (col(column) < low) | (col(column) > high), action, (column,))


def matches(column: str, pattern: str, action: Action = "warn") -> RowCheck:
    """Return a check broken by rows whose text nowhere fits the regular expression; ^ and $ stand for its ends."""
    return RowCheck(f"matches({column}, {pattern})", ~col(column).str.contains(pattern), action, (column,))


def lengths(column: str, low: int, high: int, action: Action = "warn") -> RowCheck:
    """Return a check broken by rows whose text has fewer characters than `low`, or more than `high`."""
    _check_bounds(f"lengths({column}, {low}, {high})", low, high)
    count = col(column).str.len_chars()
    return RowCheck(f"lengths({column}, {low}, {high})", (count < low) | (count > high), action, (column,))


def accepted(column: str, values: Collection[Any], action: Action = "warn") -> RowCheck:
    """Return a check broken by rows whose value is not one of those listed."""
    if isinstance(values, str | bytes) or not isinstance(values, Collection):
        raise DeclarationError(
            f"accepted({column!r}, {shown(values)}): write a list of values, as in accepted({column!r}, ['a', 'b'])."
        )
    texts = [str(value) for value in values]
    # A set has another order in every process; the name of a check has one.
    listed = ", ".join(texts if isinstance(values, Sequence) else sorted(texts))
    return RowCheck(f"accepted({column}: {listed})", ~col(column).is_in(list(values)), action, (column,))


def unique(*columns: str, action: TableAction = "block") -> Unique:
    """Return a check broken by each row beyond the first of those that agree in all the columns."""
    _need_columns("unique", columns)
    return Unique(f"unique({', '.join(columns)})", columns, action)


def row_count(*, min: int | None = None, max: int | None = None, action: TableAction = "warn") -> RowCount:  # noqa: A002
    """Return a check broken by a table with fewer rows than `min`, or more than `max`."""
    if min is None and max is None:
        raise DeclarationError("row_count() needs min=, max= or both.")
    if min is not None and max is not None:
        _check_bounds(f"row_count(min={min}, max={max})", min, max)
    limits = [f"min={min}"] * (min is not None) + [f"max={max}"] * (max is not None)
    return RowCount(f"row_count({', '.join(limits)})", min, max, action)


def fresh_within(column: str, *, days: int, action: TableAction = "warn") -> FreshWithin:
    """Return a check broken when the newest date of the column is more than `days` before the run's as-of date."""
    return FreshWithin(f"fresh_within({column}, {days} days)", column, days, action)


def complete(column: str, share: float = 1.0, action: TableAction = "warn") -> Complete:
    """Return a check broken by a table in which less than a share of the column's values, 0 to 1, are there."""
    return Complete(f"complete({column}, {share:g})", column, share, action)


def has_type(column: str, kind: str, action: TableAction = "block") -> HasType:
    """Return a check broken by a column that is not of the SQL type, whatever its length or precision."""
    if _KINDS.get(canonical_type(kind).partition("(")[0]) is None:
        raise DeclarationError(f"has_type({column!r}, {kind!r}): the types are {', '.join(_KINDS)}.")
    return HasType(f"has_type({column}, {kind})", column, kind, action)


def references(column: str, other: str, action: TableAction = "block") -> References:
    """Return a check broken by each row whose value does not stand in the other table: `"silver_customer.id"`."""
    table, other_column = _dotted("references", other)
    if other_column is None:
        raise DeclarationError(f"references({column!r}, {other!r}): name the column too, as in '{other}.{column}'.")
    return References(f"references({column}, {other})", column, table, other_column, action)


def reconciles(column: str, other: str, *, count: bool = False, action: TableAction = "block") -> Reconciles:
    """Return a check broken when the sum of the column differs from a total over another table.

    `"silver_booking.booking_value"` is that column's sum, with `count=True` the number of its values;
    `"silver_booking"` alone is the number of rows. Sums of DOUBLE agree within 1e-9 of what was summed.
    """
    table, other_column = _dotted("reconciles", other)
    what = f"count of {other}" if count else other
    return Reconciles(f"reconciles({column}, {what})", column, table, other_column, count, action)


def any_broken(checks: Sequence[RowCheck]) -> Expr:
    """Return an expression that is true for rows breaking at least one of the checks."""
    return any_of([broken(check) for check in checks])


def broken(check: RowCheck) -> Expr:
    """Return the check's expression with null read as not broken."""
    return check.broken.fill_null(value=False)


def count_own(frame: LazyFrame[Any], check: OwnCheck, as_of: dt.date) -> LazyFrame[Any]:
    """Return one row whose column `broken` counts how often the table breaks its own check."""
    match check:
        case Unique(columns=columns):
            complete = frame.filter(*(~col(c).is_null() for c in columns))
            each = complete.group_by(*columns).agg(_assay_n=nw.len())
            return each.select((col("_assay_n").sum() - nw.len()).alias(BROKEN))
        case RowCount(minimum=low, maximum=high):
            rows = frame.select(_assay_n=nw.len())
            outside = col("_assay_n") < (low or 0)
            if high is not None:
                outside = outside | (col("_assay_n") > high)
            return rows.select(nw.when(outside).then(lit(1)).otherwise(lit(0)).alias(BROKEN))
        case FreshWithin(column=column, days=days):
            newest = frame.select(_assay_newest=col(column).cast(nw.Date()).max())
            stale = col("_assay_newest").is_null() | (col("_assay_newest") < as_of - dt.timedelta(days=days))
            return newest.select(nw.when(stale).then(lit(1)).otherwise(lit(0)).alias(BROKEN))
        case Complete(column=column, share=share):
            counts = frame.select(_assay_rows=nw.len(), _assay_null=col(column).is_null().cast(nw.Int64()).sum())
            enough = (col("_assay_rows") - col("_assay_null")) >= col("_assay_rows") * share
            # An empty table lacks nothing; a sum over it is null on some engines.
            lacking = nw.when(~enough).then(col("_assay_null")).otherwise(lit(0))
            return counts.select(lacking.fill_null(0).alias(BROKEN))
        case HasType(column=column, type=kind):
            wrong = frame.collect_schema()[column] != _KINDS[canonical_type(kind).partition("(")[0]]
            return frame.select((nw.len() * 0 + int(wrong)).alias(BROKEN))
        case _:
            assert_never(check)


def count_orphans(frame: LazyFrame[Any], check: References, other: LazyFrame[Any]) -> LazyFrame[Any]:
    """Return one row whose column `broken` counts the rows that refer to nothing."""
    known = other.select(col(check.other_column).alias(check.column))
    given = frame.select(check.column).filter(~col(check.column).is_null())
    return given.join(known, on=check.column, how="anti").select(nw.len().alias(BROKEN))


def total_of(frame: LazyFrame[Any], column: str | None, *, count: bool) -> LazyFrame[Any]:
    """Return one row with a total: the column's sum, the number of its values, or (no column) the number of rows."""
    if column is None:
        return frame.select(nw.len().alias("total"))
    return frame.select((col(column).count() if count else col(column).sum()).alias("total"))


def size_of(frame: LazyFrame[Any], column: str) -> LazyFrame[Any]:
    """Return one row with how much a column's sum adds up, whatever the signs: what its rounding is a part of."""
    return frame.select(col(column).cast(nw.Float64()).abs().sum().alias("size"))


def agree(one: Any, other: Any, size: Callable[[], float]) -> bool:
    """Return whether two totals are equal; floats within 1e-9 of the size of what was summed, which may cancel out.

    The size is asked for where they differ. Infinity equals itself, and NaN itself.
    """
    if not isinstance(one, float) and not isinstance(other, float):
        return bool(one == other)
    one, other = float(one), float(other)
    if not (math.isfinite(one) and math.isfinite(other)):
        return bool(one == other) or (math.isnan(one) and math.isnan(other))
    return bool(one == other) or abs(one - other) <= CLOSE * max(abs(one), abs(other), size())


def flags_of(table: Table) -> tuple[str, ...]:
    """Return the columns that a table's function returns for its checks alone."""
    return tuple(check.flag for check in table.checks if isinstance(check, RowCheck) and check.flag is not None)


def columns_of(check: RowCheck | OwnCheck | CrossCheck) -> tuple[str, ...]:
    """Return the columns of its own table that a check needs, as far as they are known."""
    match check:
        case RowCheck(columns=columns) | Unique(columns=columns):
            return columns
        case RowCount():
            return ()
        case Complete(column=column) | HasType(column=column) | FreshWithin(column=column):
            return (column,)
        case References(column=column) | Reconciles(column=column):
            return (column,)
        case _:
            assert_never(check)


def _check_bounds(name: str, low: Any, high: Any) -> None:
    """Raise DeclarationError for bounds that nothing lies between."""
    try:
        swapped = bool(low > high)
    except TypeError:
        # Of two kinds, or known with the rows alone, as that of another column is.
        return
    if swapped:
        raise DeclarationError(f"{name}: nothing lies between these; write the lower bound first.")


def _need_columns(name: str, columns: tuple[str, ...]) -> None:
    if not columns:
        raise DeclarationError(f"{name}() names at least one column.")


def _dotted(name: str, other: str) -> tuple[str, str | None]:
    table, dot, column = other.partition(".")
    if not table or (dot and not column):
        raise DeclarationError(f"{name}(..., {other!r}): write the other side as 'silver_customer.customer_id'.")
    return table, column or None
