"""The records of a delimited file: which physical lines make one, how its fields stand, or why the lines make none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from assay.sources.physical import Line, Lines

_LINES_A_RECORD = 1_000
"""A quoted field that runs on for more lines than this is taken for a stray quote."""
_UNCLOSED = "a quoted field is not closed"
_BEHIND_QUOTE = "there is text behind the end of a quoted field"
_STRAY_RETURN = "it holds a carriage return outside quotes"


class Record(NamedTuple):
    """The lines that were read as one record, and why they are none, if so."""

    lines: tuple[Line, ...]
    text: str
    """Its fields as they stand in the file, without blanks around quotes and a delimiter at the end of the line."""
    reasons: tuple[str, ...]
    """What is wrong with its fields; what is wrong with its bytes stands with its first line."""

    @property
    def raw(self) -> bytes:
        """Its own bytes, without those that end its last line."""
        return b"".join(line.raw + line.end for line in self.lines[:-1]) + self.lines[-1].raw


class Dialect:
    """How records are written: a quoted field may hold delimiters, doubled quotes and line breaks, and stand in blanks.

    A quote within a field that does not begin with one is a character like any other.
    """

    def __init__(self, delimiter: str, quote: str) -> None:
        """Take the delimiter, and the quote or an empty text for none."""
        self.delimiter, self.quote = delimiter, quote
        blanks, mark = ("" if delimiter == " " else " *+"), re.escape(quote)
        self._opening = re.compile(blanks + mark)
        self._inside = re.compile(f"[^{mark}]*+(?:{mark}{mark}[^{mark}]*+)*+" if quote else "")
        self._blanks = re.compile(blanks)

    def record(self, line: Line, lines: Lines, width: int) -> Record:
        """Return the record that begins with the line, and take the other lines that it has.

        A record has `width` fields, or one more that is empty: a delimiter at the end of the line. A quoted field may
        hold line breaks; where that leads to no record, the first line alone is bad.
        """
        if not self.quote or self.quote not in line.text:
            return self._plain(line, width)
        fields, fault, _ = self._fields([line])
        if fault != _UNCLOSED or line.faults:
            return self._judged((line,), fields, fault, width)
        longer, wrong, used = self._fields(chain([line], lines.ahead(_LINES_A_RECORD)))
        if wrong or self._misfit(longer, width):
            return Record((line,), line.text, (fault,))
        return self._judged(_taken(line, lines, used), longer, None, width)

    def names(self, line: Line, lines: Lines) -> tuple[list[str], str | None]:
        """Return the fields of a record of any width without their quotes, or why it is none; takes its lines."""
        fields, fault, used = self._fields(chain([line], lines.ahead(_LINES_A_RECORD)))
        if fault is None:
            _taken(line, lines, used)
        return [self._unquoted(field) for field in fields], fault

    def _plain(self, line: Line, width: int) -> Record:
        """Return the record of a line without quotes."""
        text, found = line.text, line.text.count(self.delimiter) + 1
        if found == width + 1 and text.endswith(self.delimiter):
            text, found = text[:-1], width
        if found == width and "\r" not in text:
            return Record((line,), text, ())
        reasons = (_STRAY_RETURN,) if "\r" in text else ()
        return Record((line,), text, reasons if found == width else (*reasons, _count(found, width)))

    def _judged(self, lines: tuple[Line, ...], fields: list[str], fault: str | None, width: int) -> Record:
        if fault is not None:
            return Record(lines, "", (fault,))
        wrong = self._misfit(fields, width)
        return Record(lines, self.delimiter.join(fields[:width]), (wrong,) if wrong else ())

    def _fields(self, lines: Iterable[Line]) -> tuple[list[str], str | None, int]:
        """Return the fields of the first record as they stand, why it is none if so, and how many lines it has."""
        fields: list[str] = []
        begun = ""
        used = 0
        for used, line in enumerate(lines, 1):
            if used > 1 and line.faults:
                break
            begun, fault = self._go_on(line.text, begun, fields)
            if fault or not begun:
                return fields, fault, used
            begun += line.newline
        return fields, _UNCLOSED, used

    def _go_on(self, text: str, begun: str, fields: list[str]) -> tuple[str, str | None]:
        """Add the fields of one line; return the quoted field that is still open at its end, and what is wrong."""
        at = 0
        while True:
            opening = None if begun or not self.quote else self._opening.match(text, at)
            if opening:
                begun, at = self.quote, opening.end()
            if begun:
                found = self._inside.match(text, at)
                end = found.end() if found else at
                begun += text[at:end]
                if end == len(text):
                    return begun, None
                fields.append(begun + self.quote)
                begun = ""
                behind = self._blanks.match(text, end + 1)
                at = behind.end() if behind else end + 1
            else:
                end = text.find(self.delimiter, at)
                end = len(text) if end < 0 else end
                fields.append(text[at:end])
                if "\r" in fields[-1]:
                    return "", _STRAY_RETURN
                at = end
            if at == len(text):
                return "", None
            if text[at] != self.delimiter:
                return "", _BEHIND_QUOTE
            at += 1

    def _misfit(self, fields: list[str], width: int) -> str | None:
        extra = len(fields) == width + 1 and fields[-1] in ("", self.quote * 2)
        return None if extra or len(fields) == width else _count(len(fields), width)

    def _unquoted(self, field: str) -> str:
        if not self.quote or not field.startswith(self.quote):
            return field
        return field[1:-1].replace(self.quote * 2, self.quote)


def _taken(line: Line, lines: Lines, count: int) -> tuple[Line, ...]:
    return (line, *(more for _ in range(count - 1) if (more := lines.take()) is not None))


def _count(found: int, width: int) -> str:
    return f"it has {found} {'field' if found == 1 else 'fields'}, and the header has {width}"
