"""The rows of a file as a server's COPY takes them: made by Arrow, some at a time, while the server takes others."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pgpq
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

_BATCH_ROWS, _BATCH_BYTES = 16_384, 4 << 20
# A null is nothing, and what has nothing in it stands in quotes: the two stay apart.
_WRITTEN = pa.csv.WriteOptions(include_header=False, quoting_style="all_valid")
_INFINITE = 2**63 - 1
"""How files have the time that is later than all others."""
_INTEGERS = {"smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64()}
_TIMES = ("timestamp without time zone", "timestamp with time zone")
_SAME: Mapping[str, tuple[Callable[[pa.DataType], bool], pa.DataType]] = {
    "boolean": (pa.types.is_boolean, pa.bool_()),
    "real": (pa.types.is_float32, pa.float32()),
    "double precision": (pa.types.is_floating, pa.float64()),
    "text": (pa.types.is_string, pa.string()),
    "character varying": (pa.types.is_string, pa.string()),
    "date": (pa.types.is_date32, pa.date32()),
    "time without time zone": (pa.types.is_time64, pa.time64("us")),
    "bytea": (pa.types.is_binary, pa.binary()),
}
"""Type of a column -> which values have the same in binary form, and as what."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The rows of a file on their way."""

    form: Literal["binary", "csv"]
    """The format of COPY."""
    pieces: Iterator[bytes]


def rows_of(path: Path, columns: Mapping[str, str], number: int) -> Sent:
    """Send these columns of a file, of such types in the server, with a number behind them.

    They go in binary form where each value is of its column's type; else as texts, which the server reads as whatever
    type a column has.
    """
    schema = pyarrow.parquet.read_schema(path)
    types = {name: _binary(_plain(schema.field(name).type), columns[name]) for name in columns}
    known = {name: kind for name, kind in types.items() if kind is not None}
    if len(known) == len(columns):
        return Sent("binary", _ahead(_encoded(path, known, number)))
    return Sent("csv", _ahead(_written(path, list(columns), number)))


def _binary(values: pa.DataType, column: str) -> pa.DataType | None:
    """Return the type as which values have the binary form of a column; None where they have none."""
    if column in _INTEGERS:
        fits = pa.types.is_signed_integer(values) and values.bit_width <= _INTEGERS[column].bit_width
        return _INTEGERS[column] if fits else None
    if column in _TIMES:
        # With a zone or without, the server counts microseconds of UTC; so do the files.
        return pa.timestamp("us") if pa.types.is_timestamp(values) else None
    if column == "numeric":
        return values if pa.types.is_decimal128(values) else None
    if column == "uuid":
        return pa.binary() if pa.types.is_fixed_size_binary(values) and values.byte_width == 16 else None
    same, wire = _SAME.get(column, (None, None))
    return wire if same is not None and same(values) else None


def _plain(values: pa.DataType) -> pa.DataType:
    return values.storage_type if isinstance(values, pa.BaseExtensionType) else values


def _encoded(path: Path, columns: Mapping[str, pa.DataType], number: int) -> Iterator[bytes]:
    """Yield the rows of a file in the binary form of COPY; raises ValueError for a time that no server has."""
    schema = pa.schema([*columns.items(), ("", pa.int64())])
    encoder = pgpq.ArrowToPostgresBinaryEncoder(schema)
    yield encoder.write_header()
    for batch in _batches(path, list(columns)):
        arrays = [_finite(_stored(batch.column(name)).cast(kind)) for name, kind in columns.items()]
        yield encoder.write_batch(pa.record_batch([*arrays, pa.repeat(number, batch.num_rows)], schema=schema))
    yield encoder.finish()


def _finite(values: pa.Array) -> pa.Array:
    """Return values; raises ValueError for an infinite time, which in the server's counting would be one of a year."""
    if pa.types.is_timestamp(values.type) and pa.compute.max(values.view(pa.int64())).as_py() == _INFINITE:
        raise ValueError("timestamp out of range")
    return values


def _written(path: Path, columns: Sequence[str], number: int) -> Iterator[bytes]:
    """Yield the rows of a file as texts."""
    for batch in _batches(path, columns):
        arrays = [_as_text(_stored(batch.column(name))) for name in columns]
        whole = pa.record_batch([*arrays, pa.repeat(number, batch.num_rows)], names=[*columns, ""])
        written = io.BytesIO()
        pa.csv.write_csv(whole, written, _WRITTEN)
        yield written.getvalue()


def _batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    # Not read ahead: that would hold all that a file has of these columns. One thread at it is enough, and takes less.
    with pa.parquet.ParquetFile(path, pre_buffer=False) as file:
        yield from file.iter_batches(_at_once(file.metadata), columns=list(columns), use_threads=False)


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


def _stored(values: pa.Array) -> pa.Array:
    return values.storage if isinstance(values.type, pa.BaseExtensionType) else values


def _as_text(values: pa.Array) -> pa.Array:
    """Return values in a form that Arrow writes as PostgreSQL reads them: bytes and UUIDs in hexadecimal."""
    if pa.types.is_timestamp(values.type):
        # All are UTC, as the connection is. With a zone, Arrow writes each fourteen times as slowly, and the years
        # from 32768 on as others.
        return values.cast(pa.timestamp(values.type.unit))
    if pa.types.is_fixed_size_binary(values.type):
        return pa.array([None if v is None else v.hex() for v in values.to_pylist()], pa.string())
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        return pa.array([None if v is None else f"\\x{v.hex()}" for v in values.to_pylist()], pa.string())
    return values
