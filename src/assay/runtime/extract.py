"""Extracting: each delivered file becomes a slice of Parquet, every row with its position."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from assay.model.data import DataFile, Manifest
from assay.model.errors import SourceError
from assay.model.ledger import Ledger
from assay.model.ports import Destination, Rejects, Session
from assay.model.quarantine import QUARANTINE
from assay.model.run import NodeRun
from assay.model.schema import Schema
from assay.model.source import Slice
from assay.runtime.work import Work
from assay.sources import files


def extract(work: Work, name: str, session: Session, attempt: int) -> NodeRun:
    """Read the files of a source that are new or changed, and stage them as its slices."""
    plan = work.plan.sources[name]
    base = work.base(name)
    kept = [f for f in (base.files if base else ()) if f.slice not in plan.to_read | plan.gone]
    rows_kept = {f.slice: 0 for f in kept}
    for file in kept:
        rows_kept[file.slice] += file.rows
    slices, added, quarantine, reasons = [], [], [], 0
    for part in plan.slices:
        if part.name not in plan.to_read:
            slices.append(part)
            continue
        written, rejected = _extract_slice(work, name, part, session, attempt)
        added += [replace(file, slice=part.name) for file in written]
        slices.append(replace(part, rows=sum(file.rows for file in written)))
        quarantine += [file.path for file in rejected]
        reasons += sum(file.rows for file in rejected)
    _check_untouched(plan.slices, plan.to_read)
    changed = not _same_as_published(work, name, session, tuple(slices), tuple(added))
    _record(work, name, attempt, tuple(slices), tuple(added), changed=changed)
    new = sum(file.rows for file in added)
    ledger = Ledger(
        read={part.name: part.rows for part in slices if part.name in plan.to_read},
        returned=new + reasons,
        rejected=reasons,
        written=new,
    )
    rows = new + sum(rows_kept.values())
    reason = plan.reason if changed else "read again, with the content that is published"
    return NodeRun(name, "computed" if changed else "unchanged", reason, rows, ledger, quarantine=tuple(quarantine))


def _extract_slice(
    work: Work, name: str, part: Slice, session: Session, attempt: int
) -> tuple[tuple[DataFile, ...], tuple[DataFile, ...]]:
    source = work.pipeline.sources[name]
    rejects = Rejects(work.handle.id, name, {})
    prefix = f"{work.handle.id}-{attempt}"
    frame = session.open_csv(source, files.header_of(source, part.identity.path), part)
    to = Destination(
        work.warehouse.root, work.warehouse.folder(work.dataset(name), work.handle.id), prefix, _stored(work, name)
    )
    written = session.write(frame, to)
    lines = session.unfit_lines(part, rejects)
    quarantine = Destination(work.warehouse.root, work.warehouse.quarantine_folder(), prefix, QUARANTINE)
    return written, session.write(lines, quarantine)


def _stored(work: Work, name: str) -> Schema:
    base = work.base(name)
    schema = work.traced[name].stored
    return schema.following(base.schema if base else None, base.next_field_id if base else 1)


def _check_untouched(slices: tuple[Slice, ...], read: frozenset[str]) -> None:
    for part in slices:
        if part.name in read and not files.unchanged_since(part.identity):
            raise SourceError(f"{part.identity.path}: changed while it was read; run again when it is complete.")


def _same_as_published(
    work: Work, name: str, session: Session, slices: tuple[Slice, ...], added: tuple[DataFile, ...]
) -> bool:
    """Return whether reading again gave just what is published; what it gave is then removed."""
    base = work.base(name)
    plan = work.plan.sources[name]
    known = {part.name: part.identity.sha256 for part in work.plan.state.slices.get(work.dataset(name), ())}
    if base is None or plan.gone or {part.name: part.identity.sha256 for part in slices} != known:
        return False
    schema = _stored(work, name)
    if schema != base.schema:
        return False
    root = work.warehouse.root
    before = session.scan(root, [file for file in base.files if file.slice in plan.to_read], schema, "published")
    if not session.same_rows(session.scan(root, added, schema, "read"), before):
        return False
    for file in added:
        Path(root, file.path).unlink()
    return True


def _record(
    work: Work, name: str, attempt: int, slices: tuple[Slice, ...], added: tuple[DataFile, ...], *, changed: bool
) -> None:
    plan = work.plan.sources[name]
    base = work.base(name)
    schema = _stored(work, name)
    left = plan.to_read | plan.gone
    manifest = Manifest(
        dataset=work.dataset(name),
        attempt=attempt,
        base=base.id if base else None,
        changed=changed,
        schema=schema,
        next_field_id=max(schema.highest_id + 1, base.next_field_id if base else 1),
        partition_by=(),
        added=added if changed else (),
        removed=tuple(f.path for f in base.files if f.slice in left) if base and changed else (),
        fingerprint=work.traced[name].fingerprint,
        inputs={},
        slices=slices,
    )
    work.warehouse.record(work.handle, manifest)
