"""Extracting: each delivery becomes a slice of Parquet, every row with its position, every bad line kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, assert_never

from narwhals import col, sum_horizontal

from assay.model.check import Verdict
from assay.model.data import DataFile, Manifest
from assay.model.errors import SourceError, TableError
from assay.model.ledger import Ledger
from assay.model.ports import Destination, Session
from assay.model.quarantine import QUARANTINE
from assay.model.run import NodeRun
from assay.model.schema import Schema
from assay.model.source import LINE, POSITION, REASONS, Csv, Frozen, Slice
from assay.runtime.work import Work
from assay.sources import files, lines


@dataclass(frozen=True, slots=True)
class Read:
    """What reading one file gave."""

    rows: tuple[DataFile, ...]
    bad_lines: tuple[DataFile, ...]
    undeclared: tuple[str, ...]
    """Columns of the file that the source does not declare."""


def extract(work: Work, name: str, session: Session, attempt: int) -> NodeRun:
    """Read the files of a source that are new or changed, and stage them as its slices."""
    plan = work.plan.sources[name]
    base = work.base(name)
    read = {p.name: _read(work, name, p, session, attempt) for p in plan.slices if p.name in plan.to_read}
    for part in plan.slices:
        if part.name in read and not files.unchanged_since(part.identity):
            raise SourceError(f"{part.identity.path}: changed while it was read; run again when it is complete.")
    slices = tuple(
        replace(part, rows=sum(f.rows for f in read[part.name].rows)) if part.name in read else part
        for part in plan.slices
    )
    added = tuple(replace(file, slice=part) for part, found in read.items() for file in found.rows)
    changed = not _same_as_published(work, name, session, slices, added)
    work.warehouse.record(work.handle, _manifest(work, name, attempt, slices, added, changed=changed))
    left = plan.to_read | plan.gone
    stands = [*added, *(file for file in (base.files if base else ()) if file.slice not in left)]
    rejected = sum(file.rows for found in read.values() for file in found.bad_lines)
    new = sum(file.rows for file in added)
    return NodeRun(
        name=name,
        status="computed" if changed else "unchanged",
        reason=plan.reason if changed else "read again, with the content that is published",
        rows=sum(file.rows for file in stands),
        ledger=Ledger(
            read={part: sum(f.rows for f in (*found.rows, *found.bad_lines)) for part, found in read.items()},
            returned=new + rejected,
            rejected=rejected,
            written=new,
        ),
        verdicts=_undeclared(read),
        quarantine=tuple(file.path for found in read.values() for file in found.bad_lines),
    )


def _read(work: Work, name: str, part: Slice, session: Session, attempt: int) -> Read:
    """Read one delivery of a source."""
    folder = work.warehouse.folder(work.dataset(name), work.handle.id)
    to = Destination(work.warehouse.root, folder, work.prefix(attempt), _stored(work, name))
    match work.pipeline.sources[name]:
        case Csv() as source:
            return _read_csv(work, name, source, part, session, to)
        case Frozen():
            file = DataFile(part.identity.path, part.rows, part.identity.size)
            frame = session.scan("", [file], to.schema, name)
            return Read(session.write(frame, to), (), ())
        case other:
            assert_never(other)


def _read_csv(work: Work, name: str, source: Csv, part: Slice, session: Session, to: Destination) -> Read:
    """Read a file as it is, or where anything in it is no plain record, line by line."""
    header = lines.header_of(source, part.identity.path)
    survey = lines.survey(source, part.identity.path)
    if survey.plain:
        written = session.write(session.open_csv(source, header, part, survey.newline), to)
        unfit = sum(file.stats[POSITION].nulls for file in written)
        left_out = session.lines_left_out()
        if not left_out and not unfit and _all_fields_read(source, header, part, session, survey, written):
            return Read(written, (), _undeclared_of(source, header))
        work.warehouse.remove(written)
    return _read_line_by_line(work, name, source, part, session, header, to)


def _all_fields_read(
    source: Csv, header: list[str], part: Slice, session: Session, survey: lines.Survey, written: tuple[DataFile, ...]
) -> bool:
    """Return whether every delimiter of a file parts two of its fields or stands in one.

    The engine says nothing of empty fields behind the last column, nor of lines that it takes for another's.
    """
    width = len(header)
    named = sum(name.count(source.delimiter) for name in header)
    left = survey.delimiters - named - (width - 1) * (1 + sum(file.rows for file in written))
    if left <= 0:
        return not left and bool(written or survey.lines <= 1)
    every = {f"c{n}": "VARCHAR" for n in range(width)}
    texts = session.open_csv(replace(source, columns=every, nulls=()), list(every), part, survey.newline)
    within = [
        col(name).str.len_chars() - col(name).str.replace_all(source.delimiter, "", literal=True).str.len_chars()
        for name in every
    ]
    ((found,),) = session.fetch(texts.select(sum_horizontal(*within).sum()))
    session.lines_left_out()
    return bool(left == found)


def _read_line_by_line(
    work: Work, name: str, source: Csv, part: Slice, session: Session, header: list[str], to: Destination
) -> Read:
    path = part.identity.path
    with tempfile.TemporaryDirectory(prefix="assay-lines-") as folder:
        clean, bad = Path(folder, "clean.csv"), Path(folder, "bad.jsonl")
        with clean.open("wb") as records, bad.open("w", encoding="utf-8") as kept:
            _keep(kept, work, name, part, lines.mend(source, path, len(header), records))
        if not clean.stat().st_size:
            frame = session.scan("", (), to.schema, name)
        else:
            held = session.hold(session.open_mended(source, header, part, str(clean)))
            if session.lines_left_out():
                raise TableError(f"{path}: the engine cannot read lines that look like records; please report it.")
            unfit = session.fetch(held.filter(~col(REASONS).is_null()).select(LINE, REASONS))
            reasons = {int(line): tuple(json.loads(texts)) for line, texts in unfit}
            with bad.open("a", encoding="utf-8") as kept:
                _keep(kept, work, name, part, lines.pick(source, path, len(header), reasons) if reasons else ())
            frame = held.filter(col(REASONS).is_null())
        quarantine = replace(to, folder=work.warehouse.quarantine_folder(), schema=QUARANTINE)
        rows = session.write(frame, to)
        rejected = (
            session.write(session.open_json_lines(str(bad), QUARANTINE), quarantine) if bad.stat().st_size else ()
        )
    return Read(rows, rejected, _undeclared_of(source, header))


def _keep(file: IO[str], work: Work, name: str, part: Slice, found: Iterable[lines.BadLine]) -> None:
    for line in found:
        row = {"run": work.handle.id, "node": name, "source_file": part.name, **line.to_json()}
        file.write(json.dumps(row) + "\n")


def _undeclared_of(source: Csv, header: list[str]) -> tuple[str, ...]:
    return tuple(column for column in header if column not in source.columns)


def _undeclared(read: dict[str, Read]) -> tuple[Verdict, ...]:
    found = {column: None for each in read.values() for column in each.undeclared}
    return (Verdict("columns that are not declared", "warn", len(found), ", ".join(found)),) if found else ()


def _stored(work: Work, name: str) -> Schema:
    base = work.base(name)
    schema = work.traced[name].stored
    return schema.following(base.schema if base else None, base.next_field_id if base else 1)


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
    work.warehouse.remove(added)
    return True


def _manifest(
    work: Work, name: str, attempt: int, slices: tuple[Slice, ...], added: tuple[DataFile, ...], *, changed: bool
) -> Manifest:
    plan = work.plan.sources[name]
    base = work.base(name)
    schema = _stored(work, name)
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
