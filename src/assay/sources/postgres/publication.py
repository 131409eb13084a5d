"""The publication: of which tables a database tells the changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from psycopg import Connection, sql
from psycopg.errors import InsufficientPrivilege

from assay.model.errors import SourceError
from assay.sources.postgres.coalescing import Followed
from assay.sources.postgres.replication import TELLS_STORED, WAIT_SECONDS, wait_for_writers

_STATE = (
    "select puballtables, pubinsert and pubupdate and pubdelete and pubtruncate from pg_publication where pubname = %s"
)
_TABLES = """
select schemaname::text, tablename::text, case when rowfilter is null then attnames::text[] else '{}' end
from pg_publication_tables where pubname = %s
"""
_MARKS = """
select t.oid::int8, concat_ws('/', p.oid || ' ' || p.xmin, r.oid || ' ' || r.xmin, s.oid)
from pg_publication p cross join unnest(%s::oid[]) t(oid) join pg_class c on c.oid = t.oid
left join pg_publication_rel r on r.prpubid = p.oid and r.prrelid = t.oid
left join pg_publication_namespace s on s.pnpubid = p.oid and s.pnnspid = c.relnamespace
where p.pubname = %s
"""


def publish(
    connection: Connection, name: str, tables: Sequence[Followed], *, seconds: float = WAIT_SECONDS
) -> tuple[Followed, ...]:
    """See that a publication tells all changes of some tables and, as far as the role may change that, of no other.

    Returns those tables of which it has not told all so far: load them in full, from a snapshot that is taken after
    this. It waits, up to so many seconds, for transactions that have changed them without its being told. Raises
    SourceError with what an administrator can do where the role may not.
    """
    of_all, is_whole = connection.execute(_STATE, [name]).fetchone() or (False, False)
    listed = {(schema, table): set(columns) for schema, table, columns in connection.execute(_TABLES, [name])}
    untold = tuple(table for table in tables if not (is_whole and _is_told(table, listed)))
    if not untold and (of_all or len(listed) == len(tables)):
        return ()
    try:
        with connection.transaction():
            statements = list(_statements(connection, name, tables))
            # Where nothing new is to be told, the others keep their marks.
            for statement in statements if untold else statements[-1:]:
                connection.execute(statement)
    except InsufficientPrivilege as error:
        if untold:
            raise SourceError(
                f"The publication {name!r} cannot be made: {error.diag.message_primary}. Have an administrator run:\n"
                f"{setup(connection, name, tables)}"
            ) from error
    if untold:
        wait_for_writers(connection, seconds=seconds)
    return untold


def marks(connection: Connection, name: str, tables: Sequence[Followed]) -> Mapping[int, str]:
    """Return what tells each table's place in the publication from another, by the number of the table.

    It is another one where the table was taken out, be it by hand, and put in again, or told in part for a while.
    """
    return dict(connection.execute(_MARKS, [[table.oid for table in tables], name]).fetchall())


def setup(connection: Connection, name: str, tables: Sequence[Followed]) -> str:
    """Return the SQL with which an administrator has a database tell changes to the role of a connection."""
    role = sql.Identifier(connection.info.user)
    lines = [
        sql.SQL("ALTER SYSTEM SET wal_level = 'logical'; -- and restart the server"),
        sql.SQL("ALTER ROLE {} REPLICATION;").format(role),
        *(sql.SQL("{};").format(statement) for statement in _statements(connection, name, tables)),
    ]
    return sql.SQL("\n").join(lines).as_string(connection)


def _is_told(table: Followed, listed: dict[tuple[str, str], set[str]]) -> bool:
    """Return whether all rows of a table are told, with all columns that are asked for."""
    return set(table.columns) <= listed.get((table.schema, table.name), set())


def _statements(connection: Connection, name: str, tables: Sequence[Followed]) -> Iterator[sql.Composed]:
    """Find what makes the publication, or makes it right; of tables that are in it, none is taken out meanwhile."""
    options = ["publish = 'insert, update, delete, truncate'", "publish_via_partition_root = false"]
    if connection.info.server_version >= TELLS_STORED:
        options.append("publish_generated_columns = stored")
    whole, publication = sql.SQL(", ".join(options)), sql.Identifier(name)
    listed = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
    state = connection.execute(_STATE, [name]).fetchone()
    if state is None:
        yield sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH ({})").format(publication, listed, whole)
        return
    yield sql.SQL("ALTER PUBLICATION {} SET ({})").format(publication, whole)
    if not state[0]:
        yield sql.SQL("ALTER PUBLICATION {} SET TABLE {}").format(publication, listed)
