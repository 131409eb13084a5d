"""The rejected rows that stand: published with their table or source, so that an undo and the past have their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import narwhals as nw
from narwhals import col

from assay.model.data import DataFile, Manifest, dataset_of_rejects, rows_in
from assay.model.ports import Destination, Frame, Session
from assay.model.quarantine import QUARANTINE
from assay.model.schema import Schema
from assay.model.table import Table
from assay.runtime.computing.account import scalar
from assay.runtime.computing.narrow import Scope
from assay.runtime.work import Work


def rejects_of_table(
    work: Work,
    table: Table,
    session: Session,
    new: tuple[DataFile, ...],
    scope: Scope,
    keys: Frame | None,
    attempt: int,
) -> Manifest | None:
    """Return what a table's rejected rows become: all are new, or those of the keys that it was computed by.

    None where they stay as they are.
    """
    base = rejects_of(work, table.name)
    if not base or scope.mode == "new":
        return _manifest(work, table.name, attempt, new, ())
    before = work.scan(session, base, QUARANTINE, "rejected")
    now = work.scan(session, new, QUARANTINE, "rejected_now")
    carried: tuple[DataFile, ...] = ()
    if keys is not None:
        kinds = Schema(tuple(work.traced[table.name].schema[name] for name in scope.on))
        others = session.rejected_apart(before, keys, kinds)
        if scalar(session, others.select(nw.len())) == rows_in(base):
            return _manifest(work, table.name, attempt, new, ())
        carried = session.write(others, _to(work, attempt))
        now = work.scan(session, (*carried, *new), QUARANTINE, "rejected_now")
    if _same(session, before, now):
        return None
    return _manifest(work, table.name, attempt, (*carried, *new), tuple(file.path for file in base))


def rejects_of_source(
    work: Work,
    name: str,
    session: Session,
    new: tuple[DataFile, ...],
    left: Collection[str],
    mended: Mapping[str, Collection[int]],
    attempt: int,
) -> Manifest | None:
    """Return what a source's bad lines become: those of slices that were read or have left go, and so do mended ones.

    None where they stay as they are.
    """
    base = rejects_of(work, name)
    gone = [file for file in base if file.slice in left or file.slice in mended]
    carried: list[DataFile] = []
    for file in gone:
        if file.slice is not None and file.slice in mended and file.slice not in left:
            rows = work.scan(session, [file], QUARANTINE, "bad_lines")
            rows = rows.filter(~col("line").is_in(sorted(mended[file.slice])))
            carried += (replace(kept, slice=file.slice) for kept in session.write(rows, _to(work, attempt)))
    return _manifest(work, name, attempt, (*carried, *new), tuple(file.path for file in gone))


def rejects_of(work: Work, name: str) -> tuple[DataFile, ...]:
    """Return the files with the rejected rows of a table or source, as they are published."""
    version = work.plan.state.versions.get(dataset_of_rejects(work.dataset(name)))
    return version.files if version else ()


def _same(session: Session, before: Frame, now: Frame) -> bool:
    """Return whether the same rows are rejected for the same reasons, whichever run found so."""
    one, other = (frame.select(*QUARANTINE.without("run").names) for frame in (before, now))
    return session.same_rows(one, other)


def _to(work: Work, attempt: int) -> Destination:
    return Destination(work.warehouse.root, work.warehouse.quarantine_folder(), work.prefix(attempt), QUARANTINE)


def _manifest(
    work: Work, name: str, attempt: int, added: tuple[DataFile, ...], removed: tuple[str, ...]
) -> Manifest | None:
    if not added and not removed:
        return None
    return work.manifest(dataset_of_rejects(work.dataset(name)), QUARANTINE, attempt, added, removed)
