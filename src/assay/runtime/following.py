"""Following a database: all of its tables that a run needs are read in one snapshot, and staged at once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from assay.model.database import PostgresTable
from assay.model.run import NodeRun
from assay.runtime.brought import Errand
from assay.runtime.mirroring import Mirrored, mirror
from assay.runtime.rejects import rejects_of
from assay.runtime.work import Work
from assay.sources.postgres.looking import Asked
from assay.sources.postgres.reading import Reading, read
from assay.sources.postgres.snapshot import Snapshot, taken

_T = TypeVar("_T")


def follow(work: Work, name: str, attempt: int) -> NodeRun:
    """Read a source and all others of its database, and stage what has changed in them.

    Returns the record of the one, with those of the others along.
    """
    tables = {each: table for each, table in _tables(work, name).items() if each in work.plan.sources}
    with tempfile.TemporaryDirectory(prefix="rows-", dir=work.engine.room) as folder:
        read = _read(work, tables, Path(folder))
        mirrored = _side_by_side(work, list(tables), lambda each: _mirrored(work, each, read[each], attempt))
    work.warehouse.record(work.handle, *(manifest for each in mirrored.values() for manifest in each.manifests))
    along = tuple(each.node for other, each in mirrored.items() if other != name)
    return replace(mirrored[name].node, along=along)


def _tables(work: Work, name: str) -> Mapping[str, PostgresTable]:
    return next(tables for tables in work.pipeline.databases.values() if name in tables)


def _read(work: Work, tables: Mapping[str, PostgresTable], folder: Path) -> dict[str, Reading]:
    """Read all tables; their database is left alone as soon as the last row has come."""
    url = next(iter(tables.values())).database.url
    with taken(url, horizon=any(table.mode == "horizon" for table in tables.values())) as snapshot:
        return _side_by_side(work, list(tables), lambda each: _read_one(work, each, tables[each], snapshot, folder))


def _read_one(work: Work, name: str, table: PostgresTable, snapshot: Snapshot, folder: Path) -> Reading:
    base, plan = work.base(name), work.plan.sources[name]
    asked = Asked(table, base.schema.names if base else (), plan.slices[0].watermark, _standing(work, name))
    own = folder / name
    own.mkdir()
    with snapshot.reading() as connection:
        return read(asked, snapshot, connection, own, whole=plan.whole)


def _standing(work: Work, name: str) -> int:
    base = work.base(name)
    return sum(file.rows for file in (*(base.files if base else ()), *rejects_of(work, name)))


def _mirrored(work: Work, name: str, found: Reading, attempt: int) -> Mirrored:
    source = _tables(work, name)[name]
    with work.engine.session() as session:
        return mirror(Errand(work, name, source, found, session, attempt))


def _side_by_side(work: Work, names: Sequence[str], do: Callable[[str], _T]) -> dict[str, _T]:
    with ThreadPoolExecutor(min(len(names), work.settings.worker_count), thread_name_prefix="assay-rows") as pool:
        return dict(zip(names, pool.map(do, names), strict=True))
