"""Columns and their types, written as SQL types and numbered once for ever."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from assay.model.errors import DeclarationError, near_miss

SYSTEM_PREFIX = "_assay_"
"""Columns that assay adds begin so; readers do not see them."""
CLOSE = 1e-9
"""A DOUBLE equals another within so much of their size."""

_PLAIN_TYPES = (
    "BOOLEAN",
    "INTEGER",
    "BIGINT",
    "REAL",
    "DOUBLE",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "VARCHAR",
    "BLOB",
    "UUID",
)
_SPELLINGS = {
    "BOOL": "BOOLEAN",
    "INT": "INTEGER",
    "TINYINT": "INTEGER",
    "SMALLINT": "INTEGER",
    "UTINYINT": "INTEGER",
    "USMALLINT": "INTEGER",
    "UINTEGER": "BIGINT",
    "FLOAT": "REAL",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    "TIMESTAMP_NS": "TIMESTAMP",
    "HUGEINT": "BIGINT",
    "UBIGINT": "DECIMAL(20,0)",
    "NUMERIC": "DECIMAL(18,3)",
    "DECIMAL": "DECIMAL(18,3)",
}
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC) ?\( ?(\d+) ?(?:, ?(\d+) ?)?\)")


NO_PARTITION = ("BLOB", "DOUBLE", "REAL", "UUID")
"""Types that lakes cannot be partitioned by.

pyiceberg 0.12 finds no row of a file by these: it reads a DOUBLE partition with the precision of a REAL
(apache/iceberg-python#3808) and compares a UUID with bytes; a BLOB's partition text has another form than its bounds.
"""


def canonical_type(text: str) -> str:
    """Return the one spelling assay uses for a SQL type (`"decimal(12, 2)"` gives `"DECIMAL(12,2)"`).

    Raises DeclarationError for a type that the warehouses cannot hold.
    """
    upper = " ".join(text.upper().split())
    if match := _DECIMAL.fullmatch(upper):
        precision, scale = int(match[1]), int(match[2] or 0)
        if not (0 < precision <= 38 and scale <= precision):
            raise DeclarationError(f"{text!r}: a DECIMAL has 1 to 38 digits, and no more behind the point.")
        return f"DECIMAL({precision},{scale})"
    name = _SPELLINGS.get(upper, upper)
    if name not in _PLAIN_TYPES and not _DECIMAL.fullmatch(name):
        raise DeclarationError(
            f"{text!r} is not a column type of assay.{near_miss(upper, _PLAIN_TYPES)} "
            f"Known: {', '.join(_PLAIN_TYPES)}, DECIMAL(p,s)."
        )
    return name


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its canonical SQL type, and the number it keeps through every rename of its table."""

    name: str
    type: str
    field_id: int

    @property
    def is_system(self) -> bool:
        """Whether assay added this column for its own bookkeeping."""
        return self.name.startswith(SYSTEM_PREFIX)


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a table, in order."""

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Schema:
        """Number the given (name, type) pairs from 1."""
        return cls(tuple(Column(name, canonical_type(kind), n) for n, (name, kind) in enumerate(pairs, 1)))

    @classmethod
    def from_json(cls, rows: Iterable[Mapping[str, object]]) -> Schema:
        """Rebuild a schema from `to_json`."""
        return cls(tuple(Column(str(r["name"]), str(r["type"]), int(str(r["id"]))) for r in rows))

    def to_json(self) -> list[dict[str, object]]:
        """Return plain data for the control tables."""
        return [{"name": c.name, "type": c.type, "id": c.field_id} for c in self.columns]

    @property
    def names(self) -> tuple[str, ...]:
        """Every column's name, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def highest_id(self) -> int:
        """The largest field id in use, 0 for no columns."""
        return max((column.field_id for column in self.columns), default=0)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def without(self, *names: str) -> Schema:
        """Return the schema with the named columns left out."""
        return Schema(tuple(column for column in self.columns if column.name not in names))

    def plus(self, name: str, kind: str) -> Schema:
        """Return the schema with one more column."""
        return Schema((*self.columns, Column(name, kind, self.highest_id + 1)))

    def following(self, earlier: Schema | None, next_id: int) -> Schema:
        """Take over the ids of the earlier schema's columns (same name, same type); number new ones from next_id.

        A column whose type changed gets a new id: its old files are rewritten, never reinterpreted.
        """
        if earlier is None:
            return Schema(tuple(Column(c.name, c.type, n) for n, c in enumerate(self.columns, 1)))
        known = {(c.name, c.type): c.field_id for c in earlier}
        columns = []
        for column in self.columns:
            field_id = known.get((column.name, column.type))
            if field_id is None:
                field_id, next_id = next_id, next_id + 1
            columns.append(Column(column.name, column.type, field_id))
        return Schema(tuple(columns))
