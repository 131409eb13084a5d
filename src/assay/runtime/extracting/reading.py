"""Reading one delivered file: as it is, or line by line where anything in it is no plain record."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from narwhals import col

from assay.model.data import DataFile, rows_in
from assay.model.errors import TableError
from assay.model.files import Csv, DataFrame, Frozen, Parquet
from assay.model.ports import Destination, Frame, Session
from assay.model.quarantine import QUARANTINE
from assay.model.schema import Schema
from assay.model.source import LINE, PART_BIT, POSITION, REASONS, Slice
from assay.runtime.work import Work
from assay.sources import lines

_MOST_STARTS = 1_000
"""Of a file whose rows begin in more places than this, lines are not known."""


@dataclass(frozen=True, slots=True)
class Read:
    """What reading one file gave."""

    rows: tuple[DataFile, ...]
    bad_lines: tuple[DataFile, ...]
    undeclared: tuple[str, ...] = ()
    """Columns of the file that the source does not declare."""
    starts: tuple[tuple[int, int], ...] = ()
    """As in its slice."""
    header: tuple[str, ...] = ()
    damage: str | None = None
    """Why the whole file is in the quarantine."""


def read_file(work: Work, name: str, part: Slice, session: Session, attempt: int, *, without: Collection[int]) -> Read:
    """Read one delivery of a source of text, or of frozen rows, but for some of its lines."""
    to = destination(work, name, attempt)
    match work.pipeline.sources[name]:
        case Csv() as source:
            header = lines.header_of(source, part.identity.path)
            found = None if without else _read_as_it_is(work, source, header, part, session, to)
            found = found or _read_line_by_line(work, name, source, part, session, to, without)
            undeclared = tuple(column for column in header if column not in source.columns)
            return replace(found, undeclared=undeclared, header=tuple(header))
        case Frozen():
            file = DataFile(part.identity.path, part.rows, part.identity.size)
            frame = session.scan("", [file], to.schema, name)
            return Read(session.write(frame, to), ())
        case Parquet() | DataFrame():
            raise AssertionError("Parquet files are read many at a time")
        case other:
            raise AssertionError(f"{type(other).__name__} has no files")


def destination(work: Work, name: str, attempt: int) -> Destination:
    """Return where the rows of a source are staged."""
    folder = work.warehouse.folder(work.dataset(name), work.handle.id)
    return Destination(work.warehouse.root, folder, work.prefix(attempt), stored_schema(work, name))


def _read_as_it_is(
    work: Work, source: Csv, header: list[str], part: Slice, session: Session, to: Destination
) -> Read | None:
    """Return what the engine reads of a file by itself; None where anything in it is no plain record."""
    survey = lines.survey(source, part.identity.path)
    if not survey.plain:
        return None
    written = session.write(session.open_csv(source, header, part, survey.newline), to)
    unfit = sum(file.stats[POSITION].nulls for file in written)
    left_out = session.lines_left_out()
    if left_out or unfit or not _all_fields_read(source, header, part, session, survey, written):
        work.warehouse.remove(written)
        return None
    rows = rows_in(written)
    # Where each line is a record, the last of which may lack its end, the first row stands in the second.
    return Read(written, (), starts=((1, 2),) if survey.lines - rows in (0, 1) else ())


def _all_fields_read(
    source: Csv, header: list[str], part: Slice, session: Session, survey: lines.Survey, written: tuple[DataFile, ...]
) -> bool:
    """Return whether every delimiter of a file parts two of its fields or stands in one.

    The engine says nothing of empty fields behind the last column, nor of lines that it takes for another's.
    """
    width = len(header)
    named = sum(name.count(source.delimiter) for name in header)
    left = survey.delimiters - named - (width - 1) * (1 + rows_in(written))
    if left <= 0:
        return not left and bool(written or survey.lines <= 1)
    every = {f"c{n}": "VARCHAR" for n in range(width)}
    texts = session.open_csv(replace(source, columns=every, nulls=()), list(every), part, survey.newline)
    within = [
        col(name).str.len_chars() - col(name).str.replace_all(source.delimiter, "", literal=True).str.len_chars()
        for name in every
    ]
    ((*found,),) = session.fetch(texts.select(each.sum() for each in within))
    session.lines_left_out()
    return bool(left == sum(found))


def _read_line_by_line(
    work: Work,
    name: str,
    source: Csv,
    part: Slice,
    session: Session,
    to: Destination,
    without: Collection[int],
) -> Read:
    path = part.identity.path
    header = lines.header_of(source, path)
    with tempfile.TemporaryDirectory(prefix="assay-lines-") as folder:
        clean, bad = Path(folder, "clean.csv"), Path(folder, "bad.jsonl")
        with clean.open("wb") as records, bad.open("w", encoding="utf-8") as kept:
            found = lines.mend(source, path, len(header), records)
            _keep(kept, work, name, part, (line for line in found if line.line not in without))
        frame: Frame = session.scan("", (), to.schema, name)
        starts: tuple[tuple[int, int], ...] = ()
        if clean.stat().st_size:
            read, reasons = judged(session, source, header, part, clean)
            read = read.filter(~col(LINE).is_in(sorted(without))) if without else read
            reasons = {line: texts for line, texts in reasons.items() if line not in without}
            with bad.open("a", encoding="utf-8") as kept:
                _keep(kept, work, name, part, lines.pick(source, path, len(header), reasons) if reasons else ())
            frame, starts = read, _starts(session, read)
        quarantine = replace(to, folder=work.warehouse.quarantine_folder(), schema=QUARANTINE)
        rows = session.write(frame, to)
        rejected = (
            session.write(session.open_json_lines(str(bad), QUARANTINE), quarantine) if bad.stat().st_size else ()
        )
    return Read(rows, rejected, (), starts, ())


def judged(
    session: Session, source: Csv, header: Sequence[str], part: Slice, clean: Path
) -> tuple[Frame, dict[int, tuple[str, ...]]]:
    """Return the records of a file that fit their declared types, and why those at other lines do not.

    `clean` holds them as `lines.mend` writes them.
    """
    held = session.hold(session.open_mended(source, header, part, str(clean)))
    if session.lines_left_out():
        raise TableError(
            f"{part.identity.path}: the engine cannot read lines that look like records; please report it."
        )
    unfit = session.fetch(held.filter(~col(REASONS).is_null()).select(LINE, REASONS))
    fit = held.filter(col(REASONS).is_null())
    return fit, {int(line): tuple(json.loads(texts)) for line, texts in unfit}


def _starts(session: Session, read: Frame) -> tuple[tuple[int, int], ...]:
    """Return the row and line of each row that does not follow the one before it line by line."""
    row = col(POSITION) % (1 << PART_BIT)
    beside = read.select(row=row, line=col(LINE), shift=col(LINE) - row)
    moved = beside.filter((col("shift") != col("shift").shift(1).over(order_by="row")).fill_null(value=True))
    found = session.fetch(moved.select("row", "line").sort("row").head(_MOST_STARTS + 1))
    return tuple((int(number), int(line)) for number, line in found) if len(found) <= _MOST_STARTS else ()


def _keep(file: IO[str], work: Work, name: str, part: Slice, found: Iterable[lines.BadLine]) -> None:
    for line in found:
        row = {"run": work.handle.id, "node": name, "source_file": part.name, **line.to_json()}
        file.write(json.dumps(row) + "\n")


def stored_schema(work: Work, name: str) -> Schema:
    """Return the columns that a source is stored with: those it had keep their numbers."""
    base = work.base(name)
    schema = work.traced[name].stored
    return schema.following(base.schema if base else None, base.next_field_id if base else 1)
