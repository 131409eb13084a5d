"""The slot: the place in a database's log up to which changes were read, and the reading of those behind it.

Places are numbers of bytes, which PostgreSQL writes as 16/B374D848. The slot moves only when it is told to, after what
was read is stored for good; the place that is stored with the rows is the one that counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from psycopg import Connection, sql
from psycopg.errors import (
    ConfigurationLimitExceeded,
    DuplicateObject,
    ObjectInUse,
    ObjectNotInPrerequisiteState,
    QueryCanceled,
    UndefinedObject,
)
from psycopg.rows import class_row

from assay.model.errors import SourceError
from assay.sources.postgres.replication import WAIT_SECONDS, still_open, wait_for_writers

_SLOT = """
select coalesce(database, '') as database, database = current_database() and plugin = 'pgoutput' as is_own,
    wal_status = 'lost' as is_lost, (confirmed_flush_lsn - '0/0')::int8 as confirmed,
    (pg_current_wal_flush_lsn() - '0/0')::int8 as flushed
from pg_replication_slots where slot_name = %s
"""
_KEEPS = """
select coalesce(
    (select coalesce(database = current_database(), false) from pg_replication_slots where slot_name = %(name)s),
    exists (select from pg_publication where pubname = %(name)s)
), current_database()
"""
"""A publication alone is kept, too, unless the slot of its name is another database's."""
_MAKE = "select (lsn - '0/0')::int8 from pg_create_logical_replication_slot(%s, 'pgoutput')"
_DROP = """
select pg_drop_replication_slot(slot_name) from pg_replication_slots
where slot_name = %s and database = current_database() and plugin = 'pgoutput'
"""
_REMARK = "select pg_logical_emit_message(true, 'assay', '')"
_END = "select (pg_current_wal_flush_lsn() - '0/0')::int8"
_ADVANCE = """
select pg_replication_slot_advance(slot_name, '0/0'::pg_lsn + %(lsn)s::numeric) from pg_replication_slots
where slot_name = %(name)s and confirmed_flush_lsn < '0/0'::pg_lsn + %(lsn)s::numeric
"""
_CHANGES = """
copy (
    select data from pg_logical_slot_peek_binary_changes(
        {slot}, '0/0'::pg_lsn + {upto}, null, 'proto_version', '1', 'publication_names', {publication}
    )
) to stdout (format binary)
"""


@dataclass(frozen=True, slots=True)
class _Slot:
    database: str
    is_own: bool
    is_lost: bool
    confirmed: int
    flushed: int


class SlotError(SourceError):
    """A slot that cannot tell all changes since the last reading: all tables must be read whole."""

    def __init__(self, name: str, why: str) -> None:
        """Say why of a slot."""
        super().__init__(f"The slot {name!r} {why}")


def name_in(connection: Connection, name: str) -> str:
    """Return the name that a slot and its publication have in a database: slots of all databases share their names.

    Where one of the name as it is stands there, from a version that left out the database, it goes on.
    """
    keeps, database = connection.execute(_KEEPS, {"name": name}).fetchone() or (True, "")
    stem, place = name.rsplit("_", 1)
    return name if keeps else f"{stem}_{sha256(f'{place}/{database}'.encode()).hexdigest()[:8]}"


def make_slot(connection: Connection, name: str, *, seconds: float = WAIT_SECONDS) -> int:
    """Make a slot, in place of one that has its name, and return its place in the log.

    Make the publication first. A snapshot that is taken after this call has all that was committed before the place:
    it waits, up to so many seconds, for what was on its way. Raises SourceError where the server has no slot to give.
    """
    with _told(name):
        drop_slot(connection, name)
        place = _made(connection, name, seconds)
    try:
        wait_for_writers(connection, seconds=seconds)
    except BaseException:
        drop_slot(connection, name)  # which would have the server keep its log for ever
        raise
    return place


def _made(connection: Connection, name: str, seconds: float) -> int:
    """Make a slot within some seconds; the server itself waits for open transactions, for as long as they are."""
    limit = "select set_config('statement_timeout', %s, false)"
    connection.execute(limit, [f"{seconds * 1000:.0f}"])
    try:
        made = connection.execute(_MAKE, [name]).fetchone()
    except QueryCanceled as error:
        raise still_open(connection, seconds) from error
    finally:
        connection.execute(limit, ["0"])
    assert made is not None  # a function in a query has a row
    return int(made[0])


def drop_slot(connection: Connection, name: str) -> None:
    """Drop a slot of this database, if it is there: the server keeps no log for it any more."""
    with _told(name):
        connection.execute(_DROP, [name])


def check_slot(connection: Connection, name: str, stored: int) -> None:
    """Raise SlotError unless a slot tells all changes since the place that is stored with the rows."""
    slot = connection.cursor(row_factory=class_row(_Slot)).execute(_SLOT, [name]).fetchone()
    if slot is None:
        raise SlotError(name, "is gone, and with it the changes since the last run.")
    if not slot.is_own:
        raise SlotError(name, f"is one of the database {slot.database!r}, or of another program.")
    if slot.is_lost:
        raise SlotError(name, "has fallen behind so far that the server has removed the log that it needs.")
    if slot.confirmed > stored:
        raise SlotError(name, "has moved past what is stored: a run was undone, or another program has read from it.")
    if slot.flushed < stored:
        raise SlotError(name, "has a log that ends before what was read: the server is an older copy of itself.")


def end_of_log(connection: Connection) -> int:
    """Return a place in the log up to which changes can be read, behind all that was committed before the call.

    A remark is written into the log for it: what was committed with synchronous_commit = off may not be there yet.
    """
    with connection.transaction():
        connection.execute("set local synchronous_commit = local")
        connection.execute(_REMARK)
    end = connection.execute(_END).fetchone()
    assert end is not None  # a query without tables has a row
    return int(end[0])


def changes(connection: Connection, name: str, publication: str, *, upto: int) -> Iterator[bytes]:
    """Find the messages of pgoutput for what was committed up to a place, transaction by transaction.

    They stay in the slot. By COPY, one at a time: rows may be large, and a cursor takes a number of them at once.
    """
    statement = sql.SQL(_CHANGES).format(
        slot=sql.Literal(name), upto=sql.Literal(upto), publication=sql.Literal(sql.Identifier(publication).as_string())
    )
    with _told(name), connection.cursor() as cursor, cursor.copy(statement) as rows:
        rows.set_types(["bytea"])
        for (message,) in rows.rows():
            yield message


def advance(connection: Connection, name: str, stored: int) -> None:
    """Let the server forget the log before a place that was stored for good."""
    with _told(name):
        connection.execute(_ADVANCE, {"name": name, "lsn": stored})


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn what the server says of a slot into an error with a remedy."""
    try:
        yield
    except ObjectInUse as error:
        raise SourceError(
            f"The slot {name!r} is being read by another program or run: {error.diag.message_primary}. Let that end."
        ) from error
    except DuplicateObject as error:
        raise SourceError(
            f"The slot {name!r} is one of another database or program; give this one another name."
        ) from error
    except ConfigurationLimitExceeded as error:
        raise SourceError(
            "The server has no slot left. Drop one that nobody reads (pg_replication_slots shows them), or set "
            "max_replication_slots higher, and restart the server."
        ) from error
    except (ObjectNotInPrerequisiteState, UndefinedObject) as error:
        raise SlotError(name, f"cannot be read: {error.diag.message_primary}.") from error
