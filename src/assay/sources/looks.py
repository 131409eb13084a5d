"""A look at a file before a run reads it: whether it can be what its source declares, and whether it brings rows."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import assert_never

from assay.model.files import Csv, DataFrame, FileSource, Frozen, Parquet
from assay.sources import files, lines


def deliveries(name: str, source: FileSource, base: Path) -> list[files.Delivery]:
    """Return what a source of this name delivers now; sha256 is left empty, and relative paths count from `base`.

    Raises SourceError for a path that is missing, a folder, or no match, and for a frame that is not as declared.
    """
    if isinstance(source, DataFrame):
        return [_dataframes().deliver(name, source)]
    return files.find(source, base)


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
        case DataFrame() | Frozen():
            return None
        case _:
            assert_never(source)


def has_rows(source: FileSource, path: str) -> bool:
    """Return whether a file brings any rows."""
    match source:
        case Csv():
            return lines.has_rows(source, path)
        case Parquet() | DataFrame():
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


def _dataframes() -> ModuleType:
    from assay.sources import dataframes

    return dataframes
