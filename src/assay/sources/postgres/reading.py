"""Reading tables of a database: what has changed since the last time, by each table's mode."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import sql

from assay.model.database import PostgresTable, parts_of, quoted
from assay.model.errors import SourceError
from assay.sources.postgres import catalog, modes
from assay.sources.postgres.connection import Connection
from assay.sources.postgres.looking import Asked
from assay.sources.postgres.snapshot import Snapshot
from assay.sources.postgres.spool import Spool, copy_rows
from assay.sources.postgres.watermark import Watermark

_NOW = "select to_regclass(%s)::oid::bigint, array(select relid::oid::bigint from pg_partition_tree(%s::oid::regclass))"
_REWRITTEN = """
select exists (
  select from pg_locks l left join pg_class c on c.oid = l.relation
  where l.pid = pg_backend_pid() and l.locktype = 'relation'
    and l.database = (select oid from pg_database where datname = current_database())
    and case
      when c.oid is null then pg_relation_filenode(l.relation) is not null and pg_get_indexdef(l.relation) is null
      else c.relkind in ('r', 'm') and c.relfilenode <> pg_relation_filenode(c.oid) and c.relfilenode <> 0 end)
"""
"""Whether a table that the transaction has read has its rows in another file than the snapshot says, or is none of its
tables. What was read, of views too, is what it holds a lock on, so that none of this can change any more. The catalog's
own tables have no such file, and an index may be made anew."""


class RewrittenError(SourceError):
    """A table whose rows were all written anew between snapshot and reading, which makes it empty for the snapshot."""

    def __init__(self, relation: str) -> None:
        """Name the table."""
        super().__init__(
            f"{relation}: whenever it was about to be read, another transaction had emptied and loaded it, made it "
            "anew, rewritten it or swapped its partitions. Run again when that is done, or let it be done between runs."
        )
        self.relation = relation


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reading of a table gave."""

    rows: Spool
    complete: bool
    """Whether these are all rows there are."""
    watermark: Watermark
    keys: Spool | None = None
    """All keys there are, where rows that are gone are looked for."""
    deleted: Spool | None = None
    """Keys of rows that were deleted; a row that came again with the same key stands in `rows`."""
    count: int | None = None
    """How many rows the table has, where that can tell that some were missed."""
    missing: tuple[str, ...] = ()
    """Declared columns that the table has no more."""
    columns: tuple[str, ...] = ()
    """All that the table has."""
    partial: bool = False
    """Whether some rows do not bring all columns, but name those that they leave as they were."""
    unindexed: bool = False
    """Whether rows were looked for by a stamp that no index begins with."""
    failed: str | None = None
    """Why the log of the database could not tell what has changed, so that all rows were read."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found that could change anything."""
        return not (self.rows.rows or self.complete or self.keys or self.deleted)


def read(asked: Asked, snapshot: Snapshot, connection: Connection, folder: Path, *, whole: bool) -> Reading:
    """Read what has changed in a table, or all of it, into files of the folder.

    Raises RewrittenError where the snapshot cannot see its rows any more: read it again in another one.
    """
    source = asked.source
    table = catalog.declared(connection, source, asked.columns)
    missing = catalog.missing_columns(source, table)
    since = Watermark.from_text(asked.watermark) if asked.watermark else None
    whole = whole or modes.why_whole(source, table, since, snapshot.server, snapshot.xid) is not None
    columns = [column for column in source.columns if column not in missing]
    name = catalog.quoted(source.relation)
    where = sql.SQL("true") if whole or since is None else modes.sought(source, table, since)
    rows = copy_rows(connection, columns, name, where, folder / "rows.csv")
    _check_same(connection, source.relation, table)
    watermark = _watermark(source, table, snapshot, since, rows.rows)
    found = Reading(
        rows=rows,
        complete=whole,
        watermark=watermark,
        missing=missing,
        columns=tuple(table.columns),
        unindexed=source.mode == "horizon" and source.updated not in table.indexed,
    )
    if whole or not source.key:
        return found
    count = _count(connection, name)
    if source.deletes and (rows.rows or count != asked.rows):
        # Where no row has come and as many are there, none has gone.
        keys = copy_rows(connection, source.key, name, sql.SQL("true"), folder / "keys.csv")
        return replace(found, keys=keys, count=count)
    return replace(found, count=count)


def _check_same(connection: Connection, relation: str, table: catalog.ServerTable) -> None:
    """Raise RewrittenError where a table that has been read is not the one that the snapshot knows.

    TRUNCATE, DROP and what rewrites a table leave nothing to older snapshots, and say nothing either.
    """
    now = connection.execute(_NOW, [quoted(*parts_of(relation)), table.oid]).fetchone()
    rewritten = connection.execute(_REWRITTEN).fetchone()
    assert now is not None
    swapped = table.kind == "p" and {*now[1]} != {table.oid, *table.parts}
    if now[0] != table.oid or swapped or rewritten != (False,):
        raise RewrittenError(relation)


def _watermark(
    source: PostgresTable, table: catalog.ServerTable, snapshot: Snapshot, since: Watermark | None, rows: int
) -> Watermark:
    """Return what the reading tells the next; what a column was stays known while the table lacks it."""
    now = {name: table.marks[name] for name in source.columns if name in table.marks}
    return Watermark(
        mode=source.mode,
        oid=table.oid,
        server=snapshot.server,
        columns={**(since.columns if since else {}), **now},
        parts=sorted(table.parts),
        labels=table.labels,
        stamp=snapshot.stamp,
        xid=snapshot.xid,
        numbered=(since.numbered if since else 0) + rows,
    )


def _count(connection: Connection, name: sql.Identifier) -> int:
    row = connection.execute(sql.SQL("select count(*) from {}").format(name)).fetchone()
    assert row is not None
    return int(row[0])
