"""Decoding what PostgreSQL's plugin pgoutput tells of changes: protocol version 1, values as text.

The format is that of "Logical Replication Message Formats" in PostgreSQL's documentation. A value is the bytes of its
text as a session's `client_encoding`, `datestyle`, `timezone`, `intervalstyle`, `extra_float_digits` and `bytea_output`
write it; None is NULL, and UNCHANGED a large value that an update has left as it was, and that is not told again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from struct import Struct
from struct import error as StructError  # noqa: N812 the class has no other name
from typing import Final, Literal, NamedTuple

from assay.model.errors import SourceError


class Unchanged(IntEnum):
    """The kind of UNCHANGED: a number, since every other value is bytes."""

    VALUE = 0


UNCHANGED: Final = Unchanged.VALUE
Value = bytes | None | Literal[Unchanged.VALUE]
Values = tuple[Value, ...]


class Begin(NamedTuple):
    """A transaction begins, whose commit record starts at a place of the log; only committed ones are told."""

    commit_lsn: int
    xid: int


class Commit(NamedTuple):
    """A transaction is whole; its commit record starts at one place of the log and ends before another."""

    commit_lsn: int
    end_lsn: int


class Column(NamedTuple):
    """A column of a relation; `identifies` where it is in its replica identity."""

    name: str
    identifies: bool
    type_oid: int
    type_modifier: int


class Relation(NamedTuple):
    """What a table looks like from here on; `identity` is d(efault), i(ndex), f(ull) or n(othing)."""

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[Column, ...]


class Insert(NamedTuple):
    """A new row."""

    relation: int
    new: Values


class Update(NamedTuple):
    """A row has become another; `old` is told where its key has changed or its replica identity is full.

    Unless `old` is `whole`, only the columns of the replica identity are in it, and the others are None.
    """

    relation: int
    old: Values | None
    whole: bool
    new: Values


class Delete(NamedTuple):
    """A row is gone; of `old`, unless it is `whole`, only the columns of the replica identity are known."""

    relation: int
    old: Values
    whole: bool


class Truncate(NamedTuple):
    """All rows of some tables are gone."""

    relations: tuple[int, ...]


class Remark(NamedTuple):
    """What is told of no row: where a transaction came from, a type, a message that somebody wrote into the log."""

    kind: Literal["origin", "type", "message"]


Message = Begin | Commit | Relation | Insert | Update | Delete | Truncate | Remark

_TEXT, _NULL, _UNCHANGED = b"tnu"
_KEY, _OLD, _NEW = b"KON"
_BEGIN = Struct(">cqqI")
_COMMIT = Struct(">cBqqq")
_ORIGIN = Struct(">cq")
_OID = Struct(">cI")
_COLUMN = Struct(">Ii")
_TRUNCATE = Struct(">cIB")
_MESSAGE = Struct(">cBq")
_SHORT = Struct(">H")
_LONG = Struct(">I")


def decode(data: bytes) -> Message:
    """Return what a message says; raises SourceError for one that is unknown or not whole."""
    decoder = _DECODERS.get(data[:1])
    if decoder is None:
        raise SourceError(f"pgoutput: the message {data[:20]!r} is of no kind that protocol version 1 has.")
    try:
        message, end = decoder(data)
    except (IndexError, StructError, UnicodeDecodeError):
        end = -1
    if end != len(data):
        raise SourceError(
            f"pgoutput: the message {data[:20]!r} of {len(data)} bytes is not as protocol version 1 has it."
        )
    return message


def _begin(data: bytes) -> tuple[Begin, int]:
    _, commit_lsn, _, xid = _BEGIN.unpack_from(data)
    return Begin(commit_lsn, xid), _BEGIN.size


def _commit(data: bytes) -> tuple[Commit, int]:
    _, _, commit_lsn, end_lsn, _ = _COMMIT.unpack_from(data)
    return Commit(commit_lsn, end_lsn), _COMMIT.size


def _origin(data: bytes) -> tuple[Remark, int]:
    return Remark("origin"), _string(data, _ORIGIN.size)[1]


def _type(data: bytes) -> tuple[Remark, int]:
    return Remark("type"), _string(data, _string(data, _OID.size)[1])[1]


def _message(data: bytes) -> tuple[Remark, int]:
    at = _string(data, _MESSAGE.size)[1]
    return Remark("message"), at + 4 + _LONG.unpack_from(data, at)[0]


def _relation(data: bytes) -> tuple[Relation, int]:
    oid = _OID.unpack_from(data)[1]
    schema, at = _string(data, _OID.size)
    name, at = _string(data, at)
    identity, count = chr(data[at]), _SHORT.unpack_from(data, at + 1)[0]
    at += 3
    columns = []
    for _ in range(count):
        column, end = _string(data, at + 1)
        columns.append(Column(column, bool(data[at] & 1), *_COLUMN.unpack_from(data, end)))
        at = end + _COLUMN.size
    # Tables of the system's own schema are told without one.
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns)), at


def _insert(data: bytes) -> tuple[Insert, int]:
    new, at = _row(data, _OID.size, _NEW)
    return Insert(_LONG.unpack_from(data, 1)[0], new), at


def _update(data: bytes) -> tuple[Update, int]:
    old, at, kind = None, _OID.size, data[_OID.size]
    if kind != _NEW:
        old, at = _row(data, at, _KEY, _OLD)
    new, at = _row(data, at, _NEW)
    return Update(_LONG.unpack_from(data, 1)[0], old, kind == _OLD, new), at


def _delete(data: bytes) -> tuple[Delete, int]:
    old, at = _row(data, _OID.size, _KEY, _OLD)
    return Delete(_LONG.unpack_from(data, 1)[0], old, data[_OID.size] == _OLD), at


def _truncate(data: bytes) -> tuple[Truncate, int]:
    count, at = _TRUNCATE.unpack_from(data)[1], _TRUNCATE.size
    return Truncate(tuple(_LONG.unpack_from(data, at + 4 * n)[0] for n in range(count))), at + 4 * count


def _row(data: bytes, at: int, *kinds: int) -> tuple[Values, int]:
    """Return the values of a row of one of some kinds, and where it ends."""
    if data[at] not in kinds:
        raise IndexError
    at += 3
    values: list[Value] = []
    for _ in range(_SHORT.unpack_from(data, at - 2)[0]):
        kind = data[at]
        if kind == _TEXT:
            start = at + 5
            at = start + _LONG.unpack_from(data, at + 1)[0]
            values.append(data[start:at])
        elif kind == _NULL:
            values.append(None)
            at += 1
        elif kind == _UNCHANGED:
            values.append(UNCHANGED)
            at += 1
        else:
            raise IndexError
    return tuple(values), at


def _string(data: bytes, at: int) -> tuple[str, int]:
    """Return a text that ends with a zero, and where the next thing begins."""
    end = data.find(0, at)
    if end < 0:
        raise IndexError
    return data[at:end].decode(), end + 1


_DECODERS: Mapping[bytes, Callable[[bytes], tuple[Message, int]]] = {
    b"B": _begin,
    b"C": _commit,
    b"O": _origin,
    b"R": _relation,
    b"Y": _type,
    b"I": _insert,
    b"U": _update,
    b"D": _delete,
    b"T": _truncate,
    b"M": _message,
}
