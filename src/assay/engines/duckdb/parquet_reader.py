"""The SELECT that reads the declared columns of a delivered Parquet file in their declared types."""

from __future__ import annotations

from assay.engines.duckdb import quoting
from assay.engines.duckdb.csv_reader import delivered
from assay.model.source import POSITION, SLICE_BIT, Parquet, Slice


def file_query(source: Parquet, part: Slice) -> str:
    """Return a SELECT of a file whose columns were found to fit; row numbers are those that the file itself has."""
    columns = ", ".join(f"cast({quoting.name(c)} as {kind}) as {quoting.name(c)}" for c, kind in source.columns.items())
    return (
        f"select {columns}, {part.number << SLICE_BIT}::bigint + file_row_number + 1 as {POSITION}, {delivered(part)} "
        f"from read_parquet({quoting.path(part.identity.path)}, file_row_number = true, hive_partitioning = false)"
    )
