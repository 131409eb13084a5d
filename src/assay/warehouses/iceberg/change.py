"""What a run does to one table, for its Iceberg metadata."""

from __future__ import annotations

from dataclasses import dataclass

from assay.model.data import DataFile
from assay.model.schema import Schema


@dataclass(frozen=True, slots=True)
class TableChange:
    """What a run does to one table."""

    location: str
    """The table's folder: an absolute path, or a file:// location."""
    base: str | None
    """The published metadata location, None for a new table."""
    schema: Schema
    """The final schema; its field ids are those in Iceberg and in the Parquet files."""
    partition_by: tuple[str, ...]
    added: tuple[DataFile, ...]
    removed: tuple[str, ...]
    """Paths relative to the root, as in `DataFile.path`."""
    run: int
    """Stands in the snapshot's summary and in the names of the files written."""
