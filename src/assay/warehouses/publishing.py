"""What every SQL warehouse writes in the transaction that publishes a run, after checking that it still may."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, func, insert, select, tuple_, update

from assay.model.data import Manifest, TableMetadata
from assay.model.errors import ConflictError, OwnerError, WarehouseError
from assay.model.ledger import Ledger
from assay.model.outcome import UnitRun
from assay.model.ports import Publication
from assay.model.run import NodeRun, RunHandle, RunResult
from assay.model.source import Slice
from assay.warehouses import lease, serial
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
from assay.warehouses.listed import listed

_COUNTED = ("written", "unchanged", "computed", "failed")
"""What a node is that has a ledger."""
TRIED = "tried"
"""In the plan of a run that has ended: how datasets that it found unchanged had been made before."""
WAY = ("run", "fingerprint", "inputs", "as_of", "key")
"""Columns of a version that say how it was made, with its number."""
_PLAIN = ("returned", "rejected", "deduplicated", "written", "inserted", "updated", "unchanged", "deleted")


def check_pointers(connection: Connection, publication: Publication) -> None:
    """Raise ConflictError where any dataset read or written is not as it was when the run was planned."""
    names = list(publication.reads)
    query = select(DATASETS.c.name, DATASETS.c.version, DATASETS.c.pipeline).where(DATASETS.c.name.in_(names))
    now = {row.name: row for row in connection.execute(query)}
    for name, planned in publication.reads.items():
        found = now[name].version if name in now else None
        if found != planned:
            raise ConflictError(f"{name} was published by run {found} after this run was planned.")
    for name in publication.manifests:
        if name in now and now[name].pipeline != publication.pipeline:
            raise OwnerError(name, now[name].pipeline, publication.pipeline)


def write(
    connection: Connection, handle: RunHandle, publication: Publication, metadata: Mapping[str, TableMetadata]
) -> None:
    """Move every pointer, with files and slices, and write the end of the run; raises LeaseError where it is lost."""
    seq = int(connection.execute(select(func.coalesce(func.max(RUNS.c.seq), 0))).scalar_one()) + 1
    changed = [manifest for manifest in publication.manifests.values() if manifest.changed]
    _check_one_schema(connection, changed)
    _move_pointers(connection, handle.id, publication.pipeline, changed)
    _move_files(connection, seq, changed)
    _move_slices(connection, seq, changed)
    _insert_versions(connection, handle.id, seq, changed, metadata)
    _forget_undone(connection, changed)
    unchanged = [manifest for manifest in publication.manifests.values() if not manifest.changed]
    tried = _ways(connection, unchanged)
    for manifest in unchanged:
        _mark_tried(connection, manifest)
    write_end(connection, handle, publication.result, seq if publication.changes else None, tried)


def _ways(connection: Connection, manifests: Sequence[Manifest]) -> dict[str, Any]:
    """Return how datasets were made as they stand, which an undo brings back: by dataset, with the version."""
    standing = (DATASETS.c.name == VERSIONS.c.dataset) & (DATASETS.c.version == VERSIONS.c.run)
    query = select(VERSIONS.c.dataset, *(VERSIONS.c[name] for name in WAY)).join(DATASETS, standing)
    return {row[0]: dict(zip(WAY, row[1:], strict=True)) for row in _by_dataset(connection, query, VERSIONS, manifests)}


def _mark_tried(connection: Connection, manifest: Manifest) -> None:
    """Record that equal content was made in another way: the next run must know that this way was tried."""
    mine = (VERSIONS.c.dataset == manifest.dataset) & (VERSIONS.c.run == manifest.base)
    way = {"fingerprint": manifest.fingerprint, "inputs": dict(manifest.inputs), "as_of": manifest.as_of}
    connection.execute(update(VERSIONS).where(mine).values(**way, key=list(manifest.key)))
    _move_watermarks(connection, manifest)


def _check_one_schema(connection: Connection, manifests: Sequence[Manifest]) -> None:
    """Raise WarehouseError where a version would have files of other columns than its own: they are read by name."""
    query = select(VERSIONS.c.dataset, VERSIONS.c.columns).join(
        DATASETS, (DATASETS.c.name == VERSIONS.c.dataset) & (DATASETS.c.version == VERSIONS.c.run)
    )
    bases = dict(_by_dataset(connection, query, VERSIONS, manifests))
    for manifest in manifests:
        if bases.get(manifest.dataset, columns := manifest.schema.to_json()) == columns:
            continue
        live = (FILES.c.dataset == manifest.dataset) & FILES.c.removed_seq.is_(None)
        kept = select(FILES.c.id).where(live, FILES.c.path.not_in(listed(connection, manifest.removed)))
        if connection.execute(kept.limit(1)).first():
            raise WarehouseError(f"{manifest.dataset} has other columns than files that it keeps; please report it.")


def _by_dataset(
    connection: Connection, query: Select[Any], table: Table, manifests: Sequence[Manifest]
) -> Sequence[Any]:
    """Return the rows of a query that are of the manifests' datasets."""
    return connection.execute(query.where(table.c.dataset.in_([manifest.dataset for manifest in manifests]))).all()


def _forget_undone(connection: Connection, manifests: Sequence[Manifest]) -> None:
    """Forget that a delivery was undone, when it is published again because that was asked for."""
    again = {(m.dataset, part.name, part.identity.sha256) for m in manifests for part in m.slices}
    key = (UNDONE.c.dataset, UNDONE.c.name, UNDONE.c.sha256)
    undone = {tuple(row) for row in _by_dataset(connection, select(*key), UNDONE, manifests)}
    for mine in undone & again:
        connection.execute(delete(UNDONE).where(tuple_(*key) == mine))


def write_end(
    connection: Connection,
    handle: RunHandle,
    result: RunResult,
    seq: int | None = None,
    tried: Mapping[str, Any] | None = None,
) -> None:
    """Write the run's end, ledger and checks, and give the lease back; raises LeaseError where it is lost.

    With the number of its publish, and how datasets that it found unchanged had been made before.
    """
    lease.release(connection, handle)
    for account in (LEDGER, CHECKS):
        # A run that was resumed has written one before.
        connection.execute(delete(account).where(account.c.run == handle.id))
    _write_accounts(connection, handle.id, result.nodes.values())
    if result.ok:
        _forget_staged(connection, handle.id, tried)
    connection.execute(
        update(RUNS)
        .where(RUNS.c.id == handle.id)
        .values(state=result.state, ended_at=dt.datetime.now(dt.UTC).isoformat(), seq=seq, result=result.to_json())
    )


def _forget_staged(connection: Connection, run: int, tried: Mapping[str, Any] | None) -> None:
    """Forget what only a resume needs: it names every slice there is, so that runs would grow with their number."""
    connection.execute(delete(MANIFESTS).where(MANIFESTS.c.run == run))
    plan = connection.execute(select(RUNS.c.plan).where(RUNS.c.id == run)).scalar_one()
    told = {name: value for name, value in plan.items() if name != "sources"} | {TRIED: dict(tried or {})}
    connection.execute(update(RUNS).where(RUNS.c.id == run).values(plan=told))


def write_node(connection: Connection, handle: RunHandle, node: NodeRun) -> None:
    """Write what a node did; a later attempt of the same run replaces it."""
    write_step(connection, handle, node)
    connection.execute(
        delete(QUARANTINE_FILES).where(QUARANTINE_FILES.c.run == handle.id, QUARANTINE_FILES.c.node == node.name)
    )
    for path in node.quarantine:
        connection.execute(insert(QUARANTINE_FILES).values(run=handle.id, path=path, node=node.name))


def _insert_versions(
    connection: Connection,
    run: int,
    seq: int,
    manifests: Sequence[Manifest],
    metadata: Mapping[str, TableMetadata],
) -> None:
    """Insert the versions of datasets whose files have been moved."""
    counted = select(FILES.c.dataset, func.sum(FILES.c.row_count)).where(FILES.c.removed_seq.is_(None))
    rows = dict(_by_dataset(connection, counted.group_by(FILES.c.dataset), FILES, manifests))
    new = [
        {
            "dataset": manifest.dataset,
            "run": run,
            "seq": seq,
            "columns": manifest.schema.to_json(),
            "next_field_id": manifest.next_field_id,
            "partition_by": list(manifest.partition_by),
            "row_count": int(rows.get(manifest.dataset, 0)),
            "fingerprint": manifest.fingerprint,
            "inputs": dict(manifest.inputs),
            "as_of": manifest.as_of,
            "metadata_location": told.location if (told := metadata.get(manifest.dataset)) else None,
            "metadata_files": list(told.files) if told else [],
            "key": list(manifest.key),
            "stamps": manifest.stamps,
        }
        for manifest in manifests
    ]
    _insert_all(connection, VERSIONS, new)


def _insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _move_pointers(connection: Connection, run: int, pipeline: str, manifests: Sequence[Manifest]) -> None:
    new = [{"name": m.dataset, "pipeline": pipeline, "version": run} for m in manifests if m.base is None]
    _insert_all(connection, DATASETS, new)
    for manifest in (m for m in manifests if m.base is not None):
        stands = (DATASETS.c.name == manifest.dataset) & (DATASETS.c.version == manifest.base)
        if connection.execute(update(DATASETS).where(stands).values(version=run)).rowcount != 1:
            raise ConflictError(f"{manifest.dataset} was published by another run in the meantime.")


def _move_files(connection: Connection, seq: int, manifests: Sequence[Manifest]) -> None:
    for manifest in manifests:
        if manifest.removed:
            live = (FILES.c.dataset == manifest.dataset) & FILES.c.removed_seq.is_(None)
            removed = live & FILES.c.path.in_(listed(connection, manifest.removed))
            gone = connection.execute(update(FILES).where(removed).values(removed_seq=seq)).rowcount
            if gone != len(manifest.removed):
                raise ConflictError(f"{manifest.dataset} has lost files that this run meant to replace.")
    _insert_all(connection, FILES, [_file_row(m.dataset, file, seq) for m in manifests for file in m.added])


def _file_row(dataset: str, file: Any, seq: int) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "path": file.path,
        "row_count": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "partition": dict(file.partition),
        "slice": file.slice,
        "added_seq": seq,
    }


def _move_slices(connection: Connection, seq: int, manifests: Sequence[Manifest]) -> None:
    standing = select(SLICES).where(SLICES.c.removed_seq.is_(None))
    now: dict[str, dict[str, Slice]] = defaultdict(dict)
    for row in _by_dataset(connection, standing, SLICES, manifests):
        now[row.dataset][row.name] = serial.slice_from_row(row._mapping)
    new = []
    for manifest in manifests:
        before, after = now[manifest.dataset], {part.name: part for part in manifest.slices}
        if gone := [name for name, part in before.items() if after.get(name) != part]:
            live = (SLICES.c.dataset == manifest.dataset) & SLICES.c.removed_seq.is_(None)
            removed = live & SLICES.c.name.in_(listed(connection, gone))
            connection.execute(update(SLICES).where(removed).values(removed_seq=seq))
        came = [part for part in after.values() if before.get(part.name) != part]
        new += [serial.slice_to_row(manifest.dataset, part, seq) for part in came]
    _insert_all(connection, SLICES, new)


def _move_watermarks(connection: Connection, manifest: Manifest) -> None:
    """Let slices whose rows stand as they were tell how far they have been read since: a log must not be kept for it.

    In place, since no run has published anything: undoing others leaves it alone.
    """
    live = (SLICES.c.dataset == manifest.dataset) & SLICES.c.removed_seq.is_(None)
    for part in manifest.slices:
        if part.watermark is not None:
            moved = live & (SLICES.c.name == part.name) & (SLICES.c.watermark != part.watermark)
            connection.execute(update(SLICES).where(moved).values(serial.watermark_to_row(part)))


def write_step(connection: Connection, handle: RunHandle, step: NodeRun | UnitRun) -> None:
    """Write the record of a node, or of a step of a workflow, in the place of an earlier one."""
    mine = (NODES.c.run == handle.id) & (NODES.c.node == step.name)
    values = {"status": step.status, "body": step.to_json()}
    if connection.execute(update(NODES).where(mine).values(**values)).rowcount == 0:
        connection.execute(insert(NODES).values(run=handle.id, node=step.name, **values))


def _write_accounts(connection: Connection, run: int, nodes: Collection[NodeRun]) -> None:
    counted = [node for node in nodes if node.attempts and node.status in _COUNTED]
    lines = [(node.name, *line) for node in counted for line in _lines(node.ledger)]
    _insert_all(
        connection,
        LEDGER,
        [{"run": run, "node": node, "line": a, "name": b, "row_count": c} for node, a, b, c in lines],
    )
    judged = [(node.name, verdict) for node in nodes for verdict in node.verdicts]
    _insert_all(
        connection,
        CHECKS,
        [
            {"run": run, "node": node, "name": v.check, "action": v.action, "broken": v.broken, "detail": v.detail}
            for node, v in judged
        ],
    )


def _lines(ledger: Ledger) -> list[tuple[str, str, int]]:
    """Return the lines of a ledger: what it counts, of which input or reason, and how many rows."""
    read = [("read", name, rows) for name, rows in ledger.read.items()]
    filtered = [("filtered", reason, rows) for reason, rows in ledger.filtered.items()]
    return [*read, *filtered, *((line, "", getattr(ledger, line)) for line in _PLAIN)]
