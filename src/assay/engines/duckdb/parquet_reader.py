"""The SELECT that reads the declared columns of delivered Parquet files in their declared types."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from assay.engines.duckdb import quoting
from assay.model.files import Columnar
from assay.model.source import EXTRACTED_ON, POSITION, SLICE_BIT, SOURCE_FILE, Slice

_PATH = "_assay_path"


def files_query(source: Columnar, parts: Sequence[Slice]) -> str:
    """Return a SELECT of files with equal columns, which were found to fit; row numbers are those of each file."""
    columns = ", ".join(f"cast({quoting.name(c)} as {kind}) as {quoting.name(c)}" for c, kind in source.columns.items())
    first = _of_file(parts, lambda part: f"{part.number << SLICE_BIT}::bigint")
    name = _of_file(parts, lambda part: quoting.text(part.name))
    day = _of_file(parts, lambda part: f"date {quoting.text(part.extracted_on)}")
    paths = quoting.paths(part.identity.path for part in parts)
    return (
        f"select {columns}, {first} + file_row_number + 1 as {POSITION}, {name} as {SOURCE_FILE}, "
        f"{day} as {EXTRACTED_ON} from read_parquet({paths}, filename = {quoting.text(_PATH)}, "
        "file_row_number = true, hive_partitioning = false)"
    )


def _of_file(parts: Sequence[Slice], value: Callable[[Slice], str]) -> str:
    """Return what all rows of a file share, looked up by its path where it is not the same for all files."""
    values = {part.identity.path: value(part) for part in parts}
    same = set(values.values())
    return same.pop() if len(same) == 1 else f"map {quoting.struct(values)}[{_PATH}]"
