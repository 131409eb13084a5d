"""Mirroring a whole database, without a pipeline of one's own: what to read is found in the database itself."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import TypedDict, Unpack

from assay import assembly, migrating, platform
from assay.assembly import Location
from assay.model.database import Mode, Relation, check_address, postgres, relation
from assay.model.errors import SourceError, UsageError
from assay.model.event import Observer
from assay.model.pipeline import Pipeline
from assay.model.run import RunResult
from assay.model.secrets import without_secrets
from assay.settings import Settings
from assay.sources.postgres.catalog import natural
from assay.sources.postgres.introspection import Found, tables_of

LAYER = "raw"
_MOST_LETTERS = 63
_STAMPS = ("timestamp with time zone", "timestamp without time zone")


class Choice(TypedDict, total=False):
    """What of a database is mirrored, and how."""

    tables: Sequence[str]
    """Names or patterns, such as `orders` or `sales.*`; all that the role may read by default."""
    mode: Mode
    """How a reading finds what has changed: "xmin" by default. A table without a primary key is always read whole."""
    updated: str
    """For mode "horizon", the column with the time of a row's last change: `updated_at` by default. A table without it
    is read by mode "xmin"."""
    deletes: bool
    """Whether rows that are gone leave, as they do by default."""
    layer: str
    """Where the tables stand: by default `raw.orders`, and `raw.sales_orders` for one of another schema than public."""


class SyncArguments(Choice, total=False):
    """The options of a mirror that is brought up to date."""

    warehouse: Location | None
    """Where to; the setting `warehouse` by default."""
    migrate: bool
    """Whether tables and columns that a database lacks are made."""
    full: bool
    """Whether all rows are read."""
    as_of: dt.date | None
    """The run's own date; today by default."""
    settings: Settings | None
    observers: tuple[Observer, ...]


def sync(url: str, **arguments: Unpack[SyncArguments]) -> RunResult:
    """Make a warehouse hold the tables of a database as they are now, and publish all of them, or nothing.

    Args:
        url: `env:NAME`, or an address without a password.
        **arguments: see SyncArguments.

    Raises UsageError where the database cannot be read, or the warehouse lacks tables.
    """
    settings = arguments.get("settings") or platform.current_settings()
    place = arguments.get("warehouse")
    pipeline = mirror_of(url, **_choice(arguments))
    if arguments.get("migrate") and assembly.is_database(settings, place):
        migrating.migrate(pipeline, warehouse=place, settings=settings)
    return platform.run(
        pipeline,
        warehouse=place,
        full=arguments.get("full", False),
        as_of=arguments.get("as_of"),
        settings=settings,
        observers=arguments.get("observers", ()),
    )


def mirror_of(url: str, **choice: Unpack[Choice]) -> Pipeline:
    """Return the pipeline that mirrors tables of a database, as `sync` runs it; it is named after the layer."""
    layer, mode = choice.get("layer", LAYER), choice.get("mode", "xmin")
    updated, deletes = choice.get("updated", "updated_at"), choice.get("deletes", True)
    check_address(without_secrets(url), url)
    relations: dict[str, Relation] = {}
    for each in _chosen(url, choice.get("tables", ())):
        name = _name(each, layer)
        if name in relations:
            raise UsageError(f"{each.place} and another table would both be {name}; choose by --tables.")
        relations[name] = _relation(each, mode, updated, deletes=deletes)
    return Pipeline(f"sync_{layer}", tables=[], layers=[layer], sources=postgres(url, mode=mode, tables=relations))


def _choice(arguments: SyncArguments) -> Choice:
    return Choice(
        tables=arguments.get("tables", ()),
        mode=arguments.get("mode", "xmin"),
        updated=arguments.get("updated", "updated_at"),
        deletes=arguments.get("deletes", True),
        layer=arguments.get("layer", LAYER),
    )


def _chosen(url: str, wanted: Sequence[str]) -> list[Found]:
    found = tables_of(url, wanted)
    hidden = [each.place for each in found if not each.readable]
    if hidden and wanted:
        raise SourceError(f"The role may not read {hidden[0]}: GRANT SELECT ON {hidden[0]} TO its_name.")
    if len(hidden) == len(found):
        raise SourceError("The database has no table that this role may read.")
    return [each for each in found if each.readable]


def _relation(table: Found, mode: Mode, updated: str, *, deletes: bool) -> Relation:
    own: Mode | None = None
    if not table.key:
        own = "full"
    elif mode == "horizon" and table.columns.get(updated) not in _STAMPS:
        own = "xmin"
    return relation(
        ".".join('"' + part.replace('"', '""') + '"' for part in (table.schema, table.name)),
        columns={name: natural(kind) for name, kind in table.columns.items()},
        key=table.key,
        updated=updated if (own or mode) == "horizon" else None,
        deletes=deletes and bool(table.key),
        mode=own,
        publish=True,
    )


def _name(table: Found, layer: str) -> str:
    entity = table.name if table.schema == "public" else f"{table.schema}_{table.name}"
    return f"{layer}_{re.sub(r'[^a-z0-9]+', '_', entity.lower()).strip('_') or 'table'}"[:_MOST_LETTERS]
