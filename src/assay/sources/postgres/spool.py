"""Rows of a table on their way to the engine: a file of text values, as COPY writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from assay.sources.postgres.connection import Connection


@dataclass(frozen=True, slots=True)
class Spool:
    """A file of rows: null is nothing, and an empty text stands in quotes.

    Behind the columns stands one more: the names of those that the row does not bring, as a JSON array, or an empty
    text.
    """

    path: Path
    columns: tuple[str, ...]
    rows: int
    longest: int
    """Bytes of the longest row."""
    bare: bool = False
    """Whether nothing stands behind the columns."""


def copy_rows(
    connection: Connection, columns: Sequence[str], table: sql.Composable, where: sql.Composable, to: Path
) -> Spool:
    """Write the rows of a table that a condition holds for."""
    query = sql.SQL("copy (select {}, '' from {} where {}) to stdout (format csv)").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), table, where
    )
    longest = 0
    with connection.cursor() as cursor, to.open("wb") as file:
        with cursor.copy(query) as copy:
            for row in copy:
                longest = max(longest, len(row))
                file.write(row)
        return Spool(to, tuple(columns), cursor.rowcount, longest)
