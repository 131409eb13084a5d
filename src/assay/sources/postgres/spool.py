"""Rows of a table on their way to the engine: a file of text values, as COPY writes them."""

from __future__ import annotations

import select
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psycopg
import psycopg.pq.abc
from psycopg import pq, sql

from assay.sources.postgres.connection import Connection

_AT_ONCE_BYTES = 1 << 18


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

    @property
    def mean(self) -> int:
        """Bytes of a row on average."""
        return self.path.stat().st_size // max(self.rows, 1)


def copy_rows(
    connection: Connection, columns: Sequence[str], table: sql.Composable, where: sql.Composable, to: Path
) -> Spool:
    """Write the rows of a table that a condition holds for."""
    # A row that is just a null would be an empty line, and no row.
    bare = len(columns) > 1
    query = sql.SQL("copy (select {}{} from {} where {}) to stdout (format csv)").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL("" if bare else ", ''"), table, where
    )
    with to.open("wb", buffering=_AT_ONCE_BYTES) as file:
        count, longest = _copied(connection, query, file)
    return Spool(to, tuple(columns), count, longest, bare)


def _copied(connection: Connection, query: sql.Composable, to: BinaryIO) -> tuple[int, int]:
    """Write the rows of a COPY, and return how many they are, and the bytes of the longest.

    All that have come are written before more are waited for: the driver's own loop waits for each, and takes eight
    times as long. Millions go through this one.
    """
    pgconn, longest = connection.pgconn, 0
    get, write = pgconn.get_copy_data, to.write
    try:
        _check(pgconn.exec_(query.as_bytes(connection)), pq.ExecStatus.COPY_OUT)
        coming = select.poll()
        coming.register(pgconn.socket, select.POLLIN)
        size, row = get(1)
        while size >= 0:
            if size:
                write(row)
                if size > longest:  # noqa: PLR1730 - max() would take as long as all else that is done here
                    longest = size
            else:
                coming.poll()
                pgconn.consume_input()
            size, row = get(1)
        count = 0
        while result := pgconn.get_result():
            _check(result, pq.ExecStatus.COMMAND_OK)
            count = result.command_tuples or 0
    except BaseException:
        # In the middle of a COPY, it can be asked nothing else.
        connection.close()
        raise
    return count, longest


def _check(result: pq.abc.PGresult, expected: pq.ExecStatus) -> None:
    if result.status != expected:
        raise psycopg.errors.error_from_result(result)
