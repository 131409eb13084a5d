"""How each mode finds the rows that a reading must bring, and when all of them are needed."""

from __future__ import annotations

from psycopg import sql

from assay.model.database import PostgresTable
from assay.sources.postgres.catalog import ServerTable
from assay.sources.postgres.watermark import Watermark

_HALF = 1 << 31
_OLDEST = 1_000_000_000
"""Transactions; a table that was last read longer ago is read whole, before its row marks can be mistaken."""
_ANY_ZONE = "26 hours"
"""A stamp without a time zone may be of any: so far are two of them apart."""


def why_whole(source: PostgresTable, table: ServerTable, known: Watermark | None, xid: int | None) -> str | None:
    """Return why all rows must be read; None where those that have changed are enough."""
    if known is None:
        return "it has never been read"
    if source.mode == "full":
        return "all its rows are read each time"
    if known.oid != table.oid:
        return "it was made anew since it was read"
    if known.mode != source.mode:
        return f"it was read by mode {known.mode!r} before"
    if source.mode == "xmin" and xid is not None and xid - (known.xid or 0) > _OLDEST:
        return "it was last read too many transactions ago"
    return None


def changed(source: PostgresTable, since: Watermark) -> sql.Composable:
    """Return the condition for rows that the last reading cannot have seen as they are."""
    if source.mode == "xmin":
        # Row marks have 32 bits and go round.
        mark = sql.Literal((since.xid or 0) % (2 * _HALF))
        return sql.SQL("(xmin::text::bigint - {mark} + {round}) % {round} < {half}").format(
            mark=mark, round=sql.Literal(2 * _HALF), half=sql.Literal(_HALF)
        )
    stamp = sql.Identifier(str(source.updated))
    if source.columns[str(source.updated)] == "TIMESTAMPTZ":
        return sql.SQL("({stamp} >= {since}::timestamptz or {stamp} is null)").format(
            stamp=stamp, since=sql.Literal(since.stamp)
        )
    return sql.SQL("({stamp} >= {since}::timestamptz at time zone 'UTC' - {zone}::interval or {stamp} is null)").format(
        stamp=stamp, since=sql.Literal(since.stamp), zone=sql.Literal(_ANY_ZONE)
    )
