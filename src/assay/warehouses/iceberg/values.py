"""How assay's types, and the values and statistics that DuckDB writes as text, look in Iceberg."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from assay.model.data import DataFile
from assay.model.errors import WarehouseError
from assay.model.schema import NO_PARTITION, Schema

StoredValue = bool | int | float | str | bytes | Decimal | UUID

_TYPE_NAMES = {
    "BOOLEAN": "boolean",
    "INTEGER": "int",
    "BIGINT": "long",
    "REAL": "float",
    "DOUBLE": "double",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMPTZ": "timestamptz",
    "VARCHAR": "string",
    "BLOB": "binary",
    "UUID": "uuid",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE, _CLOCK = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d:\d\d(\.\d{1,6})?"
_FORMS = {
    "BOOLEAN": r"true|false|1|0",
    "INTEGER": r"-?\d+",
    "BIGINT": r"-?\d+",
    "DATE": _DATE,
    "TIME": _CLOCK,
    "TIMESTAMP": f"{_DATE} {_CLOCK}",
    "TIMESTAMPTZ": f"{_DATE} {_CLOCK}" + r"[+-]\d\d(:\d\d){0,2}",
}
_READERS: Mapping[str, Callable[[str], StoredValue]] = {
    "BOOLEAN": lambda text: text in ("true", "1"),
    "INTEGER": int,
    "BIGINT": int,
    "REAL": float,
    "DOUBLE": float,
    "DATE": lambda text: (date.fromisoformat(text) - _EPOCH.date()).days,
    "TIME": lambda text: _microseconds(datetime.fromisoformat(f"1970-01-01 {text}+00")),
    "TIMESTAMP": lambda text: _microseconds(datetime.fromisoformat(f"{text}+00")),
    "TIMESTAMPTZ": lambda text: _microseconds(datetime.fromisoformat(text)),
    "VARCHAR": str,
    "BLOB": bytes.fromhex,
    "UUID": UUID,
}
_PACKED = {"BOOLEAN": "<?", "INTEGER": "<i", "DATE": "<i", "REAL": "<f", "DOUBLE": "<d"}


def iceberg_type(kind: str) -> str:
    """Return Iceberg's name for a canonical type."""
    return _TYPE_NAMES.get(kind) or kind.lower()


def partition_values(schema: Schema, file: DataFile, names: Sequence[str]) -> list[StoredValue | None]:
    """Return what all rows of a file share; raises WarehouseError where Iceberg cannot keep it exactly."""
    values: list[StoredValue | None] = []
    for name in names:
        kind, text = schema[name].type, file.partition[name]
        try:
            if kind in NO_PARTITION:
                raise ValueError(f"a {kind} is no partition")
            values.append(None if text is None else stored_value(kind, text))
        except ValueError as error:
            raise WarehouseError(f"{file.path}: column {name!r} cannot partition its table: {error}.") from error
    return values


def file_metrics(schema: Schema, file: DataFile) -> Mapping[str, Any]:
    """Return a file's statistics by field id, under the names of Iceberg's data file; unsure bounds are left out."""
    stats = [(column, file.stats[column.name]) for column in schema if column.name in file.stats]
    lower = {column.field_id: bound(column.type, known.lower, zero=-0.0) for column, known in stats}
    upper = {column.field_id: bound(column.type, known.upper, zero=0.0) for column, known in stats}
    return {
        "column_sizes": {column.field_id: known.bytes for column, known in stats},
        "value_counts": {column.field_id: known.values for column, known in stats},
        "null_value_counts": {column.field_id: known.nulls for column, known in stats},
        "lower_bounds": {number: value for number, value in lower.items() if value is not None},
        "upper_bounds": {number: value for number, value in upper.items() if value is not None},
    }


def stored_value(kind: str, text: str) -> StoredValue:
    """Return a value as Iceberg keeps it: dates in days since 1970, times and timestamps in microseconds.

    `kind` is a canonical type; the text of a BLOB is hexadecimal. Raises ValueError for a text that is no such value,
    and for moments that Python's calendar lacks: infinite ones, years before 1 or after 9999, the time 24:00:00.
    """
    if (form := _FORMS.get(kind)) and not re.fullmatch(form, text, re.ASCII):
        raise ValueError(f"{text!r} is not a {kind} that Iceberg can keep")
    if reader := _READERS.get(kind):
        return reader(text)
    if not re.fullmatch(r"-?(\d+|\d*\.\d+)", text, re.ASCII):
        raise ValueError(f"{text!r} is not a {kind}")
    return Decimal(text)


def bound(kind: str, text: str | None, *, zero: float = 0.0) -> bytes | None:
    """Return a bound in Iceberg's binary form, None where it is not known for certain.

    `zero` is what a zero becomes: Parquet does not tell 0.0 from -0.0, Iceberg sorts them.
    """
    if text is None:
        return None
    try:
        value = stored_value(kind, text)
        if isinstance(value, float):
            return None if math.isnan(value) else struct.pack(_PACKED[kind], value or zero)
        return _binary(kind, value)
    except (ValueError, OverflowError, struct.error):
        return None


def _binary(kind: str, value: StoredValue) -> bytes:
    """Iceberg's single-value serialization, https://iceberg.apache.org/spec/#binary-single-value-serialization."""
    match value:
        case str():
            return value.encode()
        case bytes():
            return value
        case UUID():
            return value.bytes
        case Decimal():
            # Not scaleb(): that rounds to the context's 28 digits.
            sign, digits, _ = value.as_tuple()
            unscaled = int("".join(map(str, digits))) * (-1 if sign else 1)
            bits = (unscaled if unscaled >= 0 else ~unscaled).bit_length()
            return unscaled.to_bytes(bits // 8 + 1, "big", signed=True)
    return struct.pack(_PACKED.get(kind, "<q"), value)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
