"""Types of PostgreSQL and what they are declared as: for an engine, or on the way into another database."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FITS: Mapping[str, tuple[str, ...]] = {
    "BOOLEAN": ("boolean",),
    "INTEGER": ("smallint", "integer"),
    "BIGINT": ("smallint", "integer", "bigint", "oid"),
    "DECIMAL": ("smallint", "integer", "bigint", "numeric"),
    "REAL": ("real",),
    "DOUBLE": ("smallint", "integer", "real", "double precision"),
    "DATE": ("date",),
    "TIME": ("time without time zone",),
    "TIMESTAMP": ("date", "timestamp without time zone"),
    "TIMESTAMPTZ": ("timestamp with time zone",),
    "BLOB": ("bytea",),
    "UUID": ("uuid",),
}
"""Declared type -> types of the server whose values it holds; VARCHAR holds the text of any."""
_NATURAL = {
    "boolean": "BOOLEAN",
    "smallint": "INTEGER",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "REAL",
    "double precision": "DOUBLE",
    "date": "DATE",
    "time without time zone": "TIME",
    "bytea": "BLOB",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMPTZ",
    "uuid": "UUID",
    "oid": "BIGINT",
}
_MODIFIER = re.compile(r"\(.*?\)")
_MOST_DIGITS = 38
_SURE = ("BOOLEAN", "INTEGER", "BIGINT", "REAL", "DOUBLE", "BLOB", "UUID")
"""Declared types that hold every value of the server's types that are declared so."""
_OF_ONE_SERVER = re.compile(r"(reg[a-z]+|aclitem|pg_node_tree)(\[\])*")
"""Types whose values name what else is in a database: another has no such table, role or function."""
_PLAIN = re.compile(r"[a-z][a-z0-9 ]*(?:\(\d+(?:,-?\d+)?\))?[a-z0-9 ()]*(?:\[\])*")


def natural(kind: str) -> str:
    """Return the type that a column of the server is declared with where nothing speaks for another."""
    plain = _MODIFIER.sub("", kind)
    if plain == "numeric" and (digits := re.search(r"\((\d+),(-?\d+)\)", kind)):
        precision, scale = int(digits[1]), int(digits[2])
        return f"DECIMAL({precision},{scale})" if 0 <= scale <= precision <= _MOST_DIGITS else "VARCHAR"
    return _NATURAL.get(plain, "VARCHAR")


def exact(kind: str) -> str:
    """Return the type that every value of a server's type has a place in: as a text, where no other has."""
    found = natural(kind)
    return found if found in _SURE else "VARCHAR"


def is_plain(kind: str) -> bool:
    """Return whether a type is written as those are that every server has, and means the same on each."""
    return _PLAIN.fullmatch(kind) is not None and _OF_ONE_SERVER.fullmatch(kind) is None


def fits(there: str, declared: str) -> bool:
    """Return whether a declared type may hold what a server's type has."""
    plain = _MODIFIER.sub("", there)
    return declared == "VARCHAR" or plain in _FITS[_MODIFIER.sub("", declared)]
