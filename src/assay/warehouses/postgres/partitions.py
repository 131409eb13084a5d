"""Partitioned tables: a partition for each value of a column, and one for the values that have none yet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from psycopg import sql
from sqlalchemy import Connection

from assay.model.published import TableShape
from assay.warehouses.postgres.content import driver
from assay.warehouses.postgres.tables import relation

_OTHERS = "others"
_MOST_LETTERS = 20
"""Of a value in a name: PostgreSQL's have at most 63 bytes."""


def by(shape: TableShape) -> sql.Composable:
    """Return what the definition of a table ends with."""
    if not shape.partition_by:
        return sql.SQL("")
    return sql.SQL(" partition by list ({})").format(sql.Identifier(shape.partition_by[0]))


def default_of(shape: TableShape) -> Iterator[sql.Composed]:
    """Yield the statement that makes the partition for values which have none."""
    if shape.partition_by:
        statement = sql.SQL("create table {} partition of {} default")
        yield statement.format(_partition(shape, _OTHERS), relation(shape.dataset))


def new_partitions(connection: Connection, shape: TableShape) -> Iterator[sql.Composed]:
    """Yield statements that give partitions of their own to values which have come up, with their rows.

    A run makes none: it may not change any definition, and rows are found wherever they are.
    """
    others = _partition(shape, _OTHERS)
    if not shape.partition_by or not _is_there(connection, others):
        return
    column, table = sql.Identifier(shape.partition_by[0]), relation(shape.dataset)
    query = sql.SQL("select distinct {0}, {0}::text from {1} where {0} is not null order by 1").format(column, others)
    for value, text in driver(connection).execute(query).fetchall():
        own, one = _partition(shape, text), sql.Literal(value)
        yield sql.SQL("create table {} (like {} including defaults)").format(own, table)
        moved = sql.SQL("with moved as (delete from {} where {} = {} returning *) insert into {} select * from moved")
        yield moved.format(others, column, one, own)
        yield sql.SQL("alter table {} attach partition {} for values in ({})").format(table, own, one)


def _partition(shape: TableShape, name: str) -> sql.Identifier:
    layer, _, entity = shape.dataset.partition(".")
    plain = re.sub(r"[^a-z0-9_]", "_", name)
    if plain != name or len(plain) > _MOST_LETTERS:
        # Names that look alike must not be one.
        plain = f"{plain[:_MOST_LETTERS]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return sql.Identifier(layer, f"{entity}_{plain}")


def _is_there(connection: Connection, partition: sql.Identifier) -> bool:
    found = driver(connection).execute("select to_regclass(%s)", [partition.as_string()]).fetchone()
    return found is not None and found[0] is not None
