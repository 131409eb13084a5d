"""A look at a database before a run reads it: whether its tables are as declared, and how much must be read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import psycopg

from assay.model.database import PostgresTable, parts_of, quoted
from assay.model.errors import SourceError
from assay.sources.postgres import catalog, modes
from assay.sources.postgres.connection import Connection, connect, explained
from assay.sources.postgres.snapshot import check_primary, check_sees_all, identity
from assay.sources.postgres.watermark import Watermark

_RIGHTS = "select t, has_table_privilege(t, 'select'), row_security_active(t::regclass) from unnest(%s::text[]) t"


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
            relations = [each.source.relation for each in asked.values()]
            tables = catalog.look(connection, relations)
            for each in asked.values():
                catalog.check(each.source, tables[each.source.relation], each.columns)
            _check_readable(connection, relations)
            return {name: Looked(_whole(each, tables[each.source.relation], server)) for name, each in asked.items()}
    except psycopg.Error as error:
        raise explained(url, error) from None


def _whole(asked: Asked, table: catalog.ServerTable, server: str) -> str | None:
    known = Watermark.from_text(asked.watermark) if asked.watermark else None
    return modes.why_whole(asked.source, table, known, server, None)


def _check_readable(connection: Connection, relations: Collection[str]) -> None:
    tables = {quoted(*parts_of(relation)): relation for relation in relations}
    for name, may_read, hides in connection.execute(_RIGHTS, [list(tables)]):
        relation = tables[name]
        if not may_read:
            raise SourceError(f"{relation}: the role may not read it: GRANT SELECT ON {relation} TO its_name.")
        if hides:
            raise SourceError(
                f"{relation}: its policies would hide rows from the role, and they would seem to be deleted; let the "
                "role see all: ALTER ROLE its_name BYPASSRLS."
            )
