"""The SELECT that reads the declared columns of delivered Parquet files in their declared types."""

from __future__ import annotations

from collections.abc import Sequence

from assay.engines.duckdb import quoting
from assay.model.source import EXTRACTED_ON, POSITION, SLICE_BIT, SOURCE_FILE, Parquet, Slice

_PATH = "assay_path"


def files_query(source: Parquet, parts: Sequence[Slice]) -> str:
    """Return a SELECT of files with equal columns, which were found to fit; row numbers are those of each file."""
    columns = ", ".join(
        f"cast(r.{quoting.name(name)} as {kind}) as {quoting.name(name)}" for name, kind in source.columns.items()
    )
    paths = ", ".join(quoting.path(part.identity.path) for part in parts)
    slices = ", ".join(
        f"({quoting.text(part.identity.path)}, {part.number << SLICE_BIT}::bigint, {quoting.text(part.name)}, "
        f"date {quoting.text(part.extracted_on)})"
        for part in parts
    )
    return (
        f"select {columns}, p.place + r.file_row_number + 1 as {POSITION}, "
        f"p.name as {SOURCE_FILE}, p.day as {EXTRACTED_ON} "
        f"from read_parquet([{paths}], file_row_number = true, hive_partitioning = false, filename = '{_PATH}') r "
        f"join (values {slices}) p(path, place, name, day) on r.{_PATH} = p.path"
    )
