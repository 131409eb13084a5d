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


def why_whole(
    source: PostgresTable, table: ServerTable, known: Watermark | None, server: str, xid: int | None
) -> str | None:
    """Return why all rows must be read; None where those that have changed are enough."""
    if known is None:
        return "it has never been read"
    other = [name for name, mark in known.columns.items() if table.marks.get(name, mark) != mark]
    renamed = [label for n, label in known.labels.items() if table.labels.get(n, label) != label]
    passed = xid - (known.xid or 0) if xid is not None and _goes_by_marks(source, known) else 0
    reasons = {
        "all its rows are read each time": source.mode == "full",
        "it was made anew since it was read": known.oid != table.oid,
        "its database was restored, or another server has taken over": known.server != server,
        f"it was read by mode {known.mode!r} before": known.mode != source.mode,
        f"{', '.join(other)} is another column than when it was read": bool(other),
        f"{', '.join(renamed)} is called otherwise in its enum": bool(renamed),
        "it was last read too many transactions ago": passed > _OLDEST,
    }
    return next((why for why, holds in reasons.items() if holds), None)


def sought(source: PostgresTable, table: ServerTable, since: Watermark) -> sql.Composable:
    """Return the condition for the rows that are to be read: those that have changed, and all of new partitions.

    What was attached as one may have been written long before.
    """
    new = table.parts - {*since.parts} if since.parts is not None else frozenset()
    if not new:
        return changed(source, since)
    return sql.SQL("({} or tableoid = any ({}::oid[]))").format(changed(source, since), sorted(new))


def changed(source: PostgresTable, since: Watermark) -> sql.Composable:
    """Return the condition for rows that the last reading cannot have seen as they are."""
    if _goes_by_marks(source, since):
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


def _goes_by_marks(source: PostgresTable, since: Watermark) -> bool:
    """Return whether rows are found by the transactions that wrote them: by stamps, where their horizon is known."""
    return source.mode == "xmin" or since.stamp is None
