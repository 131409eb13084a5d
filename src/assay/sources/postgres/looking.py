"""A look at a database before a run reads it: whether its tables are as declared, and how much must be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from assay.model.database import PostgresTable
from assay.model.errors import SourceError
from assay.sources.postgres import catalog, modes
from assay.sources.postgres.connection import Connection, connect, explained
from assay.sources.postgres.snapshot import check_primary, check_sees_all
from assay.sources.postgres.watermark import Watermark


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
            return {name: _look_at(connection, each) for name, each in asked.items()}
    except psycopg.Error as error:
        raise explained(url, error) from None


def _look_at(connection: Connection, asked: Asked) -> Looked:
    source = asked.source
    table = catalog.look(connection, source.relation)
    catalog.missing_columns(source, table, asked.columns)
    catalog.check_key(source, table)
    _check_readable(connection, source)
    known = Watermark.from_text(asked.watermark) if asked.watermark else None
    return Looked(modes.why_whole(source, table, known, None))


def _check_readable(connection: Connection, source: PostgresTable) -> None:
    row = connection.execute("select has_table_privilege(%s, 'select')", [catalog.regclass(source.relation)]).fetchone()
    if row is None or not row[0]:
        raise SourceError(
            f"{source.relation}: the role may not read it: GRANT SELECT ON {source.relation} TO its_name."
        )
