"""The rows of a file as a server's COPY reads them: written by Arrow, some at a time, while the server takes others."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

_BATCH_ROWS, _BATCH_BYTES = 16_384, 4 << 20
# A null is nothing, and what has nothing in it stands in quotes: the two stay apart.
_WRITTEN = pa.csv.WriteOptions(include_header=False, quoting_style="all_valid")


def rows_as_text(path: Path, columns: Sequence[str], number: int) -> Iterator[bytes]:
    """Yield the rows of a file, with a number behind these columns."""
    return _ahead(_written(path, columns, number))


def _written(path: Path, columns: Sequence[str], number: int) -> Iterator[bytes]:
    # Not read ahead: that would hold all that a file has of these columns. One thread at it is enough, and takes less.
    with pa.parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(_at_once(file.metadata), columns=list(columns), use_threads=False):
            arrays = [_as_text(batch.column(name)) for name in columns]
            whole = pa.record_batch([*arrays, pa.repeat(number, batch.num_rows)], names=[*columns, ""])
            written = io.BytesIO()
            pa.csv.write_csv(whole, written, _WRITTEN)
            yield written.getvalue()


def _at_once(file: pa.parquet.FileMetaData) -> int:
    """Return how many rows of a file are written at once: fewer where they are wide."""
    groups = [file.row_group(n) for n in range(file.num_row_groups)]
    widest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(widest, 1)))


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield pieces, each of which is made while the server takes the one before it."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, pieces, None)
        while (piece := following.result()) is not None:
            following = pool.submit(next, pieces, None)
            yield piece


def _as_text(values: pa.Array) -> pa.Array:
    """Return values in a form that Arrow writes as PostgreSQL reads them: bytes and UUIDs in hexadecimal."""
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_timestamp(values.type):
        # All are UTC, as the connection is. With a zone, Arrow writes each fourteen times as slowly, and the years
        # from 32768 on as others.
        return values.cast(pa.timestamp(values.type.unit))
    if pa.types.is_fixed_size_binary(values.type):
        return pa.array([None if v is None else v.hex() for v in values.to_pylist()], pa.string())
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        return pa.array([None if v is None else f"\\x{v.hex()}" for v in values.to_pylist()], pa.string())
    return values
