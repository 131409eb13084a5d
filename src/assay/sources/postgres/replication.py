"""What a database must have so that its changes can be followed: a server, rights, and tables with keys.

Connections are psycopg's, in autocommit, and set as `pgoutput` says: the text of a value depends on it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from psycopg import Connection, sql
from psycopg.rows import class_row

from assay.model.errors import SourceError
from assay.sources.postgres.coalescing import Followed

_OLDEST = 15
TELLS_STORED = 180_000
"""The version of the server that publishes stored generated columns."""
WAIT_SECONDS = 600.0
"""How long a first load waits, at most, for the transactions of others."""
_POLL_SECONDS = 0.02
_SERVER = """
select current_setting('wal_level') = 'logical' as is_logical, pg_is_in_recovery() as is_replica, current_user as role,
    -- A service that gives out no attributes has a role for it.
    (select rolsuper or rolreplication from pg_roles where rolname = current_user)
    or exists (select from pg_roles where rolname = 'rds_replication' and pg_has_role(oid, 'member')) as may_replicate
"""
_TABLES = """
select c.oid::int8 as oid, w.schema, w.name, c.relkind::text as kind, c.relpersistence::text as persistence,
    c.relreplident::text as identity, exists (select from pg_inherits where inhparent = c.oid) as has_parts,
    array(select attname::text from pg_attribute
        where attrelid = c.oid and attgenerated <> '' and not (attgenerated = 's' and %(stored)s)) as untold,
    array(select a.attname::text
        from pg_index i cross join unnest(i.indkey::int2[]) with ordinality as k(number, place)
        join pg_attribute a on a.attrelid = c.oid and a.attnum = k.number
        where i.indrelid = c.oid and i.indisvalid and i.indimmediate and k.place <= i.indnkeyatts
        and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end order by k.place) as key
from unnest(%(schemas)s::text[], %(names)s::text[]) with ordinality as w(schema, name, place)
left join pg_namespace n on n.nspname = w.schema
left join pg_class c on c.relnamespace = n.oid and c.relname = w.name
order by w.place
"""
_WRITERS = "select pg_snapshot_xmin(pg_current_snapshot()) < %s::xid8"
_OPEN = """
select 'process ' || pid from pg_stat_activity where backend_xid is not null
union all select 'prepared transaction ' || quote_literal(gid) from pg_prepared_xacts
"""


@dataclass(frozen=True, slots=True)
class _Server:
    is_logical: bool
    is_replica: bool
    role: str
    may_replicate: bool


@dataclass(frozen=True, slots=True)
class _Found:
    oid: int | None
    schema: str
    name: str
    kind: str | None
    persistence: str | None
    identity: str | None
    has_parts: bool
    untold: list[str]
    key: list[str]


def check_server(connection: Connection) -> None:
    """Raise SourceError where the server or the role is not one that changes can be read from, with the remedy."""
    major = connection.info.server_version // 10_000
    if major < _OLDEST:
        raise SourceError(f"The source is PostgreSQL {major}; changes are read from version {_OLDEST} on.")
    found = connection.cursor(row_factory=class_row(_Server)).execute(_SERVER).fetchone()
    assert found is not None  # a query without tables has a row
    if found.is_replica:
        raise SourceError("The source is a replica, and changes are read from its primary: give the address of that.")
    if not found.is_logical:
        raise SourceError(
            "The source's log does not tell rows. Have an administrator set it, and restart the server:\n"
            "ALTER SYSTEM SET wal_level = 'logical';"
        )
    if not found.may_replicate:
        role = sql.Identifier(found.role).as_string()
        raise SourceError(
            f"The role {found.role} may not read changes. Have it allowed:\nALTER ROLE {role} REPLICATION;"
        )


def followed(connection: Connection, tables: Mapping[tuple[str, str], Sequence[str]]) -> tuple[Followed, ...]:
    """Return tables that are named by schema and name, with their keys, and with the columns that are asked for.

    Raises SourceError with each of them whose changes cannot be followed, and what to do.
    """
    schemas, names = [schema for schema, _ in tables], [name for _, name in tables]
    stored = connection.info.server_version >= TELLS_STORED
    with connection.cursor(row_factory=class_row(_Found)) as cursor:
        rows = cursor.execute(_TABLES, {"stored": stored, "schemas": schemas, "names": names}).fetchall()
    found, refused = [], []
    for row in rows:
        table = Followed(row.oid or 0, row.schema, row.name, tuple(tables[row.schema, row.name]), tuple(row.key))
        found.append(table)
        refused += [f"{table}: {why}" for why in islice(_why_not(table, row), 1)]
    if refused:
        raise SourceError("\n".join(refused))
    return tuple(found)


def wait_for_writers(connection: Connection, *, seconds: float) -> None:
    """Return when all transactions that have written anything by now have ended.

    A commit stands in the log before anybody sees it, and for long where it waits for a standby. What begins after it
    in the log, and reads a snapshot before it is seen, would miss it both ways. Raises SourceError with the sessions
    that take too long.
    """
    end = time.monotonic() + seconds
    # A number of its own, since the newest in a snapshot is that of the last one to end.
    newest = connection.execute("select pg_current_xact_id()::text").fetchone()
    while connection.execute(_WRITERS, newest).fetchone() == (True,):
        if time.monotonic() > end:
            raise still_open(connection, seconds)
        time.sleep(_POLL_SECONDS)


def still_open(connection: Connection, seconds: float) -> SourceError:
    """Return the error that names the transactions for which a first load has waited in vain."""
    open_ones = ", ".join(name for (name,) in connection.execute(_OPEN))
    return SourceError(
        f"Transactions that have written something are open for more than {seconds:g} seconds: {open_ones}. "
        "The first load waits for their end: see that they come to it, and run again."
    )


def _why_not(table: Followed, row: _Found) -> Iterator[str]:
    """Find the reasons why the changes of a table cannot be followed, with their remedies."""
    alter = f"ALTER TABLE {table.quoted}"
    if row.oid is None:
        yield "is not there, or this role may not see it."
    if row.kind == "p" or row.has_parts:
        yield "has partitions, and to attach, detach or truncate one tells no rows. Name the partitions as tables."
    if row.kind != "r":
        yield "is no table, and has no changes of its own. Name the tables that it shows."
    if row.persistence != "p":
        yield f"is not in the server's log. Have it logged:\n{alter} SET LOGGED;"
    if row.identity == "n":
        yield f"does not tell which row was changed. Have it told:\n{alter} REPLICA IDENTITY DEFAULT;"
    if not table.key:
        yield (
            "has no primary key that is checked at once, and no index as its replica identity. Give it one of them:\n"
            f"{alter} ADD PRIMARY KEY (...);\n{alter} REPLICA IDENTITY USING INDEX ...;"
        )
    if left := [column for column in table.key if column not in table.columns]:
        yield f"is read without {left[0]!r} of its key. Ask for that column too."
    if untold := [column for column in row.untold if column in table.columns]:
        yield f"does not tell its generated column {untold[0]!r}. Leave it out, or read this table in another mode."
