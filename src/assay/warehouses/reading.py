"""Reading the control tables: the published state now or as of a run, manifests, and the history."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, and_, func, or_, select
from sqlalchemy.sql import ColumnElement

from assay.model.data import DataFile, Manifest
from assay.model.errors import WarehouseError
from assay.model.past import PastRun, RecordedRun
from assay.model.published import Life, Rows, State
from assay.model.run import RunState
from assay.model.schema import Schema
from assay.model.source import Slice
from assay.warehouses import serial, vacuuming
from assay.warehouses.control import (
    CHECKS,
    DATASETS,
    FILES,
    LEDGER,
    MANIFESTS,
    NODES,
    QUARANTINE_FILES,
    RUNS,
    SLICES,
    UNDONE,
    VERSIONS,
)


def read_state(connection: Connection, at: int | dt.datetime | None = None) -> State:
    """Return what is published, or what was after run `at`, or at a time; one consistent read."""
    seq = _seq_of(connection, at)
    newest = connection.execute(select(func.coalesce(func.max(RUNS.c.seq), 0))).scalar_one()
    files: dict[str, list[DataFile]] = defaultdict(list)
    for row in connection.execute(select(FILES).where(_live(FILES, seq)).order_by(FILES.c.id)).mappings():
        files[row["dataset"]].append(serial.file_from_row(row))
    slices: dict[str, list[Slice]] = defaultdict(list)
    for row in connection.execute(select(SLICES).where(_live(SLICES, seq)).order_by(SLICES.c.number)).mappings():
        slices[row["dataset"]].append(serial.slice_from_row(row))
    versions = {}
    for row in connection.execute(_versions(seq)).mappings():
        if not row["columns"]:
            continue  # undone: it was not there any more
        versions[row["dataset"]] = serial.version_from_row(row, tuple(files[row["dataset"]]))
    owners = {row.name: row.pipeline for row in connection.execute(select(DATASETS.c.name, DATASETS.c.pipeline))}
    undone: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in connection.execute(select(UNDONE)).mappings():
        undone[row["dataset"]].add((row["name"], row["sha256"]))
    return State(
        versions,
        {name: tuple(parts) for name, parts in slices.items()},
        owners,
        {name: frozenset(found) for name, found in undone.items()},
        newest if seq is None else seq,
    )


def read_manifests(connection: Connection, run: int, datasets: Collection[str] | None) -> dict[str, Manifest]:
    """Return what a run has staged, by dataset."""
    query = select(MANIFESTS.c.dataset, MANIFESTS.c.body).where(MANIFESTS.c.run == run)
    if datasets is not None:
        query = query.where(MANIFESTS.c.dataset.in_(datasets))
    return {row.dataset: serial.manifest_from_json(row.body) for row in connection.execute(query)}


def read_quarantined(connection: Connection, run: int) -> list[str]:
    """Return the paths of the files with the rows that a run rejected."""
    return list(connection.execute(select(QUARANTINE_FILES.c.path).where(QUARANTINE_FILES.c.run == run)).scalars())


def read_all_quarantined(connection: Connection) -> list[str]:
    """Return the paths of the files with rows that any run rejected."""
    return list(connection.execute(select(QUARANTINE_FILES.c.path)).scalars())


def read_history(connection: Connection, limit: int) -> list[PastRun]:
    """Return the newest runs first."""
    return [_past(row) for row in connection.execute(select(RUNS).order_by(RUNS.c.id.desc()).limit(limit))]


def read_run(connection: Connection, run: int) -> tuple[PastRun, RecordedRun] | None:
    """Return a run as the history lists it, and with what its record says of each node."""
    row = connection.execute(select(RUNS).where(RUNS.c.id == run)).one_or_none()
    return None if row is None else (_past(row), _recorded(connection, row))


def _past(row: Row[Any]) -> PastRun:
    result = row.result or {}
    tables = result.get("tables", {})
    return PastRun(
        id=row.id,
        pipeline=row.pipeline,
        state=row.state,
        as_of=row.as_of,
        started_at=row.started_at,
        ended_at=row.ended_at,
        published=row.seq,
        rows=sum(node.get("inserted", 0) + node.get("updated", 0) for node in tables.values()),
        problems=tuple(result.get("problems", ())),
        undone=tuple(result.get("undone", ())),
        tables=tuple(name for name, node in tables.items() if node["status"] == "written" and row.state == "published"),
    )


def read_lives(connection: Connection, dataset: str) -> list[Life]:
    """Return every file that a dataset has and had, with the runs that brought it and took it away."""
    brought, took = RUNS.alias("brought"), RUNS.alias("took")
    query = (
        select(FILES, brought.c.id.label("since"), took.c.id.label("until"))
        .join(brought, brought.c.seq == FILES.c.added_seq)
        .outerjoin(took, took.c.seq == FILES.c.removed_seq)
        .where(FILES.c.dataset == dataset)
        .order_by(FILES.c.id)
    )
    versions = select(VERSIONS.c.seq, VERSIONS.c.columns).where(VERSIONS.c.dataset == dataset).order_by(VERSIONS.c.seq)
    columns = {row.seq: Schema.from_json(row.columns) for row in connection.execute(versions) if row.columns}
    # All files of a version have its columns; the version that a file came with may be forgotten.
    return [
        Life(serial.file_from_row(row), columns[min(seqs)], row["since"], row["until"])
        for row in connection.execute(query).mappings()
        if (seqs := [seq for seq in columns if seq >= row["added_seq"]])
    ]


def read_newest(connection: Connection, pipeline: str) -> RecordedRun | None:
    """Return the newest run of a pipeline, with what its record says of each node: at its end, or while it ran."""
    query = select(RUNS).where(RUNS.c.pipeline == pipeline).order_by(RUNS.c.id.desc()).limit(1)
    run = connection.execute(query).one_or_none()
    return None if run is None else _recorded(connection, run)


def _recorded(connection: Connection, run: Row[Any]) -> RecordedRun:
    nodes = {row.node: row.body for row in connection.execute(select(NODES).where(NODES.c.run == run.id))}
    ended = run.result or {}
    tables = ended.get("tables", {})
    did = {**ended.get("steps", {}), **tables}
    did |= {name: body for name, body in nodes.items() if name not in did}
    return RecordedRun(run.id, run.state, run.plan, did, tuple(ended.get("problems", ())), tuple(tables))


def read_earlier(connection: Connection, pipeline: str, run: int, among: Collection[int]) -> list[int]:
    """Return which of some runs are of a pipeline, and before this one."""
    query = select(RUNS.c.id).where(RUNS.c.pipeline == pipeline, RUNS.c.id < run, RUNS.c.id.in_(among))
    return [int(row.id) for row in connection.execute(query)]


def read_outcome(connection: Connection, run: int) -> RunState:
    """Return the state of a run."""
    state: RunState = connection.execute(select(RUNS.c.state).where(RUNS.c.id == run)).scalar_one()
    return state


def _seq_of(connection: Connection, at: int | dt.datetime | None) -> int | None:
    """Return the number of the last publish that is seen; None for all of them."""
    if at is None:
        return None
    if isinstance(at, dt.datetime):
        moment = at.replace(tzinfo=at.tzinfo or dt.UTC).astimezone(dt.UTC).isoformat()
        last = connection.execute(select(func.max(RUNS.c.seq)).where(RUNS.c.ended_at <= moment)).scalar()
        if last is None:
            raise WarehouseError(f"Nothing was published here by {moment}; `assay history` lists the runs.")
        vacuuming.refuse_forgotten(connection, last, f"What stood at {moment}")
        return int(last)
    run = at
    seq = connection.execute(select(RUNS.c.seq).where(RUNS.c.id == run)).scalar()
    if seq is None:
        raise WarehouseError(f"Run {run} has published nothing here; `assay history` lists the runs.")
    vacuuming.refuse_forgotten(connection, seq, f"What stood after run {run}")
    return int(seq)


def _live(table: Table, seq: int | None) -> ColumnElement[bool]:
    if seq is None:
        return table.c.removed_seq.is_(None)
    return and_(table.c.added_seq <= seq, or_(table.c.removed_seq.is_(None), table.c.removed_seq > seq))


def _versions(seq: int | None) -> Select[tuple[Any, ...]]:
    if seq is None:
        return select(VERSIONS).join(
            DATASETS, and_(DATASETS.c.name == VERSIONS.c.dataset, DATASETS.c.version == VERSIONS.c.run)
        )
    newest = (
        select(VERSIONS.c.dataset, func.max(VERSIONS.c.seq).label("seq"))
        .where(VERSIONS.c.seq <= seq)
        .group_by(VERSIONS.c.dataset)
        .subquery()
    )
    return select(VERSIONS).join(newest, and_(newest.c.dataset == VERSIONS.c.dataset, newest.c.seq == VERSIONS.c.seq))


def read_control(connection: Connection) -> dict[str, Rows]:
    """Return the control tables that readers see as schema `meta`, by name: what stands, and what happened."""
    shown = {
        "run": select(
            RUNS.c.id, RUNS.c.pipeline, RUNS.c.state, RUNS.c.as_of, RUNS.c.started_at, RUNS.c.ended_at, RUNS.c.seq
        ),
        "table_version": select(
            VERSIONS.c.dataset, VERSIONS.c.run, VERSIONS.c.seq, VERSIONS.c.row_count, VERSIONS.c.as_of
        ),
        "ledger": select(LEDGER),
        "check": select(CHECKS),
        "slice": select(
            SLICES.c.dataset,
            SLICES.c.name,
            SLICES.c.number,
            SLICES.c.sha256,
            SLICES.c.size,
            SLICES.c.row_count,
            SLICES.c.extracted_on,
        ).where(SLICES.c.removed_seq.is_(None)),
        "quarantine_file": select(QUARANTINE_FILES),
    }
    found = {name: connection.execute(query) for name, query in shown.items()}
    tables = {name: Rows(tuple(rows.keys()), [tuple(row) for row in rows]) for name, rows in found.items()}
    return {**tables, "replay": _replays(connection)}


def _replays(connection: Connection) -> Rows:
    """Return the lines that were replayed, and the run that did it."""
    query = select(SLICES, RUNS.c.id.label("run"), RUNS.c.pipeline, RUNS.c.result)
    loaded = query.join(RUNS, RUNS.c.seq == SLICES.c.added_seq).where(SLICES.c.mends.is_not(None))
    rows = [
        (row.run, row.pipeline, row.dataset.rpartition(".")[2], row.mends, line)
        for row in connection.execute(loaded)
        for line in row.mended_lines
        if not row.result.get("undone")  # An undo brings back what another has loaded.
    ]
    return Rows(("run", "pipeline", "node", "source_file", "line"), rows)
