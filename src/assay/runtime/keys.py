"""Surrogate keys: numbers that natural keys are given once, and keep for ever."""

from __future__ import annotations

from dataclasses import dataclass

from narwhals import col

from assay.model.data import Manifest, dataset_of_keys
from assay.model.ports import Destination, Frame, Session
from assay.model.schema import Schema
from assay.model.source import POSITION
from assay.model.table import Table
from assay.runtime.account import scalar
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
    """Give every row the number of its key; keys without one are numbered on, in the order of their position."""
    dataset = dataset_of_keys(work.dataset(table.name), table.key)
    base = work.plan.state.versions.get(dataset)
    schema = _schema(work, table)
    known_files = base.files if base else ()
    known = work.scan(session, known_files, schema, "known_keys")
    order = [POSITION] if POSITION in work.traced[table.name].schema else []
    wanted = rows.select(*dict.fromkeys((*table.key, *order)))
    fresh = session.hold(wanted.join(known.select(*table.key), on=list(table.key), how="anti"))
    start = scalar(session, known.select(col(NUMBER).max()))
    # Positions may be shared (a row multiplied by its function); the key settles what they leave open.
    numbered = fresh.with_row_index(NUMBER, order_by=[*order, *table.key])
    numbered = numbered.with_columns(col(NUMBER) + (start + 1)).select(NUMBER, *table.key)
    to = Destination(work.warehouse.root, work.warehouse.folder(dataset, work.handle.id), work.prefix(attempt), schema)
    added = session.write(numbered, to)
    removed: tuple[str, ...] = ()
    if len(known_files) >= _MOST_FILES and added:
        files = (*known_files, *added)
        everything = work.scan(session, files, schema, "all_keys")
        added, removed = session.write(everything, to), tuple(file.path for file in known_files)
    stand = added if removed else (*known_files, *added)
    keys = work.scan(session, stand, schema, "keys")
    manifest = work.manifest(dataset, schema, attempt, added, removed)
    named = keys.select(col(NUMBER).alias(surrogate), *table.key)
    return Numbered(rows.join(named, on=list(table.key), how="left"), manifest)


def _schema(work: Work, table: Table) -> Schema:
    traced = work.traced[table.name].schema
    return Schema.of([(NUMBER, "BIGINT"), *((name, traced[name].type) for name in table.key)])
