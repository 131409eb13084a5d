"""Extracting: each delivery becomes a slice of Parquet, every row with its position, every bad line kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from assay.model.check import Verdict
from assay.model.data import DataFile, Manifest, rows_in
from assay.model.errors import SourceError
from assay.model.files import Columnar
from assay.model.ledger import Ledger
from assay.model.ports import Session
from assay.model.run import NodeRun
from assay.model.source import Slice
from assay.runtime.computing.rejects import rejects_of_source
from assay.runtime.extracting.columnar import read_parquet
from assay.runtime.extracting.reading import Read, read_file, stored_schema
from assay.runtime.work import Work
from assay.sources import files


def extract(work: Work, name: str, session: Session, attempt: int) -> NodeRun:
    """Read the files of a source that are new or changed, and stage them as its slices."""
    plan = work.plan.sources[name]
    base = work.base(name)
    to_read = [part for part in plan.slices if part.name in plan.to_read]
    try:
        read = _read(work, name, to_read, session, attempt)
    finally:
        # Also where it could not be read: the engine need not tell which of many files it was.
        _refuse_changed(to_read)
    slices = tuple(
        replace(part, rows=rows_in(found.rows), starts=found.starts, header=found.header)
        if (found := read.get(part.name))
        else part
        for part in plan.slices
    )
    # What only other programs read of tables, nobody reads of a source.
    added = tuple(replace(file, slice=part, stats={}) for part, found in read.items() for file in found.rows)
    changed = not _same_as_published(work, name, session, slices, added)
    left = plan.to_read | plan.gone
    bad = tuple(replace(file, slice=part) for part, found in read.items() for file in found.bad_lines)
    mended = {part.mends: _mended(to_read, part.mends) for part in to_read if part.mends}
    rejects = rejects_of_source(work, name, session, bad, left, mended, attempt) if changed else None
    manifest = _manifest(work, name, attempt, slices, added, changed=changed)
    work.warehouse.record(work.handle, manifest, *filter(None, [rejects]))
    stands = [*added, *(file for file in (base.files if base else ()) if file.slice not in left)]
    # A damaged file is told by its name: how many rows it has nobody knows.
    lines = {part: () if found.damage else found.bad_lines for part, found in read.items()}
    rejected = sum(map(rows_in, lines.values()))
    new = rows_in(added)
    return NodeRun(
        name=name,
        status="computed" if changed else "unchanged",
        reason=plan.reason if changed else "read again, with the content that is published",
        rows=rows_in(stands),
        ledger=Ledger(
            read={part: rows_in((*found.rows, *lines[part])) for part, found in read.items()},
            returned=new + rejected,
            rejected=rejected,
            written=new,
        ),
        verdicts=(*_undeclared(read), *_damaged(read)),
        quarantine=tuple(file.path for file in bad),
    )


def _refuse_changed(parts: list[Slice]) -> None:
    for part in parts:
        if not files.unchanged_since(part.identity):
            raise SourceError(f"{part.identity.path}: changed while it was read; run again when it is complete.")


def _read(work: Work, name: str, parts: list[Slice], session: Session, attempt: int) -> dict[str, Read]:
    if isinstance(work.pipeline.sources[name], Columnar):
        return read_parquet(work, name, parts, session, attempt)
    slices = work.plan.sources[name].slices
    return {p.name: read_file(work, name, p, session, attempt, without=_mended(slices, p.name)) for p in parts}


def _mended(slices: Iterable[Slice], name: str) -> frozenset[int]:
    """Return the lines of a slice that were mended: others hold them."""
    return frozenset(line for part in slices if part.mends == name for line in part.mended_lines)


def _undeclared(read: dict[str, Read]) -> tuple[Verdict, ...]:
    found = {column: None for each in read.values() for column in each.undeclared}
    return (Verdict("columns that are not declared", "warn", len(found), ", ".join(found)),) if found else ()


def _damaged(read: dict[str, Read]) -> tuple[Verdict, ...]:
    found = [part for part, each in read.items() if each.damage]
    return (Verdict("damaged files", "warn", len(found), ", ".join(found)),) if found else ()


def _same_as_published(
    work: Work, name: str, session: Session, slices: tuple[Slice, ...], added: tuple[DataFile, ...]
) -> bool:
    """Return whether reading again gave just what is published; what it gave is then removed."""
    base = work.base(name)
    plan = work.plan.sources[name]
    known = {part.name: part.identity.sha256 for part in work.plan.state.slices.get(work.dataset(name), ())}
    if base is None or plan.gone or {part.name: part.identity.sha256 for part in slices} != known:
        return False
    schema = stored_schema(work, name)
    if schema != base.schema:
        return False
    stood = [file for file in base.files if file.slice in plan.to_read]
    before = work.scan(session, stood, schema, "published")
    if not session.same_rows(work.scan(session, added, schema, "read"), before, exactly=True):
        return False
    work.warehouse.remove(added)
    return True


def _manifest(
    work: Work, name: str, attempt: int, slices: tuple[Slice, ...], added: tuple[DataFile, ...], *, changed: bool
) -> Manifest:
    plan = work.plan.sources[name]
    base = work.base(name)
    schema = stored_schema(work, name)
    left = plan.to_read | plan.gone
    return Manifest(
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
