"""Which values have the binary form that COPY takes into a column, and how they get it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb

_INFINITE = 2**63 - 1
"""How files have the time that is later than all others."""
_INTEGERS = {"smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64()}
_TIMES = {
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
_SAME: Mapping[str, tuple[Callable[[pa.DataType], bool], pa.DataType]] = {
    "boolean": (pa.types.is_boolean, pa.bool_()),
    "real": (pa.types.is_float32, pa.float32()),
    "double precision": (pa.types.is_floating, pa.float64()),
    "text": (pa.types.is_string, pa.string()),
    "character varying": (pa.types.is_string, pa.string()),
    "json": (pa.types.is_string, pa.string()),
    "jsonb": (pa.types.is_string, pa.string()),
    "date": (pa.types.is_date32, pa.date32()),
    "time without time zone": (pa.types.is_time64, pa.time64("us")),
    "bytea": (pa.types.is_binary, pa.binary()),
}
"""Type of a column -> which values have the same in binary form, and as what."""
_MODIFIER = re.compile(r"\((\d+)(?:,(-?\d+))?\)")
_MOST_DIGITS = 38


class FormlessError(Exception):
    """A text that stands for a value without a binary form here, such as an infinite time."""


@dataclass(frozen=True, slots=True)
class Form:
    """How the values of a column get their binary form."""

    kind: pa.DataType
    """What they are before they get it."""
    read: bool = False
    """Whether they are read from texts, as the server would read them."""
    json: bool = False

    def of(self, values: pa.Array) -> pa.Array:
        """Return values as what they are before they get their binary form.

        Raises FormlessError for a text that only the server can read, ValueError for an infinite time, which in the
        server's counting would be one of a year.
        """
        try:
            typed = values.cast(self.kind)
        except pa.ArrowInvalid as error:
            if self.read:
                raise FormlessError(str(error)) from None
            raise
        return _finite(typed)

    def encoder(self, field: pa.Field) -> Any | None:
        """Return what writes the values; None where that follows from what they are."""
        return StringEncoderBuilder.new_with_output(field, Jsonb()) if self.json else None


def form(values: pa.DataType, column: str) -> Form | None:
    """Return how values get the form of a column, of a type as the server writes it; None where they have none."""
    plain = _MODIFIER.sub("", column)
    if plain in _INTEGERS:
        fits = pa.types.is_signed_integer(values) and values.bit_width <= _INTEGERS[plain].bit_width
        return Form(_INTEGERS[plain]) if fits else None
    if plain in _TIMES and pa.types.is_timestamp(values):
        # With a zone or without, the server counts microseconds of UTC; so do the files.
        return Form(pa.timestamp("us"))
    if plain == "numeric" and pa.types.is_decimal128(values):
        return Form(values)
    if plain == "uuid":
        return Form(pa.binary()) if pa.types.is_fixed_size_binary(values) and values.byte_width == 16 else None
    same, wire = _SAME.get(plain, (None, None))
    if same is not None and same(values):
        return Form(wire, json=plain == "jsonb")
    return _read(plain, _MODIFIER.search(column)) if pa.types.is_string(values) else None


def _read(column: str, modifier: re.Match[str] | None) -> Form | None:
    """Return how texts get the form of a column, where Arrow reads what it reads of them as the server does."""
    if column in _TIMES:
        return Form(_TIMES[column], read=True)
    if column == "date":
        return Form(pa.date32(), read=True)
    if column != "numeric" or modifier is None:
        # Where a column does not tell how many digits stand behind the point, each value tells it for itself.
        return None
    digits, scale = int(modifier[1]), int(modifier[2] or 0)
    return Form(pa.decimal128(digits, scale), read=True) if 0 <= scale <= digits <= _MOST_DIGITS else None


def _finite(values: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(values.type) and pa.compute.max(values.view(pa.int64())).as_py() == _INFINITE:
        raise ValueError("timestamp out of range")
    return values
