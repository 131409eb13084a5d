"""The indexes of keys: one for each table, which goes when the table gets another key."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from psycopg import sql
from sqlalchemy import Connection

from assay.model.published import TableShape
from assay.warehouses.postgres.content import driver
from assay.warehouses.postgres.tables import relation

_INDEXES = """
select i.relname, x.indisunique,
  x.indisunique and i.relname ~ '_idx[0-9]*$' and not exists (select from pg_constraint where conindid = i.oid),
  (select array_agg(a.attname::text) from unnest((x.indkey::smallint[])[0:x.indnkeyatts - 1]) k(attnum)
     join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.attnum)
from pg_index x join pg_class i on i.oid = x.indexrelid
where x.indrelid = to_regclass(%s) and x.indisvalid and x.indpred is null and x.indexprs is null
order by i.relname
"""


@dataclass(frozen=True, slots=True)
class _Index:
    name: str
    unique: bool
    own: bool
    """Whether it is unique and has the name that a server gives: people name theirs, or declare them as constraints."""
    columns: frozenset[str]


def new_index(shape: TableShape) -> Iterator[sql.Composed]:
    """Yield the statement that makes the index of a table's key."""
    if shape.key:
        key = sql.SQL(", ").join(map(sql.Identifier, shape.key))
        kind = sql.SQL("unique index" if _tells_rows_apart(shape) else "index")
        yield sql.SQL("create {} on {} ({})").format(kind, relation(shape.dataset), key)


def outdated(connection: Connection, shape: TableShape) -> Iterator[sql.Composed]:
    """Yield statements that drop indexes of earlier keys: rows that are told apart by the key of now may be equal."""
    layer = shape.dataset.partition(".")[0]
    for index in _indexes(connection, shape):
        if index.own and index.columns != {*shape.key}:
            yield sql.SQL("drop index {}").format(sql.Identifier(layer, index.name))


def missing_index(connection: Connection, shape: TableShape, there: Collection[str]) -> Iterator[sql.Composed]:
    """Yield the statement that makes the index of a key which a table, with columns that are there, has not had.

    There is none as long as rows of an earlier key are equal by this one: no run needs it.
    """
    unique = _tells_rows_apart(shape)
    has = any(each.columns == {*shape.key} and each.unique >= unique for each in _indexes(connection, shape))
    if there and not has and not (unique and {*shape.key} <= {*there} and _is_doubled(connection, shape)):
        yield from new_index(shape)


def _tells_rows_apart(shape: TableShape) -> bool:
    # An index over all partitions can tell that a key is there once only where it tells the partition.
    return {*shape.partition_by[:1]} <= {*shape.key}


def _is_doubled(connection: Connection, shape: TableShape) -> bool:
    key = sql.SQL(", ").join(map(sql.Identifier, shape.key))
    query = sql.SQL("select from {0} group by {1} having count(*) > 1 limit 1").format(relation(shape.dataset), key)
    return bool(shape.key) and driver(connection).execute(query).fetchone() is not None


def _indexes(connection: Connection, shape: TableShape) -> list[_Index]:
    rows = driver(connection).execute(_INDEXES, [relation(shape.dataset).as_string()]).fetchall()
    return [_Index(name, unique, own, frozenset(columns or ())) for name, unique, own, columns in rows]
