"""Bad lines as a file that people mend: in their source's own format, each behind the mark that tells which it is."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.model.errors import SourceError, UsageError
from assay.model.files import Csv
from assay.model.source import LINE
from assay.sources.physical import Line, Lines, codec_of, is_packed, is_wide
from assay.sources.records import Dialect

_MARK_DIGITS = 8


@dataclass(frozen=True, slots=True)
class StandingLine:
    """One line in the quarantine: the file it came in, its number there, and its own bytes."""

    file: str
    line: int
    raw: bytes

    @property
    def mark(self) -> str:
        """What tells it from all others, and from what may stand in its place one day: orders.csv:43:9f31c2ab."""
        return f"{self.file}:{self.line}:{hashlib.sha256(self.raw).hexdigest()[:_MARK_DIGITS]}"


@dataclass(frozen=True, slots=True)
class MendedLine:
    """One record of a file that was mended."""

    mark: str
    text: str
    """Without its mark; empty where it is no record."""
    reasons: tuple[str, ...]
    """Why it is no record."""


def write_mendable(source: Csv, path: Path, header: Sequence[str], lines: Sequence[StandingLine]) -> None:
    """Write lines with their header, each behind its mark."""
    codec = codec_of(source.encoding, b"")
    between, end = (sign.encode(codec) for sign in (source.delimiter, "\n"))
    content = ("\N{ZERO WIDTH NO-BREAK SPACE}" if is_wide(source.encoding) else "").encode(codec)
    content += _fields(source, [LINE, *header]).encode(codec) + end
    for line in lines:
        content += _fields(source, [line.mark]).encode(codec) + between + line.raw + end
    path.write_bytes(gzip.compress(content) if is_packed(str(path)) else content)


def read_mended(source: Csv, path: Path) -> tuple[list[str], list[MendedLine]]:
    """Return the header of a mended file, without the mark's, and its records.

    Raises SourceError where the file does not begin as `write_mendable` began it.
    """
    lines = Lines(str(path), source.encoding)
    first = lines.take()
    names, fault = _dialect(source).names(first, lines) if first is not None else ([], None)
    if fault or not names or names[0].strip() != LINE:
        raise SourceError(
            f"{path}: its first column is not {LINE}, which tells the line that each row mends; "
            "`assay quarantine export` writes it."
        )
    return [name.strip() for name in names[1:]], list(_records(source, lines, len(names)))


def content_of(source: Csv, header: Sequence[str], texts: Sequence[str]) -> bytes:
    """Return records as a file in the source's own format."""
    text = "".join(f"{line}\n" for line in (_fields(source, header), *texts))
    return text.encode(source.encoding)


def _records(source: Csv, lines: Lines, width: int) -> Iterator[MendedLine]:
    dialect = _dialect(source)
    while (line := lines.take()) is not None:
        if line.text.strip():
            record = dialect.record(line, lines, width)
            reasons = (*line.faults, *record.reasons)
            mark, text = _parted(source, record.lines[0], record.text)
            yield MendedLine(mark, "" if reasons else text, reasons)


def _parted(source: Csv, line: Line, text: str) -> tuple[str, str]:
    """Return the mark of a record, and its other fields as they stand."""
    whole = text or line.text
    if not source.quote or not whole.startswith(source.quote):
        mark, _, rest = whole.partition(source.delimiter)
        return mark, rest
    quoted, _, rest = whole[1:].partition(source.quote + source.delimiter)
    return quoted.replace(source.quote * 2, source.quote), rest


def _fields(source: Csv, names: Sequence[str]) -> str:
    return source.delimiter.join(_field(source, name) for name in names)


def _field(source: Csv, text: str) -> str:
    if not any(sign in text for sign in (source.delimiter, source.quote or source.delimiter, "\n", "\r")):
        return text
    if not source.quote:
        raise UsageError(f"{text!r} holds the delimiter of its source, which has no quotes; it cannot be written.")
    return source.quote + text.replace(source.quote, source.quote * 2) + source.quote


def _dialect(source: Csv) -> Dialect:
    return Dialect(source.delimiter, source.quote)
