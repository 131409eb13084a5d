"""One snapshot of a database, which several connections read at once, and what it can and cannot see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from psycopg import sql

from assay.model.errors import SourceError
from assay.sources.postgres.connection import Connection, connect

_HORIZON = """
select least(
    clock_timestamp(),
    (select min(xact_start) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database())
  ) - interval '10 seconds',
  (select count(*) filter (where query = '<insufficient privilege>') from pg_stat_activity
    where datname = current_database()),
  (select count(*) filter (where state = 'disabled') from pg_stat_activity where datname = current_database())
"""
"""The earliest stamp that a transaction which is not seen may still write. The seconds are for one that has read the
clock and does not show yet that it has begun."""
_PREPARED = "select count(*) from pg_prepared_xacts where database = current_database()"
_MAY_LOOK = "select pg_has_role(current_user, 'pg_read_all_stats', 'usage')"
_IDENTITY = """
select (select system_identifier from pg_control_system()) || '/' ||
  (select oid from pg_database where datname = current_database()) || '/' ||
  (case when pg_is_in_recovery() then 'replica' else left(pg_walfile_name(pg_current_wal_lsn()), 8) end)
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of the database that stays readable as long as its first connection is open."""

    url: str
    id: str
    xid: int
    """All transactions before this one have ended: what they wrote is seen."""
    stamp: str | None
    """No transaction that is not seen stamps a row earlier; None where nobody asked, or nobody knows."""
    server: str
    idle: list[Connection]
    """Connections that see it and are not in use."""
    opened: ExitStack
    """Closes all connections but the first."""

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend a connection that sees just this state: there are as many as are in use at once."""
        try:
            connection = self.idle.pop()
        except IndexError:
            connection = self._open()
        yield connection
        self.idle.append(connection)

    def _open(self) -> Connection:
        connection = self.opened.enter_context(connect(self.url))
        connection.execute("begin isolation level repeatable read, read only")
        connection.execute(sql.SQL("set transaction snapshot {}").format(self.id))
        return connection


@contextmanager
def taken(connection: Connection, url: str, *, horizon: bool) -> Iterator[Snapshot]:
    """Take a snapshot; raises SourceError where its horizon is asked for and cannot be known."""
    stamp = _horizon(connection) if horizon else None
    connection.execute("begin isolation level repeatable read, read only")
    found = connection.execute(
        "select pg_export_snapshot(), pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    ).fetchone()
    assert found is not None
    with ExitStack() as opened:
        yield Snapshot(url, found[0], found[1], stamp, identity(connection), [connection], opened)
    connection.execute("commit")


def identity(connection: Connection) -> str:
    """Return what tells a database from a copy of it: its cluster, its number there, and its line of history.

    One that was restored to an earlier time, or was a replica until its primary failed, may lack what has been read.
    """
    row = connection.execute(_IDENTITY).fetchone()
    assert row is not None
    return str(row[0])


def check_primary(connection: Connection, mode: str) -> None:
    """Raise SourceError on a replica, which does not know the transactions of its primary that are under way."""
    row = connection.execute("select pg_is_in_recovery()").fetchone()
    if row is not None and row[0] and mode != "full":
        raise SourceError(
            f"The database is a replica, which does not know what its primary is about to commit: mode {mode!r} would "
            "lose rows. Read the primary, or use mode 'full'."
        )


def check_sees_all(connection: Connection) -> None:
    """Raise SourceError where the role cannot see when the transactions of others began."""
    row = connection.execute(_MAY_LOOK).fetchone()
    if row is None or not row[0]:
        raise SourceError(
            "Mode 'horizon' must see when every transaction began, or rows that commit late would be lost; let the "
            "role: GRANT pg_read_all_stats TO its_name; or use mode 'xmin'."
        )


def _horizon(connection: Connection) -> str | None:
    """Return the horizon; None where some transaction does not tell when it began."""
    check_sees_all(connection)
    row = connection.execute(_HORIZON).fetchone()
    assert row is not None
    stamp, hidden, silent = row
    if hidden:
        raise SourceError("Mode 'horizon': the server hides transactions of others; GRANT pg_read_all_stats.")
    # Afterwards: one that was not prepared yet was still at work, and has been seen there.
    prepared = connection.execute(_PREPARED).fetchone()
    return str(stamp.isoformat()) if prepared == (0,) and not silent else None
