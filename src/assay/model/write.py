"""How a table's new content meets what is published, and which of several rows of a key stays."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overwrite:
    """The function's result replaces the table.

    With `stamps=True` (the table needs a key) assay adds `created_at` and `updated_at`, TIMESTAMP in UTC.
    """

    stamps: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    """Every delivery of the source adds a slice; slices delivered earlier stay."""

    stamps: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """Rows are inserted, updated and deleted by key.

    `surrogate` names a BIGINT column that assay fills: a key keeps its number for ever, new keys are numbered from 1
    in the order of their position. With `stamps=True` assay adds `created_at` and `updated_at`, TIMESTAMP in UTC.
    """

    surrogate: str | None = None
    stamps: bool = False


Write = Overwrite | Append | Merge

CREATED_AT = "created_at"
UPDATED_AT = "updated_at"
STAMPS = (CREATED_AT, UPDATED_AT)


@dataclass(frozen=True, slots=True)
class FirstInSource:
    """Of the rows with one key, keep the one that comes first in the source, over all deliveries."""


@dataclass(frozen=True, slots=True)
class Latest:
    """Of the rows with one key, keep the one with the largest value; ties go to the last position in the source."""

    column: str


Keep = FirstInSource | Latest


def first_in_source() -> FirstInSource:
    """Keep the row that comes first in the source, over all deliveries; the table must carry `position()`."""
    return FirstInSource()


def latest(column: str) -> Latest:
    """Keep the row with the largest value of the column.

    Null is smallest. Ties are broken by the last position in the source, then by every column.
    """
    return Latest(column)
