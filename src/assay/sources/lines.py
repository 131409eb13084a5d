"""The lines of a delimited file: what the engine can read as it is, and what a person has to look at."""

from __future__ import annotations

import base64
import codecs
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from assay.model.errors import SourceError, near_miss
from assay.model.files import Csv
from assay.model.source import Slice
from assay.sources.physical import CHUNK, Line, Lines, is_utf8, is_wide, kind_of, opened
from assay.sources.records import Dialect, Record

LONGEST_RECORD = 1_900_000
"""In bytes; the engine reads no longer one."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look at a file's bytes tells."""

    plain: bool
    """Whether the engine can be given the file as it is."""
    newline: str
    lines: int
    """How many lines end in it."""
    delimiters: int
    """How many there are, within quotes and without."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """One physical line that is no record: its number, its own bytes without the line's end, and all reasons."""

    line: int
    raw: bytes
    reasons: tuple[str, ...]
    wide: bool = False
    """Whether its encoding has several bytes a character."""

    def to_json(self) -> dict[str, object]:
        """Return the line for the quarantine: as text where it is UTF-8, else in base64."""
        try:
            text = None if self.wide else self.raw.decode("utf-8")
        except UnicodeDecodeError:
            text = None
        raw = base64.b64encode(self.raw).decode("ascii") if text is None else text
        encoding = "base64" if text is None else "utf-8"
        return {"line": self.line, "raw": raw, "raw_encoding": encoding, "reasons": json.dumps(self.reasons)}


def survey(source: Csv, path: str) -> Survey:
    """Look at all bytes of a file once. Raises SourceError where it cannot be unpacked."""
    if not is_utf8(source.encoding):
        return Survey(plain=False, newline="\n", lines=0, delimiters=0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    delimiter, quote = source.delimiter.encode(), source.quote.encode()
    # In blanks around quotes and what stands between them, the engine and a person see different things.
    doubtful = (b"\0", b" " + quote, quote + b" ") if quote else (b"\0",)
    feeds = returns = pairs = delimiters = 0
    last = b""
    plain = True
    with opened(path) as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            feeds += chunk.count(b"\n")
            returns += chunk.count(b"\r")
            delimiters += chunk.count(delimiter)
            pairs += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            plain = plain and not any(sign in chunk or sign in last + chunk[:1] for sign in doubtful)
            plain = plain and _decodes(decoder, chunk)
            last = chunk[-1:]
    newline = "\r\n" if pairs and pairs == feeds else "\n"
    whole = returns in (0, pairs) and pairs in (0, feeds)
    return Survey(plain and whole and _decodes(decoder, b"", final=True), newline, feeds, delimiters)


def has_rows(source: Csv, path: str) -> bool:
    """Return whether anything stands in a file behind its header."""
    lines = _behind_header(source, path)
    while (line := lines.take()) is not None:
        if line.text.strip():
            return True
    return False


def mend(source: Csv, path: str, width: int, clean: IO[bytes]) -> Iterator[BadLine]:
    """Write the records of a file in UTF-8, and yield the lines that are none.

    Each record is led by its number, its line, and 1 where its bytes are bad, so that its values can be judged too.
    """
    between, dialect, wide = source.delimiter, _dialect(source), is_wide(source.encoding)
    lines = _behind_header(source, path)
    number = 0
    while (line := lines.take()) is not None:
        if not line.text and width > 1:
            continue
        number += 1
        record = dialect.record(line, lines, width)
        flag = int(bool(line.faults))
        led = f"{number}{between}{line.number}{between}{flag}{between}{record.text}\n".encode()
        if len(led) > LONGEST_RECORD:
            yield _bad(record, (f"it is longer than {LONGEST_RECORD:,} bytes",), wide=wide)
        elif record.reasons:
            yield _bad(record, wide=wide)
        else:
            clean.write(led)


def line_of(source: Csv, part: Slice, row: int) -> int | None:
    """Return the line at which a row of a slice begins, by its file; None where that has changed or is gone."""
    try:
        with Path(part.identity.path).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != part.identity.sha256:
                return None
    except OSError:
        return None
    dialect, width = _dialect(source), len(part.header)
    lines, number = _behind_header(source, part.identity.path), 0
    while (line := lines.take()) is not None:
        if line.text or width == 1:
            number += 1
            if number == row:
                return line.number
            dialect.record(line, lines, width)
    return None


def pick(source: Csv, path: str, width: int, reasons: Mapping[int, tuple[str, ...]]) -> Iterator[BadLine]:
    """Yield the records that begin at the lines given, whole, with what is wrong with their bytes and these reasons."""
    dialect, wide = _dialect(source), is_wide(source.encoding)
    lines = Lines(path, source.encoding)
    while (line := lines.take()) is not None:
        if line.number in reasons:
            yield _bad(dialect.record(line, lines, width), reasons[line.number], wide=wide)


def header_of(source: Csv, path: str) -> list[str]:
    """Return the column names of a delimited file, without the blanks around them.

    Raises SourceError where the file cannot be read, is empty, or lacks a declared column.
    """
    lines = Lines(path, source.encoding)
    first = lines.take()
    if first is None or not first.text.strip():
        raise SourceError(f"{path}: is empty; its first line should name the columns.")
    names, fault = _dialect(source).names(first, lines)
    # Bytes of another kind of file may have a CR among them.
    kind = kind_of(path) if first.faults else ""
    if not kind and "\r" in first.text and lines.take() is None:
        raise SourceError(f"{path}: ends its lines with CR alone; convert them to LF or CR LF.")
    if faults := (*first.faults, *((fault,) if fault else ())):
        raise SourceError(f"{path}: its first line cannot be read: {', '.join(faults)}.{kind}")
    header = [name.strip() for name in names]
    for name in source.columns:
        if name not in header:
            raise SourceError(f"{path}: has no column {name!r}.{near_miss(name, header)} It has: {', '.join(header)}.")
        if header.count(name) > 1:
            raise SourceError(f"{path}: names the column {name!r} twice.")
    return header


def _behind_header(source: Csv, path: str) -> Lines:
    lines = Lines(path, source.encoding)
    first = lines.take()
    if first is not None:
        _dialect(source).names(first, lines)
    return lines


def _dialect(source: Csv) -> Dialect:
    return Dialect(source.delimiter, source.quote)


def _bad(record: Record, reasons: tuple[str, ...] = (), *, wide: bool) -> BadLine:
    first: Line = record.lines[0]
    return BadLine(first.number, record.raw, (*first.faults, *record.reasons, *reasons), wide)


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return True
