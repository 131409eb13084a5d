"""Messages of pgoutput are read as PostgreSQL's documentation has them, and nothing else is taken for one."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.model.errors import SourceError
from assay.sources.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Column,
    Commit,
    Delete,
    Insert,
    Message,
    Relation,
    Remark,
    Truncate,
    Update,
    Values,
    decode,
)

OID = pack(">I", 16_384)


def told(row: Values) -> bytes:
    """A row as pgoutput writes it."""
    parts = [pack(">H", len(row))]
    for value in row:
        match value:
            case None:
                parts.append(b"n")
            case bytes():
                parts.append(b"t" + pack(">I", len(value)) + value)
            case _:
                parts.append(b"u")
    return b"".join(parts)


ROW = (b"1", None, UNCHANGED, b"")
MESSAGES: dict[str, tuple[bytes, Message]] = {
    "begin": (b"B" + pack(">qqI", 5 << 32, 7, 740), Begin(5 << 32, 740)),
    "commit": (b"C" + pack(">Bqqq", 0, 1000, 1048, 7), Commit(1000, 1048)),
    "origin": (b"O" + pack(">q", 9) + b"elsewhere\0", Remark("origin")),
    "type": (b"Y" + OID + b"public\0mood\0", Remark("type")),
    "message": (b"M" + pack(">Bq", 1, 9) + b"assay\0" + pack(">I", 3) + b"\0\1\2", Remark("message")),
    "relation": (
        b"R" + OID + "public\0größe\0".encode() + b"d" + pack(">H", 2)
        + b"\1id\0" + pack(">Ii", 23, -1) + b"\0size\0" + pack(">Ii", 1700, 655_366),
        Relation(16_384, "public", "größe", "d", (Column("id", True, 23, -1), Column("size", False, 1700, 655_366))),
    ),
    "relation of the system": (b"R" + OID + b"\0t\0n\0\0", Relation(16_384, "pg_catalog", "t", "n", ())),
    "insert": (b"I" + OID + b"N" + told(ROW), Insert(16_384, ROW)),
    "update": (b"U" + OID + b"N" + told(ROW), Update(16_384, None, False, ROW)),
    "update of a key": (b"U" + OID + b"K" + told((b"0",)) + b"N" + told(ROW), Update(16_384, (b"0",), False, ROW)),
    "update with the old row": (b"U" + OID + b"O" + told(ROW) + b"N" + told(ROW), Update(16_384, ROW, True, ROW)),
    "delete": (b"D" + OID + b"K" + told((b"0", None)), Delete(16_384, (b"0", None), False)),
    "delete with the old row": (b"D" + OID + b"O" + told(ROW), Delete(16_384, ROW, True)),
    "truncate": (b"T" + pack(">IB", 2, 3) + OID + pack(">I", 4), Truncate((16_384, 4))),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_each_kind_of_message_is_read(name: str) -> None:
    data, message = MESSAGES[name]
    assert decode(data) == message


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_that_is_cut_short_or_too_long_is_refused(name: str) -> None:
    data, _ = MESSAGES[name]
    for wrong in (*(data[:end] for end in range(1, len(data))), data + b"\0"):
        with pytest.raises(SourceError, match="not as protocol version 1 has it"):
            decode(wrong)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", r"the message b'' is of no kind"),
        (b"S" + pack(">IB", 7, 1), r"b'S\\x00\\x00\\x00\\x07\\x01' is of no kind"),  # of a later version: a stream
        (b"I" + OID + b"K" + told(ROW), "not as protocol version 1 has it"),
        (b"I" + OID + b"N\0\1b\0\0\0\1x", "not as protocol version 1 has it"),  # a binary value
        (b"R" + OID + b"\xff\0t\0d\0\0", "not as protocol version 1 has it"),
    ],
)
def test_what_was_not_asked_for_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(SourceError, match=why):
        decode(data)


@given(st.lists(st.none() | st.just(UNCHANGED) | st.binary(max_size=300), max_size=40).map(tuple))
@example((b"x" * 2_000_000,))
def test_any_row_is_read_as_it_was_told(row: Values) -> None:
    assert decode(b"U" + OID + b"K" + told(row) + b"N" + told(row)) == Update(16_384, row, False, row)
