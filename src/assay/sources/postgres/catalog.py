"""What a database says of a table, and whether its columns fit those that are declared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from assay.model.database import PostgresTable, parts_of
from assay.model.errors import SourceError, near_miss
from assay.sources.postgres.connection import Connection
from assay.sources.postgres.kinds import fits, natural

_KINDS = {"r": "table", "p": "table", "m": "materialized view", "v": "view", "f": "foreign table"}
_TABLES = ("r", "p")


@dataclass(frozen=True, slots=True)
class ServerTable:
    """A table as it is in the database."""

    oid: int
    """Another where it was dropped and made again."""
    kind: str
    columns: Mapping[str, str]
    """Name -> type, as the server writes it; of a domain, that which it is made of."""
    marks: Mapping[str, str]
    """Name -> what tells a column from another of its name: one that was dropped and added again, or given another
    type, has other values in rows that nobody has written since."""
    key: tuple[str, ...]
    """Its primary key."""
    indexed: frozenset[str]
    """The columns that some index begins with."""
    parts: frozenset[int]
    """The numbers of its partitions and of tables that inherit from it, on all levels: their rows are its own."""
    labels: Mapping[str, str]
    """Number -> label, of the enums in its columns: one that is renamed is another value in rows that nobody has
    written."""


_LOOK = sql.SQL("""
select asked.n, c.oid::bigint, c.relkind::text,
  (select json_object_agg(a.attname, coalesce(
       (with recursive base(id, modifier) as (
          select typbasetype, typtypmod from pg_type where oid = a.atttypid and typtype = 'd' union all
          select t.typbasetype, t.typtypmod from base join pg_type t on t.oid = base.id where t.typtype = 'd')
        select format_type(base.id, modifier) from base join pg_type t on t.oid = base.id where t.typtype <> 'd'),
       format_type(a.atttypid, a.atttypmod)) order by a.attnum)
     from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  (select json_object_agg(a.attname, concat_ws(' ', a.attnum, a.atttypid, a.atttypmod,
       case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end))
     from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  (select json_agg(a.attname order by k.n)
     from pg_index i cross join unnest(i.indkey::smallint[]) with ordinality k(attnum, n)
     join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
    where i.indrelid = c.oid and i.indisprimary and k.n <= i.indnkeyatts),
  (select json_agg(distinct a.attname)
     from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
    where i.indrelid = c.oid and i.indisvalid),
  (with recursive parts(id) as (
     select inhrelid from pg_inherits where inhparent = c.oid union
     select i.inhrelid from parts join pg_inherits i on i.inhparent = parts.id)
   select json_agg(id::bigint) from parts),
  -- Also of those that arrays, domains, ranges and rows are made of.
  (with recursive kinds(id) as (
     select a.atttypid from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped union
     select below.id from kinds join pg_type t on t.oid = kinds.id cross join lateral (
       values (t.typbasetype), (t.typelem) union all
       select rngsubtype from pg_range where rngtypid = t.oid union all
       select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
     ) below(id) where below.id <> 0)
   select json_object_agg(e.oid, e.enumlabel) from kinds join pg_enum e on e.enumtypid = kinds.id)
from unnest(%s::name[], %s::name[]) with ordinality asked(schema, name, n)
join pg_namespace s on s.nspname = asked.schema
join pg_class c on c.relnamespace = s.oid and c.relname = asked.name and c.relkind in ('r', 'p', 'm', 'v', 'f')
""")


def look(connection: Connection, relations: Collection[str]) -> dict[str, ServerTable]:
    """Return what the database says of tables; raises SourceError where there is none of a name."""
    asked = list(dict.fromkeys(relations))
    schemas, names = zip(*map(parts_of, asked), strict=True)
    rows = connection.execute(_LOOK, [list(schemas), list(names)]).fetchall()
    found = {asked[n - 1]: _table(*told) for n, *told in rows}
    for relation in asked:
        if relation not in found:
            raise SourceError(_unknown(connection, relation))
    return found


def declared(connection: Connection, source: PostgresTable, known: tuple[str, ...]) -> ServerTable:
    """Return what the database says of a source's table, which was read with the columns that are known.

    Raises SourceError where it cannot be read as it is declared, as `check` does.
    """
    table = look(connection, [source.relation])[source.relation]
    check(source, table, known)
    return table


def check(source: PostgresTable, table: ServerTable, known: tuple[str, ...]) -> None:
    """Raise SourceError where a table cannot be read as it is declared.

    A column was never there, a type does not hold what is there, or rows cannot be followed by the key.
    """
    _check_columns(source, table, known)
    _check_key(source, table)


def _table(oid: int, kind: str, *told: Any) -> ServerTable:
    columns, marks, key, indexed, parts, labels = told
    return ServerTable(
        oid=oid,
        kind=kind,
        columns=columns or {},
        marks=marks or {},
        key=tuple(key or ()),
        indexed=frozenset(indexed or ()),
        parts=frozenset(parts or ()),
        labels=labels or {},
    )


def _unknown(connection: Connection, relation: str) -> str:
    """Return what is said of a table that is not there."""
    schema, name = parts_of(relation)
    known = connection.execute(
        "select relname from pg_class c join pg_namespace s on s.oid = c.relnamespace "
        "where s.nspname = %s and relkind in ('r', 'p', 'm', 'v', 'f')",
        [schema],
    ).fetchall()
    hint = near_miss(name, [row[0] for row in known])
    return f"{relation}: the database has no such table, or hides it from this role.{hint}"


def missing_columns(source: PostgresTable, table: ServerTable) -> tuple[str, ...]:
    """Return the declared columns that the table has no more: they are read as null."""
    return tuple(name for name in source.columns if name not in table.columns)


def _check_columns(source: PostgresTable, table: ServerTable, known: tuple[str, ...]) -> None:
    place = f"{source.relation}: "
    for name, kind in source.columns.items():
        if name not in table.columns and (name not in known or name in (*source.key, source.updated)):
            raise SourceError(
                f"{place}has no column {name!r}.{near_miss(name, table.columns)} It has: {', '.join(table.columns)}."
            )
        there = table.columns.get(name)
        if there is not None and not fits(there, kind):
            raise SourceError(
                f"{place}{name} is {there} in the database, and declared {kind}; declare it {natural(there)}."
            )


def _check_key(source: PostgresTable, table: ServerTable) -> None:
    if source.key and table.kind == "r" and table.parts:
        raise SourceError(
            f"{source.relation}: tables inherit from it, and their rows, which are read with its own, may have the "
            "same key; read it by mode 'full', without key=."
        )
    if source.key and table.kind in _TABLES and set(table.key) != set(source.key):
        is_key = f"its primary key is {', '.join(table.key)}" if table.key else "it has no primary key"
        raise SourceError(f"{source.relation}: {is_key}, and key= says {', '.join(source.key)}.")
    if source.key and table.kind not in _TABLES:
        kind = _KINDS[table.kind]
        raise SourceError(
            f"{source.relation}: is a {kind}, which has no primary key; read it by mode 'full', without key=."
        )


def quoted(relation: str) -> sql.Identifier:
    """Return the name of a table, quoted."""
    return sql.Identifier(*parts_of(relation))
