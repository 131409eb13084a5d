"""What tables a database has for a role to read, with their columns, keys and comments: asked in one query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import psycopg

from assay.model.errors import SourceError, near_miss
from assay.sources.postgres.connection import connect, explained
from assay.sources.postgres.kinds import is_plain

_TABLES = """
select s.nspname, c.relname, has_table_privilege(c.oid, 'select'),
  coalesce((select json_object_agg(a.attname, format_type(a.atttypid, a.atttypmod) order by a.attnum)
     from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '{}'),
  coalesce((select json_agg(a.attname)
     from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = c.oid and a.attnum > 0 and t.typnamespace = 'pg_catalog'::regnamespace), '[]'),
  coalesce((select json_agg(a.attname order by k.n)
     from pg_index i cross join unnest(i.indkey::smallint[]) with ordinality k(attnum, n)
     join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
    where i.indrelid = c.oid and i.indisprimary and k.n <= i.indnkeyatts
      -- Of rows that tables have which inherit from it, its key says nothing.
      and (c.relkind = 'p' or not exists (select from pg_inherits where inhparent = c.oid))), '[]'),
  coalesce((select json_object_agg(coalesce(a.attname, ''), d.description)
     from pg_description d left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid and d.objsubid > 0
    where d.objoid = c.oid and d.classoid = 'pg_class'::regclass), '{}'),
  c.relkind = 'r' and c.relpersistence = 'p' and c.relreplident in ('d', 'f')
    and not exists (select from pg_inherits where inhparent = c.oid)
from pg_class c join pg_namespace s on s.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
  and s.nspname <> 'information_schema' and s.nspname not like 'pg\\_%'
order by s.nspname, c.relname
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A table of a database."""

    schema: str
    name: str
    readable: bool
    """Whether the role may read it."""
    columns: Mapping[str, str]
    """Name -> type, as the server writes it."""
    common: frozenset[str]
    """Columns of types that every server has."""
    key: tuple[str, ...]
    """Its primary key, where that tells apart all rows that are read."""
    comments: Mapping[str, str]
    """By column; that of the table itself under an empty name."""
    logged: bool
    """Whether the log tells its changes: not those of partitions, for one."""

    @property
    def kinds(self) -> dict[str, str]:
        """The types that its columns have in another database; of one that it may lack, the text."""
        return {name: kind if name in self.common and is_plain(kind) else "text" for name, kind in self.columns.items()}

    @property
    def place(self) -> str:
        """Schema and name, as people write them."""
        return f"{self.schema}.{self.name}"


def tables_of(url: str, wanted: Sequence[str] = ()) -> list[Found]:
    """Return the tables of a database, or those whose names or patterns are wanted: `orders`, `sales.*`.

    Raises SourceError where the database cannot be reached, or a wanted one is not there.
    """
    try:
        with connect(url) as connection:
            rows = connection.execute(_TABLES).fetchall()
    except psycopg.Error as error:
        raise explained(url, error) from None
    found = [Found(row[0], row[1], row[2], row[3], frozenset(row[4]), tuple(row[5]), *row[6:]) for row in rows]
    for pattern in wanted:
        if not any(_is_wanted(each, pattern) for each in found):
            hint = near_miss(pattern, [each.name for each in found] + [each.place for each in found])
            raise SourceError(f"The database has no table {pattern!r} for this role.{hint}")
    return [each for each in found if not wanted or any(_is_wanted(each, pattern) for pattern in wanted)]


def _is_wanted(table: Found, pattern: str) -> bool:
    return fnmatchcase(table.place, pattern) or (table.schema == "public" and fnmatchcase(table.name, pattern))
