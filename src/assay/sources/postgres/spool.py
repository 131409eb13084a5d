"""Rows of a table on their way to the engine: a file of text values, as COPY writes them."""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    query = sql.SQL("copy (select {}, '' from {} where {}) to stdout (format csv)").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), table, where
    )
    count = longest = 0
    with to.open("wb", buffering=_AT_ONCE_BYTES) as file:
        for row in _copied(connection, query):
            count += 1
            longest = max(longest, len(row))
            file.write(row)
    return Spool(to, tuple(columns), count, longest)


def _copied(connection: Connection, query: sql.Composable) -> Iterator[memoryview]:
    """Yield the rows of a COPY: all that have come, before more are waited for.

    The driver's own loop waits for each, and takes four times as long.
    """
    pgconn = connection.pgconn
    try:
        _check(pgconn.exec_(query.as_bytes(connection)), pq.ExecStatus.COPY_OUT)
        coming = select.poll()
        coming.register(pgconn.socket, select.POLLIN)
        size, row = pgconn.get_copy_data(1)
        while size >= 0:
            if size:
                yield row
            else:
                coming.poll()
                pgconn.consume_input()
            size, row = pgconn.get_copy_data(1)
        while result := pgconn.get_result():
            _check(result, pq.ExecStatus.COMMAND_OK)
    except BaseException:
        # In the middle of a COPY, it can be asked nothing else.
        connection.close()
        raise


def _check(result: pq.abc.PGresult, expected: pq.ExecStatus) -> None:
    if result.status != expected:
        raise psycopg.errors.error_from_result(result)
