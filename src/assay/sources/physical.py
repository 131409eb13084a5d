"""The physical lines of a file: its own bytes, unpacked, parted where its encoding ends a line, and read as text."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from assay.model.errors import SourceError

Unpacked = gzip.GzipFile | io.BufferedReader
CHUNK = 1 << 20
_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_BY_MARK = {
    "utf-16": {codecs.BOM_UTF16_BE: "utf-16-be"},
    "utf-32": {codecs.BOM_UTF32_BE: "utf-32-be"},
    "utf-8-sig": {b"": "utf-8"},
}
"""Encodings that stand for several: by the bytes a file begins with, or else little-endian."""

_GZIP = b"\x1f\x8b"
_KINDS = {
    _GZIP: "It is packed by gzip: give it a name that ends with .gz.",
    codecs.BOM_UTF32_LE: 'It begins as UTF-32 does: declare its encoding="utf-32".',
    codecs.BOM_UTF32_BE: 'It begins as UTF-32 does: declare its encoding="utf-32".',
    codecs.BOM_UTF16_LE: 'It begins as UTF-16 does: declare its encoding="utf-16".',
    codecs.BOM_UTF16_BE: 'It begins as UTF-16 does: declare its encoding="utf-16".',
}
"""What a file is that begins so; UTF-32 stands before UTF-16, as its mark begins with that of the other."""


class Line(NamedTuple):
    """One physical line."""

    number: int
    raw: bytes
    """Its own bytes, without those that end the line."""
    end: bytes
    newline: str
    """How it ends, as text; empty at the end of a file."""
    text: str
    """What is no text of the encoding, and NUL, stands as U+FFFD."""
    faults: tuple[str, ...] = ()
    """What is wrong with its bytes."""


class Lines:
    """The lines of a file, without a byte order mark; some can be looked at before they are taken."""

    def __init__(self, path: str, encoding: str) -> None:
        """Open the file; whatever goes wrong while reading it is a SourceError that names it."""
        self._lines = _read(path, encoding)
        self._ahead: deque[Line] = deque()

    def take(self) -> Line | None:
        """Take the next line; None at the end."""
        return self._ahead.popleft() if self._ahead else next(self._lines, None)

    def ahead(self, count: int) -> Iterator[Line]:
        """Look at up to `count` lines that follow, without taking them."""
        for place in range(count):
            if place == len(self._ahead):
                line = next(self._lines, None)
                if line is None:
                    return
                self._ahead.append(line)
            yield self._ahead[place]


def is_utf8(encoding: str) -> bool:
    """Return whether an encoding is UTF-8, with a byte order mark or without."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def is_wide(encoding: str) -> bool:
    """Return whether an encoding spends several bytes on every character, so that its bytes are no UTF-8."""
    return len("\n".encode(codec_of(encoding, b""))) > 1


def is_packed(path: str) -> bool:
    """Return whether a file is unpacked while it is read."""
    return path.lower().endswith(".gz")


def kind_of(path: str) -> str:
    """Return a sentence, behind a blank, on what else a file is than it is read as, by its first bytes; or nothing."""
    with opened(path) as file:
        first = file.peek(4)[:4]
    for mark, sentence in _KINDS.items():
        if first.startswith(mark):
            return f" {sentence}"
    return ""


@contextmanager
def opened(path: str) -> Iterator[Unpacked]:
    """Open a file's own bytes, unpacked; whatever goes wrong while reading is a SourceError that names it."""
    try:
        with gzip.open(path, "rb") if is_packed(path) else Path(path).open("rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SourceError(f"{path}: cannot be read: {why}.") from None


def _read(path: str, encoding: str) -> Iterator[Line]:
    with opened(path) as file:
        codec = codec_of(encoding, file.peek(4)[:4])
        mark, feed, back = (sign.encode(codec, "ignore") for sign in (_MARK, "\n", "\r"))
        for number, whole in enumerate(file if feed == b"\n" else _parted(file, feed), 1):
            raw = whole.removesuffix(feed).removesuffix(back)
            end = whole[len(raw) :]
            newline = "" if not end else "\n" if end == feed else "\r\n"
            if number == 1 and mark:
                raw = raw.removeprefix(mark)
            text, faults = _text(raw, codec)
            yield Line(number, raw, end, newline, text, faults)


def _text(raw: bytes, codec: str) -> tuple[str, tuple[str, ...]]:
    try:
        text = raw.decode(codec)
        if "\0" not in text:
            return text, ()
        wrong: tuple[str, ...] = ()
    except UnicodeDecodeError as error:
        text = raw.decode(codec, errors="replace")
        wrong = (f"it is not valid {codec.upper()} at byte {error.start + 1}",)
    faults = ("it holds a NUL byte", *wrong) if "\0" in text else wrong
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}"), faults


def codec_of(encoding: str, first: bytes) -> str:
    """Return the encoding of lines, of those that the declared one may stand for, by a file's first bytes."""
    name = codecs.lookup(encoding).name
    for mark, codec in _BY_MARK.get(name, {}).items():
        if first.startswith(mark):
            return codec
    return f"{name}-le" if name in _BY_MARK else name


def _parted(file: Unpacked, feed: bytes) -> Iterator[bytes]:
    """Yield lines that end in other bytes than one LF, each of which begins at a multiple of their number."""
    rest = b""
    while chunk := file.read(CHUNK):
        rest += chunk
        begin = at = 0
        while (at := rest.find(feed, at)) >= 0:
            if at % len(feed):
                at += 1
                continue
            at += len(feed)
            yield rest[begin:at]
            begin = at
        rest = rest[begin:]
    if rest:
        yield rest
