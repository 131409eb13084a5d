"""Replacing rows: all of a table's, those of the affected keys, or none, when its new rows only add to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import narwhals as nw
from narwhals import col

from assay.model.data import DataFile, Manifest, Version, dataset_of_delta, rows_in
from assay.model.ports import Destination, Frame, Session
from assay.model.schema import Schema
from assay.model.source import POSITION
from assay.model.table import Table
from assay.model.write import FirstInSource
from assay.runtime.computing.account import scalar
from assay.runtime.computing.changes import Before, Changes, all_new, compare
from assay.runtime.computing.narrow import Scope
from assay.runtime.computing.settle import Settled
from assay.runtime.work import Work


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a table's new rows do to its files."""

    change: Changes
    schema: Schema
    added: tuple[DataFile, ...]
    removed: tuple[str, ...]
    stands: tuple[DataFile, ...]
    """All files as they will stand."""
    written: int
    """Rows that were computed and stand, by the files' footers: without those carried over from replaced files."""
    gone: tuple[DataFile, ...] = ()
    """Of the keys for whose sake files were replaced, the rows as they were."""
    came: tuple[DataFile, ...] = ()
    """And as they are."""

    def told_in(self, manifest: Manifest) -> Manifest:
        """Return a table's manifest with what becomes of its files."""
        changed, added, removed = self.change.changed, self.added, self.removed
        return replace(manifest, changed=changed, added=added, removed=removed, gone=self.gone, came=self.came)


def adds_to(work: Work, table: Table, session: Session, rows: Frame) -> bool:
    """Return whether new rows can only add to a table: no row it has would give way to one of them.

    Of rows with one key the first in the source stays, so they must stand behind all that the table has; without
    `keep`, their keys must be new to it, as two rows with one key are a fault that is judged over all rows.
    """
    base = work.base(table.name)
    if not table.key or base is None:
        return True
    unknown = nw.any_horizontal(*(col(name).is_null() for name in table.key), ignore_nulls=True)
    if scalar(session, rows.filter(unknown).select(nw.len())):
        # Null equals null in a key, and no join knows it.
        return False
    published = work.scan(session, base.files, base.schema, "published")
    if isinstance(table.keep, FirstInSource):
        ((last,),) = session.fetch(published.select(col(POSITION).max()))
        ((first,),) = session.fetch(rows.select(col(POSITION).min()))
        return last is None or first is None or first > last
    return not scalar(session, rows.join(published.select(*table.key), on=list(table.key), how="semi").select(nw.len()))


def replace_rows(
    work: Work, table: Table, session: Session, settled: Settled, scope: Scope, keys: Frame | None, attempt: int
) -> Replaced:
    """Compare the rows that stand with the published ones, and write what differs."""
    base = work.base(table.name)
    new = all_new(work, table, settled.frame, settled.rows)
    if base is None:
        return _whole(work, table, session, new, attempt)
    if scope.mode == "new":
        return _added(work, table, session, new, new.frame, attempt)
    published = work.scan(session, base.files, base.schema, "published")
    if keys is not None:
        published = session.hold(published.join(keys, on=list(scope.on), how="semi"))
    count = scalar(session, published.select(nw.len())) if keys is not None else base.rows
    before = Before(published, base.schema, count)
    change = compare(work, table, session, settled.frame, settled.rows, before)
    if not change.changed and base.partition_by == table.partition_by:
        return Replaced(change, base.schema, (), (), base.files, count)
    if keys is None:
        return _whole(work, table, session, change, attempt)
    if change.only_inserted:
        found = _added(work, table, session, change, change.inserts, attempt)
        return replace(found, written=found.written + change.unchanged)
    return _touched(work, table, session, change, Touched(keys, published, scope.on), attempt)


@dataclass(frozen=True, slots=True)
class Touched:
    """The affected keys, and their published rows."""

    keys: Frame
    rows: Frame
    on: tuple[str, ...]
    """The columns that the keys are of."""


def _whole(work: Work, table: Table, session: Session, change: Changes, attempt: int) -> Replaced:
    base = work.base(table.name)
    schema = work.traced[table.name].stored.following(base.schema if base else None, base.next_field_id if base else 1)
    files = session.write(change.frame, _to(work, table, schema, attempt))
    removed = tuple(file.path for file in base.files) if base else ()
    # A table is new even when it is empty, and its files may change when its content does not.
    return Replaced(replace(change, changed=True), schema, files, removed, files, rows_in(files))


def _added(work: Work, table: Table, session: Session, change: Changes, rows: Frame, attempt: int) -> Replaced:
    base = _published(work, table)
    files = session.write(rows, _to(work, table, base.schema, attempt)) if change.changed else ()
    return Replaced(change, base.schema, files, (), (*base.files, *files), rows_in(files))


def _touched(work: Work, table: Table, session: Session, change: Changes, touched: Touched, attempt: int) -> Replaced:
    """Write anew the files that hold an affected key: their other rows are carried over as they are."""
    base = _published(work, table)
    paths = session.files_with(work.warehouse.local(base.files), base.files, base.schema, touched.keys, touched.on)
    replaced = [file for file in base.files if file.path in set(paths)]
    others = work.scan(session, replaced, base.schema, "replaced")
    others = others.join(touched.keys, on=list(touched.on), how="anti")
    carried = scalar(session, others.select(nw.len()))
    rows = nw.concat([session.cast(others, base.schema), session.cast(change.frame, base.schema)])
    files = session.write(rows, _to(work, table, base.schema, attempt))
    kept = tuple(file for file in base.files if file.path not in set(paths))
    seen = Schema(tuple(base.schema[c.name] for c in work.traced[table.name].seen))
    folder = work.warehouse.folder(dataset_of_delta(work.dataset(table.name)), work.handle.id)
    to = Destination(work.warehouse.root, folder, f"{work.prefix(attempt)}-gone", seen, temporary=True)
    gone = session.write(session.cast(touched.rows, seen), to)
    to = replace(_to(work, table, base.schema, attempt), folder=folder, prefix=f"{work.prefix(attempt)}-came")
    came = session.write(session.cast(change.frame, base.schema), replace(to, temporary=True))
    return Replaced(change, base.schema, files, paths, (*kept, *files), rows_in(files) - carried, gone, came)


def _published(work: Work, table: Table) -> Version:
    base = work.base(table.name)
    assert base is not None, "only a published table is computed in part"
    return base


def _to(work: Work, table: Table, schema: Schema, attempt: int) -> Destination:
    folder = work.warehouse.folder(work.dataset(table.name), work.handle.id)
    return Destination(work.warehouse.root, folder, work.prefix(attempt), schema, table.partition_by)
