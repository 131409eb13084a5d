"""A look at a file before a run reads it: whether it can be what its source declares, and whether it brings rows."""

from __future__ import annotations

from types import ModuleType
from typing import assert_never

from assay.model.files import Csv, FileSource, Frozen, Parquet
from assay.sources import lines


def damage_of(source: FileSource, path: str) -> str | None:
    """Return why a file goes to the quarantine as a whole; None for one that is to be read.

    Raises SourceError for a file that cannot be read as it is declared.
    """
    match source:
        case Csv():
            lines.header_of(source, path)
            return None
        case Parquet():
            found: str | None = _parquet().damage_of(source, path)
            return found
        case Frozen():
            return None
        case _:
            assert_never(source)


def has_rows(source: FileSource, path: str) -> bool:
    """Return whether a file brings any rows."""
    match source:
        case Csv():
            return lines.has_rows(source, path)
        case Parquet():
            return bool(_parquet().has_rows(path))
        case Frozen():
            return True
        case _:
            assert_never(source)


def columns(path: str) -> tuple[tuple[str, str], ...]:
    """Return names and types of all columns of a Parquet file that can be read, in its order."""
    return tuple(_parquet().columns(path))


def _parquet() -> ModuleType:
    from assay.sources import parquet

    return parquet
