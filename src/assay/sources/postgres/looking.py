"""A look at a database before a run reads it: whether its tables are as declared, and how much must be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from assay.model.database import PostgresTable, parts_of, quoted
from assay.model.errors import SourceError
from assay.sources.postgres import catalog, modes
from assay.sources.postgres.connection import Connection, connect, explained
from assay.sources.postgres.snapshot import check_primary, check_sees_all, identity
from assay.sources.postgres.watermark import Watermark

_RIGHTS = "select has_table_privilege(%(table)s, 'select'), row_security_active(%(table)s::regclass)"


@dataclass(frozen=True, slots=True)
class Asked:
    """A table that is to be read, and what is known of it."""

    source: PostgresTable
    columns: tuple[str, ...]
    """Those that it is stored with."""
    watermark: str | None
    rows: int = 0
    """How many rows of it have been read and stand, be it in the quarantine."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look told."""

    whole: str | None
    """Why all rows must be read; None where those that have changed are enough."""


def look_at(asked: Mapping[str, Asked]) -> dict[str, Looked]:
    """Look at tables of one database, by name.

    Raises SourceError where it cannot be reached, or a table cannot be read as it is declared.
    """
    url = next(iter(asked.values())).source.database.url
    try:
        with connect(url) as connection:
            for mode in {each.source.mode for each in asked.values()}:
                check_primary(connection, mode)
            if any(each.source.mode == "horizon" for each in asked.values()):
                check_sees_all(connection)
            server = identity(connection)
            return {name: _look_at(connection, each, server) for name, each in asked.items()}
    except psycopg.Error as error:
        raise explained(url, error) from None


def _look_at(connection: Connection, asked: Asked, server: str) -> Looked:
    source = asked.source
    table = catalog.declared(connection, source, asked.columns)
    _check_readable(connection, source)
    known = Watermark.from_text(asked.watermark) if asked.watermark else None
    return Looked(modes.why_whole(source, table, known, server, None))


def _check_readable(connection: Connection, source: PostgresTable) -> None:
    row = connection.execute(_RIGHTS, {"table": quoted(*parts_of(source.relation))}).fetchone()
    may_read, hides = row or (False, False)
    if not may_read:
        raise SourceError(
            f"{source.relation}: the role may not read it: GRANT SELECT ON {source.relation} TO its_name."
        )
    if hides:
        raise SourceError(
            f"{source.relation}: its policies would hide rows from the role, and they would seem to be deleted; let "
            "the role see all: ALTER ROLE its_name BYPASSRLS."
        )
