"""What every SQL warehouse writes in the transaction that publishes a run, after checking that it still may."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from assay.model.data import Manifest, TableMetadata
from assay.model.errors import ConflictError, OwnerError, WarehouseError
from assay.model.outcome import UnitRun
from assay.model.ports import Publication
from assay.model.run import NodeRun, RunHandle, RunResult
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


def write_versions(
    connection: Connection, handle: RunHandle, publication: Publication, metadata: Mapping[str, TableMetadata]
) -> int:
    """Move every pointer, with files and slices, and return the number of this publish."""
    seq = int(connection.execute(select(func.coalesce(func.max(RUNS.c.seq), 0))).scalar_one()) + 1
    for dataset, manifest in publication.manifests.items():
        if manifest.changed:
            _check_one_schema(connection, manifest)
            _insert_version(connection, handle.id, seq, manifest, metadata.get(dataset))
            _move_pointer(connection, handle.id, publication.pipeline, manifest)
            _move_files(connection, seq, manifest)
            _move_slices(connection, seq, manifest)
            _forget_undone(connection, manifest)
        else:
            # Equal content made in another way: the next run must know that this way was tried.
            connection.execute(
                update(VERSIONS)
                .where(VERSIONS.c.dataset == dataset, VERSIONS.c.run == manifest.base)
                .values(
                    fingerprint=manifest.fingerprint,
                    inputs=dict(manifest.inputs),
                    as_of=manifest.as_of,
                    key=list(manifest.key),
                )
            )
            _move_watermarks(connection, manifest)
    return seq


def _check_one_schema(connection: Connection, manifest: Manifest) -> None:
    """Raise WarehouseError where a version would have files of other columns than its own: they are read by name."""
    mine = (VERSIONS.c.dataset == manifest.dataset) & (VERSIONS.c.run == manifest.base)
    base = connection.execute(select(VERSIONS.c.columns).where(mine)).scalar()
    if base is None or base == manifest.schema.to_json():
        return
    kept = (FILES.c.dataset == manifest.dataset) & FILES.c.removed_seq.is_(None) & FILES.c.path.not_in(manifest.removed)
    if connection.execute(select(func.count()).select_from(FILES).where(kept)).scalar_one():
        raise WarehouseError(f"{manifest.dataset} has other columns than files that it keeps; please report it.")


def _forget_undone(connection: Connection, manifest: Manifest) -> None:
    """Forget that a delivery was undone, when it is published again because that was asked for."""
    mine = UNDONE.c.dataset == manifest.dataset
    undone = {(name, sha256) for name, sha256 in connection.execute(select(UNDONE.c.name, UNDONE.c.sha256).where(mine))}
    for name, sha256 in undone & {(part.name, part.identity.sha256) for part in manifest.slices}:
        connection.execute(delete(UNDONE).where(mine, UNDONE.c.name == name, UNDONE.c.sha256 == sha256))


def write_end(connection: Connection, handle: RunHandle, result: RunResult, seq: int | None) -> None:
    """Write the run's end, ledger and checks, and give the lease back; raises LeaseError where it is lost."""
    lease.release(connection, handle)
    for account in (LEDGER, CHECKS):
        # A run that was resumed has written one before.
        connection.execute(delete(account).where(account.c.run == handle.id))
    for node in result.nodes.values():
        _write_account(connection, handle.id, node)
    if result.ok:
        _forget_staged(connection, handle.id)
    connection.execute(
        update(RUNS)
        .where(RUNS.c.id == handle.id)
        .values(state=result.state, ended_at=dt.datetime.now(dt.UTC).isoformat(), seq=seq, result=result.to_json())
    )


def _forget_staged(connection: Connection, run: int) -> None:
    """Forget what only a resume needs: it names every slice there is, so that runs would grow with their number."""
    connection.execute(delete(MANIFESTS).where(MANIFESTS.c.run == run))
    plan = connection.execute(select(RUNS.c.plan).where(RUNS.c.id == run)).scalar_one()
    told = {name: value for name, value in plan.items() if name != "sources"}
    connection.execute(update(RUNS).where(RUNS.c.id == run).values(plan=told))


def write_node(connection: Connection, handle: RunHandle, node: NodeRun) -> None:
    """Write what a node did; a later attempt of the same run replaces it."""
    write_step(connection, handle, node)
    connection.execute(
        delete(QUARANTINE_FILES).where(QUARANTINE_FILES.c.run == handle.id, QUARANTINE_FILES.c.node == node.name)
    )
    for path in node.quarantine:
        connection.execute(insert(QUARANTINE_FILES).values(run=handle.id, path=path, node=node.name))


def _insert_version(
    connection: Connection, run: int, seq: int, manifest: Manifest, metadata: TableMetadata | None
) -> None:
    kept = select(func.coalesce(func.sum(FILES.c.row_count), 0)).where(
        FILES.c.dataset == manifest.dataset, FILES.c.removed_seq.is_(None), FILES.c.path.not_in(manifest.removed)
    )
    rows = int(connection.execute(kept).scalar_one()) + sum(file.rows for file in manifest.added)
    connection.execute(
        insert(VERSIONS).values(
            dataset=manifest.dataset,
            run=run,
            seq=seq,
            columns=manifest.schema.to_json(),
            next_field_id=manifest.next_field_id,
            partition_by=list(manifest.partition_by),
            row_count=rows,
            fingerprint=manifest.fingerprint,
            inputs=dict(manifest.inputs),
            as_of=manifest.as_of,
            metadata_location=metadata.location if metadata else None,
            metadata_files=list(metadata.files) if metadata else [],
            key=list(manifest.key),
            stamps=manifest.stamps,
        )
    )


def _move_pointer(connection: Connection, run: int, pipeline: str, manifest: Manifest) -> None:
    if manifest.base is None:
        connection.execute(insert(DATASETS).values(name=manifest.dataset, pipeline=pipeline, version=run))
        return
    stands = (DATASETS.c.name == manifest.dataset) & (DATASETS.c.version == manifest.base)
    if connection.execute(update(DATASETS).where(stands).values(version=run)).rowcount != 1:
        raise ConflictError(f"{manifest.dataset} was published by another run in the meantime.")


def _move_files(connection: Connection, seq: int, manifest: Manifest) -> None:
    if manifest.removed:
        live = (FILES.c.dataset == manifest.dataset) & FILES.c.removed_seq.is_(None)
        gone = connection.execute(
            update(FILES).where(live, FILES.c.path.in_(manifest.removed)).values(removed_seq=seq)
        ).rowcount
        if gone != len(manifest.removed):
            raise ConflictError(f"{manifest.dataset} has lost files that this run meant to replace.")
    if manifest.added:
        connection.execute(insert(FILES), [_file_row(manifest.dataset, file, seq) for file in manifest.added])


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


def _move_slices(connection: Connection, seq: int, manifest: Manifest) -> None:
    live = (SLICES.c.dataset == manifest.dataset) & SLICES.c.removed_seq.is_(None)
    now = {row["name"]: serial.slice_from_row(row) for row in connection.execute(select(SLICES).where(live)).mappings()}
    after = {part.name: part for part in manifest.slices}
    gone = [name for name, part in now.items() if after.get(name) != part]
    if gone:
        connection.execute(update(SLICES).where(live, SLICES.c.name.in_(gone)).values(removed_seq=seq))
    new = [serial.slice_to_row(manifest.dataset, part, seq) for part in after.values() if now.get(part.name) != part]
    if new:
        connection.execute(insert(SLICES), new)


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


def _write_account(connection: Connection, run: int, node: NodeRun) -> None:
    ledger = node.ledger
    lines = [("read", name, rows) for name, rows in ledger.read.items()]
    lines += [("filtered", reason, rows) for reason, rows in ledger.filtered.items()]
    plain = ("returned", "rejected", "deduplicated", "written", "inserted", "updated", "unchanged", "deleted")
    lines += [(line, "", getattr(ledger, line)) for line in plain]
    if node.status in ("written", "unchanged", "computed", "failed") and node.attempts:
        connection.execute(
            insert(LEDGER),
            [{"run": run, "node": node.name, "line": a, "name": b, "row_count": c} for a, b, c in lines],
        )
    if node.verdicts:
        connection.execute(
            insert(CHECKS),
            [
                {
                    "run": run,
                    "node": node.name,
                    "name": v.check,
                    "action": v.action,
                    "broken": v.broken,
                    "detail": v.detail,
                }
                for v in node.verdicts
            ],
        )
