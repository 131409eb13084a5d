"""What others have built in the schemas of a run, as the database tells of it: tables to be read, views to be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql

from assay.model.database import Database, PostgresTable, quoted
from assay.model.dbt import Model
from assay.model.errors import TableError
from assay.model.workshop import Workspace
from assay.sources.postgres.connection import Connection, connect
from assay.sources.postgres.introspection import tables_of
from assay.sources.postgres.kinds import exact


def tables_built(space: Workspace, models: Mapping[str, Model]) -> dict[str, PostgresTable]:
    """Return models as tables to be read whole, by name; each that has a key has been given it as its primary key.

    Raises TableError for a key that does not tell rows apart.
    """
    if not models:
        return {}
    places = {name: _place(space, model) for name, model in models.items()}
    with connect(space.url, writes=True) as connection:
        for name, model in models.items():
            if model.key:
                _prove_key(connection, model, places[name])
    found = {(each.schema, each.name): each for each in tables_of(space.url)}
    database = Database(space.url, "full")
    return {
        name: PostgresTable(
            database,
            quoted(*places[name]),
            {column: exact(kind) for column, kind in found[places[name]].columns.items()},
            models[name].key,
            publish=True,
            kinds=found[places[name]].kinds,
        )
        for name in models
    }


def views_built(space: Workspace, models: Sequence[Model]) -> dict[str, str]:
    """Return what each view shows, by name, as SQL over what readers see.

    The server writes it: all columns are named in it, so that it stays the same when a table gets another, and names
    stand in quotes, which they may need without what the schemas of a run begin with.
    """
    with connect(space.url) as connection:
        connection.execute("set quote_all_identifiers = on")
        texts = {model.name: _text(connection, _place(space, model)) for model in models}
    return {name: text.replace(f'"{space.prefix}', '"') for name, text in texts.items()}


def _text(connection: Connection, place: tuple[str, str]) -> str:
    found = connection.execute("select pg_get_viewdef(%s::regclass)", [quoted(*place)]).fetchone()
    assert found is not None, "there is a row, or an error"
    return str(found[0]).strip().rstrip(";")


def _place(space: Workspace, model: Model) -> tuple[str, str]:
    return f"{space.prefix}{model.layer}", model.entity


def _prove_key(connection: Connection, model: Model, place: tuple[str, str]) -> None:
    key = sql.SQL(", ").join(map(sql.Identifier, model.key))
    try:
        connection.execute(sql.SQL("alter table {} add primary key ({})").format(sql.Identifier(*place), key))
    except (psycopg.errors.UniqueViolation, psycopg.errors.NotNullViolation) as error:
        why = error.diag.message_detail or error.diag.message_primary or ""
        raise TableError(
            f"{model.dataset}: its key {', '.join(model.key)} does not tell its rows apart: {why}"
        ) from None
