"""The physical lines of a delimited file: what the engine can read as it is, and what a person has to look at."""

from __future__ import annotations

import base64
import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from assay.model.errors import SourceError, near_miss
from assay.model.source import Csv

Unpacked = gzip.GzipFile | io.BufferedReader
_CHUNK = 1 << 20
LONGEST_RECORD = 1_900_000
"""In bytes; the engine reads no longer one."""
_LONGEST_FIELD = 64 * 1024 * 1024
_LINES_A_RECORD = 1_000
"""A quoted field that runs on for more lines than this is taken for a stray quote."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look at a file's bytes tells."""

    plain: bool
    """Whether the engine can be given the file as it is."""
    newline: str
    lines: int
    """How many lines end in it."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """One physical line that is no record: its number, its own bytes without the line's end, and all reasons."""

    line: int
    raw: bytes
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return the line for the quarantine: as text where it is UTF-8 without NUL, else in base64."""
        try:
            text = self.raw.decode("utf-8")
            encoding = "utf-8"
        except UnicodeDecodeError:
            text, encoding = base64.b64encode(self.raw).decode("ascii"), "base64"
        return {"line": self.line, "raw": text, "raw_encoding": encoding, "reasons": json.dumps(self.reasons)}


def survey(source: Csv, path: str) -> Survey:
    """Look at all bytes of a file once. Raises SourceError where it cannot be unpacked, or ends lines with CR alone."""
    if codecs.lookup(source.encoding).name != "utf-8":
        return Survey(plain=False, newline="\n", lines=0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    feeds = returns = pairs = 0
    last = b""
    plain = True
    with opened(path) as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            feeds += chunk.count(b"\n")
            returns += chunk.count(b"\r")
            pairs += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            last = chunk[-1:]
            plain = plain and b"\0" not in chunk and _decodes(decoder, chunk)
    if returns and not feeds:
        raise SourceError(f"{path}: ends its lines with CR alone; convert them to LF or CR LF.")
    newline = "\r\n" if pairs and pairs == feeds else "\n"
    whole = returns in (0, pairs) and pairs in (0, feeds)
    return Survey(plain and whole and _decodes(decoder, b"", final=True), newline, feeds)


def has_rows(source: Csv, path: str) -> bool:
    """Return whether anything stands in a file behind its header."""
    with opened(path) as file:
        lines = _Lines(_in_utf8(source, file))
        _skip_header(source, lines)
        while (line := lines.next()) is not None:
            if line.strip():
                return True
    return False


def mend(source: Csv, path: str, width: int, clean: IO[bytes]) -> Iterator[BadLine]:
    """Write the records of a file in UTF-8, each led by its record and line number, and yield the lines that are none.

    A record has `width` fields, or one more that is empty: a delimiter at the end of the line. A quoted field may hold
    line breaks; where that leads to no record, its first line alone is bad and reading goes on with the next.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    separator = source.delimiter.encode()
    with opened(path) as file:
        lines = _Lines(_in_utf8(source, file))
        _skip_header(source, lines)
        number = 0
        while (line := lines.next()) is not None:
            if not line.strip(b"\r\n"):
                continue
            number += 1
            at = lines.number
            taken, reasons = _record(source, line, lines, width)
            if len(taken) > LONGEST_RECORD:
                reasons = (f"it is longer than {LONGEST_RECORD:,} bytes",)
            if reasons:
                yield BadLine(at, _raw(source, line), reasons)
            else:
                clean.write(b"%d%b%d%b%b\n" % (number, separator, at, separator, taken))


def pick(source: Csv, path: str, width: int, reasons: Mapping[int, tuple[str, ...]]) -> Iterator[BadLine]:
    """Yield the records that begin at the lines given, whole, with their reasons."""
    with opened(path) as file:
        lines = _Lines(_in_utf8(source, file))
        while (line := lines.next()) is not None:
            if lines.number in reasons:
                at = lines.number
                yield BadLine(at, _raw(source, _record(source, line, lines, width)[0]), reasons[at])


@contextmanager
def opened(path: str) -> Iterator[Unpacked]:
    """Open a file's own bytes, unpacked; whatever goes wrong while reading is a SourceError that names it."""
    try:
        with gzip.open(path, "rb") if path.endswith(".gz") else Path(path).open("rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SourceError(f"{path}: cannot be read: {why}.") from None


class _Lines:
    """Physical lines with their numbers, some of which can be looked at before they are taken."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._ahead: list[bytes] = []
        self.number = 0

    def next(self) -> bytes | None:
        """Take the next line; None at the end."""
        line = self._ahead.pop(0) if self._ahead else next(self._lines, None)
        self.number += line is not None
        return line

    def ahead(self, count: int) -> list[bytes]:
        """Return up to `count` lines that follow, without taking them."""
        self._ahead += islice(self._lines, max(0, count - len(self._ahead)))
        return self._ahead[:count]


def _record(source: Csv, line: bytes, lines: _Lines, width: int) -> tuple[bytes, tuple[str, ...]]:
    """Return the bytes of the record that begins with the line, or why there is none; takes the lines it needs."""
    faults = _faults(source, line)
    body = line.rstrip(b"\r\n")
    if not source.quote or source.quote.encode() not in line:
        if b"\r" in body:
            faults = (*faults, _STRAY_RETURN)
        found = body.count(source.delimiter.encode()) + 1
        extra = found == width + 1 and body.endswith(source.delimiter.encode())
        return body, (*faults, *(() if found == width or extra else (_count(found, width),)))
    if faults:
        return body, faults
    fields = _fields(source, [line], width)
    if isinstance(fields, int):
        return body, () if fields == width else (_count(fields, width),)
    following = lines.ahead(_LINES_A_RECORD)
    if fields == _UNCLOSED and following:
        joined = _joined(source, line, following, width)
        if joined is not None:
            taken = [lines.next() or b"" for _ in range(joined)]
            return b"".join([line, *taken]).rstrip(b"\r\n"), ()
    return body, (fields,)


_UNCLOSED = "a quoted field is not closed"
_STRAY_RETURN = "it holds a carriage return outside quotes"


def _joined(source: Csv, line: bytes, following: list[bytes], width: int) -> int | None:
    """Return how many of the lines that follow belong to the record that begins with the line, None for no record."""
    used = 0

    def feed() -> Iterator[str]:
        nonlocal used
        yield line.decode("utf-8")
        for used, more in enumerate(following, 1):  # noqa: B007 - the count is what is asked for
            if _faults(source, more):
                return
            yield more.decode("utf-8")

    fields = _fields(source, feed(), width)
    return used if fields == width else None


def _fields(source: Csv, lines: Iterable[bytes] | Iterable[str], width: int) -> int | str:
    """Return the number of fields of the first record, or why it is none.

    One empty field too many is a delimiter at the end of the line, and does not count.
    """
    texts = (line.decode("utf-8") if isinstance(line, bytes) else line for line in lines)
    reader = csv.reader(texts, delimiter=source.delimiter, quotechar=source.quote, strict=True, skipinitialspace=True)
    try:
        fields = next(reader)
    except csv.Error as error:
        if "new-line" in str(error):
            return _STRAY_RETURN
        return _UNCLOSED if "end of data" in str(error) else "there is text behind the end of a quoted field"
    return width if len(fields) == width + 1 and fields[-1] == "" else len(fields)


def _faults(source: Csv, line: bytes) -> tuple[str, ...]:
    faults = []
    if b"\0" in line:
        faults.append("it holds a NUL byte")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        faults.append(f"it is not valid UTF-8 at byte {error.start + 1}")
    else:
        if codecs.lookup(source.encoding).name != "utf-8" and "\N{REPLACEMENT CHARACTER}" in text:
            faults.append(f"it is not valid {source.encoding}")
    return tuple(faults)


def _count(found: int, width: int) -> str:
    return f"it has {found} {'field' if found == 1 else 'fields'}, and the header has {width}"


def _in_utf8(source: Csv, file: Unpacked) -> Iterator[bytes]:
    """Yield the physical lines in UTF-8, without a byte order mark."""
    if codecs.lookup(source.encoding).name != "utf-8":
        text = io.TextIOWrapper(file, encoding=source.encoding, errors="replace", newline="\n")
        yield from (line.encode("utf-8") for line in text)
        return
    first = file.readline()
    if first:
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from file


def _raw(source: Csv, line: bytes) -> bytes:
    body = line.rstrip(b"\r\n")
    if codecs.lookup(source.encoding).name == "utf-8":
        return body
    return body.decode("utf-8").encode(source.encoding, errors="replace")


def header_of(source: Csv, path: str) -> list[str]:
    """Return the column names of a delimited file, without the blanks around them.

    Raises SourceError where the file cannot be read, is empty, or lacks a declared column.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        with opened(path) as file:
            texts = (line.decode("utf-8") for line in _in_utf8(source, file))
            quoting: dict[str, Any] = {"quotechar": source.quote} if source.quote else {"quoting": csv.QUOTE_NONE}
            first = next(csv.reader(texts, delimiter=source.delimiter, **quoting), None)
    except (UnicodeError, csv.Error) as error:
        raise SourceError(f"{path}: its first line cannot be read: {error}.") from None
    if not first:
        raise SourceError(f"{path}: is empty; its first line should name the columns.")
    header = [name.strip() for name in first]
    for name in source.columns:
        if name not in header:
            raise SourceError(f"{path}: has no column {name!r}.{near_miss(name, header)} It has: {', '.join(header)}.")
        if header.count(name) > 1:
            raise SourceError(f"{path}: names the column {name!r} twice.")
    return header


def _skip_header(source: Csv, lines: _Lines) -> None:
    first = lines.next()
    if first is not None and source.quote and source.quote.encode() in first:
        taken: list[bytes] = [first]
        while _fields(source, taken, 0) == _UNCLOSED and (more := lines.next()) is not None:
            taken.append(more)


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return True
