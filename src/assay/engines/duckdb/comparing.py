"""Comparing the rows of queries: exactly, but for DOUBLE, which counts as equal within 1e-9 of its size."""

from __future__ import annotations

import duckdb

from assay.engines.duckdb import quoting
from assay.model.schema import CLOSE

_INEXACT = ("DOUBLE", "FLOAT")


def rounded_query(query: str, kinds: dict[str, str]) -> str:
    """Return a SELECT of a query's rows with DOUBLE as text of nine digits."""
    columns = ", ".join(
        f"format('{{:.8e}}', {quoting.name(name)} + 0.0)" if kind in _INEXACT else quoting.name(name)
        for name, kind in kinds.items()
    )
    return f"select {columns} from ({query})"


def same_rows(cursor: duckdb.DuckDBPyConnection, one: str, other: str, kinds: dict[str, str], *, close: bool) -> bool:
    """Return whether two queries give equal rows equally often; a DOUBLE that is close counts as equal, or not."""
    counts = f"select (select count(*) from ({one})) = (select count(*) from ({other}))"
    if cursor.execute(counts).fetchall() != [(True,)]:
        return False
    # Of as many rows, none is only in the other where none is only in the one. Most are equal to the last digit.
    return any(
        not cursor.execute(f"{only_in_query(one, other, kinds, exactly=exactly)} limit 1").fetchall()
        for exactly in ((True, False) if close else (True,))
    )


def only_in_query(one: str, other: str, kinds: dict[str, str], *, exactly: bool = False) -> str:
    """Return a SELECT of the rows of one query that another does not hold as often; `kinds` are their columns' types.

    Rows are taken for equal as they are stored first, which is cheap. Of those left over, each meets the one of the
    other side that has the same exact columns and the same place by its inexact ones.
    """
    columns = ", ".join(map(quoting.name, kinds))
    left, right = f"(select {columns} from ({one}))", f"(select {columns} from ({other}))"
    inexact = [quoting.name(name) for name, kind in kinds.items() if kind in _INEXACT]
    if exactly or not inexact:
        return f"{left} except all {right}"
    exact = [quoting.name(name) for name in kinds if quoting.name(name) not in inexact]
    # By few digits, so that two rows which differ in the last one of a first DOUBLE stand in one order on both sides.
    places = ", ".join(f"format('{{:.6e}}', {name} + 0.0)" for name in inexact)
    by = f"partition by {', '.join(exact)} " if exact else ""
    place = f"row_number() over ({by}order by {places}) as _assay_place"
    same = " and ".join(
        [
            *(f"mine.{name} is not distinct from theirs.{name}" for name in (*exact, "_assay_place")),
            *(close_to(f"mine.{name}", f"theirs.{name}") for name in inexact),
        ]
    )
    return (
        f"with mine as (select *, {place} from ({left} except all {right})), "
        f"theirs as (select *, {place} from ({right} except all {left})) "
        f"select {columns} from mine where not exists (select 1 from theirs where {same})"
    )


def close_to(now: str, was: str) -> str:
    """Return SQL for whether a DOUBLE equals another: null equals null, infinity itself, and NaN itself."""
    size = f"{CLOSE} * greatest(abs({now}), abs({was}))"
    # Infinity is within no distance of a number.
    near = f"(isfinite({now}) and isfinite({was}) and abs({now} - {was}) <= {size})"
    return f"({now} is not distinct from {was} or coalesce({near}, false))"
