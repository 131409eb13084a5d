"""Surrogate keys: numbers that natural keys are given once, and keep for ever."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw
from narwhals import col

from assay.model.data import Manifest, dataset_of_keys
from assay.model.errors import TableError
from assay.model.ports import Destination, Frame, Session
from assay.model.schema import Schema
from assay.model.source import POSITION
from assay.model.table import Table
from assay.runtime.computing.account import scalar
from assay.runtime.work import Work

NUMBER = "_assay_number"
"""The column of a key map with the numbers; a table may call its surrogate key otherwise from one day to the next."""
_MOST_FILES = 16
"""A key map in more files than this is written anew as one."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A frame with its surrogate key, and what the key map gained."""

    frame: Frame
    keys: Manifest


def number(work: Work, table: Table, surrogate: str, session: Session, rows: Frame, attempt: int) -> Numbered:
    """Give every row the number of its key; keys without one are numbered on, in the order of their position.

    Raises TableError for a known key that is no value of the type that the key has now.
    """
    dataset = dataset_of_keys(work.dataset(table.name), table.key)
    base = work.plan.state.versions.get(dataset)
    schema = _schema(work, table)
    known_files = base.files if base else ()
    retyped = base is not None and base.schema != schema
    known = work.scan(session, known_files, base.schema if base else schema, "known_keys")
    known = _retyped(table, session, known, base.schema, schema) if base and retyped else known
    order = [POSITION] if POSITION in work.traced[table.name].schema else []
    wanted = rows.select(*dict.fromkeys((*table.key, *order)))
    fresh = session.hold(wanted.join(known.select(*table.key), on=list(table.key), how="anti"))
    start = scalar(session, known.select(col(NUMBER).max()))
    # Positions may be shared (a row multiplied by its function); the key settles what they leave open.
    numbered = fresh.with_row_index(NUMBER, order_by=[*order, *table.key])
    numbered = numbered.with_columns(col(NUMBER) + (start + 1)).select(NUMBER, *table.key)
    to = Destination(work.warehouse.root, work.warehouse.folder(dataset, work.handle.id), work.prefix(attempt), schema)
    if retyped:
        numbered = nw.concat([session.cast(known, schema), session.cast(numbered, schema)])
    added = session.write(numbered, to)
    removed = tuple(file.path for file in known_files) if retyped else ()
    if not retyped and len(known_files) >= _MOST_FILES and added:
        files = (*known_files, *added)
        everything = work.scan(session, files, schema, "all_keys")
        added, removed = session.write(everything, to), tuple(file.path for file in known_files)
    stand = added if removed else (*known_files, *added)
    keys = work.scan(session, stand, schema, "keys")
    manifest = work.manifest(dataset, schema, attempt, added, removed)
    named = keys.select(col(NUMBER).alias(surrogate), *table.key)
    return Numbered(rows.join(named, on=list(table.key), how="left"), manifest)


def _retyped(table: Table, session: Session, known: Frame, before: Schema, now: Schema) -> Frame:
    """Return the known keys in the types that the key has now.

    Of keys that have become one the smallest number is the key's. The others stand on without a key, which no join
    finds: a number that was given once is given to nothing else.
    """
    for name in table.key:
        unfit = session.fetch(session.unfit(known.select(name), Schema((now[name],))).head(1))
        if unfit:
            raise TableError(
                f"{table.name}: its key {name} was {before[name].type} and is {now[name].type}, which cannot hold "
                f"{str(unfit[0][0])!r}: a key that has a number keeps it for ever. Give {name} a type that holds it, "
                "or another name, under which keys are numbered anew."
            )
    found = session.hold(session.cast(known, now))
    first = col(NUMBER) == col(NUMBER).min().over(*table.key)
    return session.hold(found.select(NUMBER, *(nw.when(first).then(col(name)).alias(name) for name in table.key)))


def _schema(work: Work, table: Table) -> Schema:
    traced = work.traced[table.name].schema
    return Schema.of([(NUMBER, "BIGINT"), *((name, traced[name].type) for name in table.key)])
