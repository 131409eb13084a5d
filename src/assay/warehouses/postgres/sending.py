"""The rows of a file as a server's COPY takes them: made by Arrow, some at a time, while the server takes others."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pgpq
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from assay.warehouses.postgres.forms import Form, form

_BATCH_ROWS, _BATCH_BYTES = 16_384, 4 << 20
# A null is nothing, and what has nothing in it stands in quotes: the two stay apart.
_WRITTEN = pa.csv.WriteOptions(include_header=False, quoting_style="all_valid")


@dataclass(frozen=True, slots=True)
class Sent:
    """The rows of a file on their way."""

    form: Literal["binary", "csv"]
    """The format of COPY."""
    pieces: Iterator[bytes]


def rows_of(path: Path, columns: Mapping[str, str], number: int, *, as_texts: bool = False) -> Sent:
    """Send these columns of a file, of such types in the server, with a number behind them.

    They go in binary form where each value seems to have that of its column; else, and where it is asked for, as texts,
    which the server reads as whatever type a column has. The pieces raise FormlessError for a text that has no binary
    form, and ValueError for a time that no server has.
    """
    schema = pyarrow.parquet.read_schema(path)
    forms = {name: form(_plain(schema.field(name).type), columns[name]) for name in columns}
    known = {name: each for name, each in forms.items() if each is not None}
    if as_texts or len(known) < len(columns):
        return Sent("csv", _ahead(_written(path, list(columns), number)))
    return Sent("binary", _ahead(_encoded(path, known, number)))


def _plain(values: pa.DataType) -> pa.DataType:
    return values.storage_type if isinstance(values, pa.BaseExtensionType) else values


def _encoded(path: Path, columns: Mapping[str, Form], number: int) -> Iterator[bytes]:
    """Yield the rows of a file in the binary form of COPY."""
    schema = pa.schema([*((name, each.kind) for name, each in columns.items()), ("", pa.int64())])
    encoder = _encoder(schema, columns)
    yield encoder.write_header()
    for batch in _batches(path, list(columns)):
        arrays = [each.of(_stored(batch.column(name))) for name, each in columns.items()]
        yield encoder.write_batch(pa.record_batch([*arrays, pa.repeat(number, batch.num_rows)], schema=schema))
    yield encoder.finish()


def _encoder(schema: pa.Schema, columns: Mapping[str, Form]) -> pgpq.ArrowToPostgresBinaryEncoder:
    infer = pgpq.ArrowToPostgresBinaryEncoder.infer_encoder
    fields = {field.name: field for field in schema}
    own = {name: each.encoder(fields[name]) for name, each in columns.items()}
    builders = {name: own.get(name) or infer(field) for name, field in fields.items()}
    return pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(schema, builders)


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
