"""Mirroring a whole database, without a pipeline of one's own: what to read is found in the database itself."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

from assay import assembly, migrating, platform
from assay.assembly import Location
from assay.model.database import Mode, Relation, check_address, postgres, quoted, relation
from assay.model.errors import DeclarationError, UsageError, WarehouseError
from assay.model.event import Observer
from assay.model.given import check_arguments, listed
from assay.model.pipeline import Pipeline
from assay.model.published import State
from assay.model.run import RunResult
from assay.model.secrets import address_without_secrets
from assay.settings import Settings
from assay.sources.postgres.choosing import Chosen, choose, is_left_out
from assay.sources.postgres.introspection import Found
from assay.sources.postgres.kinds import exact, natural

LAYER = "raw"
_MOST_LETTERS = 63
_STAMPS = ("timestamp with time zone", "timestamp without time zone")


class Choice(TypedDict, total=False):
    """What of a database is mirrored, and how."""

    tables: Sequence[str]
    """Names or patterns, such as `orders` or `sales.*`; `!sales.*` leaves some out. All that the role may read by
    default."""
    mode: Mode
    """How a reading finds what has changed: "xmin" by default. A table without a primary key is always read whole,
    and so is one whose changes the log does not tell, in mode "cdc"."""
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
    check_arguments("sync", arguments, SyncArguments)
    settings = arguments.get("settings") or assembly.current_settings()
    place = arguments.get("warehouse")
    into_database = assembly.is_database(settings, place)
    choice = _choice(arguments)
    pipeline, chosen = _mirror(url, into_database, choice)
    if not into_database:
        pipeline = _with_lost_columns(pipeline, settings, place)
    if arguments.get("migrate") and into_database:
        migrating.migrate(pipeline, warehouse=place, settings=settings)
    result = platform.run(
        pipeline,
        warehouse=place,
        full=arguments.get("full", False),
        as_of=arguments.get("as_of"),
        settings=settings,
        observers=arguments.get("observers", ()),
    )
    return replace(result, warnings=tuple(_warnings(chosen, pipeline, _state(settings, place))))


def mirror_of(url: str, *, into_database: bool = False, **choice: Unpack[Choice]) -> Pipeline:
    """Return the pipeline that mirrors tables of a database, as `sync` runs it; it is named after the layer.

    On the way into another database, values go as texts where no other type holds all of them, and get their own types
    there again.
    """
    check_arguments("mirror_of", choice, Choice)
    return _mirror(url, into_database, choice)[0]


def _state(settings: Settings, place: Location | None) -> State:
    """Return what is published; nothing where no warehouse is, or none that answers."""
    try:
        return assembly.warehouse(settings, place, create=False).state()
    except WarehouseError:
        return State({}, {}, {})


def _with_lost_columns(pipeline: Pipeline, settings: Settings, place: Location | None) -> Pipeline:
    """Return the pipeline with the columns that tables have lost: they stay in a lake, as they do in a database."""
    published = _state(settings, place).versions
    kept = {}
    for name, source in pipeline.mirrors.items():
        version = published.get(pipeline.dataset_of(name))
        lost = [c for c in version.schema if not c.is_system and c.name not in source.columns] if version else []
        kept[name] = replace(source, columns={**source.columns, **{column.name: column.type for column in lost}})
    return pipeline.with_sources(kept)


def _choice(arguments: SyncArguments) -> Choice:
    return Choice(
        tables=arguments.get("tables", ()),
        mode=arguments.get("mode", "xmin"),
        updated=arguments.get("updated", "updated_at"),
        deletes=arguments.get("deletes", True),
        layer=arguments.get("layer", LAYER),
    )


def _mirror(url: str, into_database: bool, choice: Choice) -> tuple[Pipeline, Chosen]:
    layer, mode = choice.get("layer", LAYER), choice.get("mode", "xmin")
    updated, deletes = choice.get("updated", "updated_at"), choice.get("deletes", True)
    check_address(address_without_secrets(url), url)
    relations: dict[str, Relation] = {}
    own: dict[str, Found] = {}
    chosen = choose(url, listed("A mirror", "tables", choice.get("tables", ())))
    for each in chosen.tables:
        name = _name(each, layer)
        if name in relations:
            raise UsageError(f"{each.place} and another table would both be {name}; {_leave_out(each)}")
        own[name] = each
        try:
            relations[name] = _relation(each, mode, updated, deletes=deletes, into_database=into_database)
        except DeclarationError as error:
            raise UsageError(f"{error} To mirror the other tables, {_leave_out(each)}") from None
    sources = {
        name: replace(source, kinds=own[name].kinds if into_database else {}, comments=own[name].comments)
        for name, source in postgres(url, mode=mode, tables=relations).items()
    }
    return Pipeline(f"sync_{layer}", tables=[], layers=[layer], sources=sources), chosen


def _leave_out(table: Found) -> str:
    return f"leave it out by --tables '!{table.place}'."


def _warnings(chosen: Chosen, pipeline: Pipeline, state: State) -> Iterator[str]:
    """Yield what people would else take for mirrored."""
    if chosen.own:
        places = ", ".join(dict.fromkeys(each.schema for each in chosen.own))
        yield f"tables of a warehouse of assay were left out: {len(chosen.own)} in {places}"
    if not chosen.whole:
        return
    read = {pipeline.dataset_of(name) for name in pipeline.mirrors}
    (layer,) = pipeline.layers
    mine = {name for name in state.versions if state.owners[name] == pipeline.name and name.startswith(f"{layer}.")}
    hidden = {f"{layer}.{_entity(each)}": each.place for each in chosen.there if not each.readable}
    for dataset in sorted(mine - read):
        if not is_left_out(chosen, dataset.removeprefix(f"{layer}.")):
            why = f"the role may not read {hidden[dataset]}" if dataset in hidden else "the database has it no more"
            yield f"{dataset} stays as it was published, for {why}"


def _relation(table: Found, mode: Mode, updated: str, *, deletes: bool, into_database: bool) -> Relation:
    declared = exact if into_database else natural
    own: Mode | None = None
    if not table.key or (mode == "cdc" and not table.logged):
        own = "full"
    elif mode == "horizon" and table.columns.get(updated) not in _STAMPS:
        own = "xmin"
    return relation(
        quoted(table.schema, table.name),
        columns={
            # A stamp that is compared is no text.
            name: natural(kind) if name == updated and (own or mode) == "horizon" else declared(kind)
            for name, kind in table.columns.items()
        },
        key=table.key,
        updated=updated if (own or mode) == "horizon" else None,
        deletes=deletes and bool(table.key),
        mode=own,
        publish=True,
    )


def _name(table: Found, layer: str) -> str:
    return f"{layer}_{_entity(table)}"[:_MOST_LETTERS]


def _entity(table: Found) -> str:
    entity = table.name if table.schema == "public" else f"{table.schema}_{table.name}"
    return re.sub(r"[^a-z0-9]+", "_", entity.lower()).strip("_") or "table"
