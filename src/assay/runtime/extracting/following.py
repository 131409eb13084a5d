"""Following a database: the tables that are read together are read in one snapshot, and staged at once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from assay.model.data import rows_in
from assay.model.database import PostgresTable
from assay.model.run import NodeRun
from assay.runtime.computing.rejects import rejects_of
from assay.runtime.extracting.brought import Errand
from assay.runtime.extracting.mirroring import Mirrored, UntoldError, mirror
from assay.runtime.work import Work
from assay.sources.postgres.connection import answers, cancel, connect
from assay.sources.postgres.log import Logged, read_log
from assay.sources.postgres.looking import Asked
from assay.sources.postgres.reading import Reading, RewrittenError, read
from assay.sources.postgres.snapshot import Snapshot, taken

_MOST_SNAPSHOTS = 5
"""So many are taken where tables are loaded anew meanwhile: each of the others has told of one more table."""
_T = TypeVar("_T")


def follow(work: Work, name: str, attempt: int) -> NodeRun:
    """Read a source and all that are read together with it, and stage what has changed in them.

    Returns the record of the one, with those of the others along.
    """
    names = [each for each in work.pipeline.together(name) if each in work.plan.sources]
    tables = {each: table for each, table in _tables(work, name).items() if each in names}
    mirrored = brought_over(work, tables, attempt)
    work.warehouse.record(work.handle, *(manifest for each in mirrored.values() for manifest in each.manifests))
    along = tuple(each.node for other, each in mirrored.items() if other != name)
    return replace(mirrored[name].node, along=along)


def brought_over(work: Work, tables: Mapping[str, PostgresTable], attempt: int) -> dict[str, Mirrored]:
    """Read tables of one database in one snapshot, and return what is to be recorded of each."""
    with tempfile.TemporaryDirectory(prefix="rows-", dir=work.engine.room) as folder:
        try:
            return _mirror_all(work, _read(work, tables, Path(folder)), attempt)
        except UntoldError as error:
            return _mirror_all(work, _read(work, tables, Path(folder), failed=str(error)), attempt)


def _tables(work: Work, name: str) -> Mapping[str, PostgresTable]:
    return next(tables for tables in work.pipeline.databases.values() if name in tables)


def _read(
    work: Work, tables: Mapping[str, PostgresTable], folder: Path, failed: str | None = None
) -> dict[str, Reading]:
    """Read all tables; their database is left alone as soon as the last row has come.

    Where it is known that what has changed does not tell enough, all rows are read.
    """
    database = next(iter(tables.values())).database
    asked = {name: _asked(work, name, table) for name, table in tables.items()}
    by_log = {name: each for name, each in asked.items() if each.source.mode == "cdc"}
    whole = failed is not None or any(work.plan.sources[name].whole for name in by_log)
    logged = Logged()
    if by_log:
        with work.lanes.reading():
            logged = read_log(database.url, _slot(work), by_log, folder, whole=whole)
    rest = [name for name in asked if name not in logged.readings]
    if not rest:
        return dict(logged.readings)
    read = _in_one_snapshot(work, asked, rest, folder, failed=failed is not None)
    read |= {name: logged.stored(read[name], name, failed) for name in by_log.keys() & read.keys()}
    return {**logged.readings, **read}


def _in_one_snapshot(
    work: Work, asked: Mapping[str, Asked], names: Sequence[str], folder: Path, *, failed: bool
) -> dict[str, Reading]:
    """Read tables in one snapshot; in another one, where one of them was loaded anew before it was its turn.

    That one is the first then, so that it is hardly ever loaded between the snapshot and its turn.
    """
    order, left = list(names), _MOST_SNAPSHOTS
    while True:
        left -= 1
        try:
            return _in_new_snapshot(work, asked, order, folder, failed=failed)
        except RewrittenError as error:
            if not left:
                raise
            again = [name for name in order if asked[name].source.relation == error.relation]
            order = [*again, *(name for name in order if name not in again)]


def _in_new_snapshot(
    work: Work, asked: Mapping[str, Asked], names: Sequence[str], folder: Path, *, failed: bool
) -> dict[str, Reading]:
    url = next(iter(asked.values())).source.database.url
    horizon = any(each.source.mode == "horizon" for each in asked.values())
    with (
        work.lanes.connections.lent(url, partial(connect, url), answers) as connection,
        taken(connection, url, horizon=horizon) as snapshot,
    ):
        return _side_by_side(
            names,
            lambda name: _read_one(work, name, asked[name], snapshot, folder, whole=failed),
            work.settings.database_limit,
        )


def _asked(work: Work, name: str, table: PostgresTable) -> Asked:
    base = work.base(name)
    columns = base.schema.names if base else ()
    return Asked(table, columns, work.plan.sources[name].slices[0].watermark, _standing(work, name))


def _read_one(work: Work, name: str, asked: Asked, snapshot: Snapshot, folder: Path, *, whole: bool) -> Reading:
    own = folder / name
    own.mkdir(exist_ok=True)
    whole = whole or work.plan.sources[name].whole or asked.source.mode == "cdc"
    with (
        work.lanes.reading(),
        snapshot.reading() as connection,
        work.engine.stopping(partial(cancel, connection)),
    ):
        if work.plan.surely_changes:
            work.warehouse.warm_up()
        return read(asked, snapshot, connection, own, whole=whole)


def _slot(work: Work) -> str:
    """Return what the pipeline's slots and publications are named after: another warehouse has read another part."""
    place = sha256(work.warehouse.url.encode()).hexdigest()[:8]
    return f"assay_{work.pipeline.name[:40]}_{place}"


def _standing(work: Work, name: str) -> int:
    base = work.base(name)
    return rows_in((*(base.files if base else ()), *rejects_of(work, name)))


def _mirror_all(work: Work, read: Mapping[str, Reading], attempt: int) -> dict[str, Mirrored]:
    return _side_by_side(
        list(read), lambda name: _mirrored(work, name, read[name], attempt), work.settings.worker_count
    )


def _mirrored(work: Work, name: str, found: Reading, attempt: int) -> Mirrored:
    source = _tables(work, name)[name]
    with work.lanes.computing(), work.engine.session() as session:
        return mirror(Errand(work, name, source, found, session, attempt))


def _side_by_side(names: Sequence[str], do: Callable[[str], _T], most: int) -> dict[str, _T]:
    if len(names) == 1:
        return {names[0]: do(names[0])}
    with ThreadPoolExecutor(min(len(names), most), thread_name_prefix="assay-rows") as pool:
        return dict(zip(names, pool.map(do, names), strict=True))
