"""One snapshot of a database, which several connections read at once, and what it can and cannot see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from assay.model.errors import SourceError
from assay.sources.postgres.connection import Connection, connect

_HORIZON = """
select least(
    clock_timestamp(),
    (select min(xact_start) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()),
    (select min(prepared) from pg_prepared_xacts where database = current_database())
  ) - interval '10 seconds',
  (select count(*) from pg_stat_activity where datname = current_database() and query = '<insufficient privilege>')
"""
"""The earliest stamp that a transaction which is not seen may still write. The seconds are for one that has read the
clock and does not show yet that it has begun."""
_MAY_LOOK = "select pg_has_role(current_user, 'pg_read_all_stats', 'usage')"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of the database that stays readable as long as its first connection is open."""

    url: str
    id: str
    xid: int
    """All transactions before this one have ended: what they wrote is seen."""
    lsn: str
    stamp: str | None
    """No transaction that is not seen stamps a row earlier; None where nobody asked."""
    first: Connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open another connection that sees just this state."""
        with connect(self.url) as connection:
            connection.execute("begin isolation level repeatable read, read only")
            connection.execute(sql.SQL("set transaction snapshot {}").format(self.id))
            yield connection
            connection.execute("commit")


@contextmanager
def taken(url: str, *, horizon: bool) -> Iterator[Snapshot]:
    """Take a snapshot; raises SourceError where its horizon is asked for and cannot be known."""
    with connect(url) as connection:
        stamp = _horizon(connection) if horizon else None
        connection.execute("begin isolation level repeatable read, read only")
        found = connection.execute(
            "select pg_export_snapshot(), pg_snapshot_xmin(pg_current_snapshot())::text::bigint, "
            "(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end)::text"
        ).fetchone()
        assert found is not None
        yield Snapshot(url, found[0], found[1], found[2], stamp, connection)
        connection.execute("commit")


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


def _horizon(connection: Connection) -> str:
    check_sees_all(connection)
    row = connection.execute(_HORIZON).fetchone()
    assert row is not None
    stamp, hidden = row
    if hidden:
        raise SourceError("Mode 'horizon': the server hides transactions of others; GRANT pg_read_all_stats.")
    return str(stamp.isoformat())
