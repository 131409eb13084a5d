"""Arrow's columns as SQL has them: whether they are there, which types fit those declared, which values are none."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from assay.model.errors import SourceError, near_miss

_EPOCH = dt.date(1970, 1, 1).toordinal()
_FIRST_DAY, _END_DAY = dt.date.min.toordinal() - _EPOCH, dt.date.max.toordinal() - _EPOCH + 1
"""Between them are those that lakes and Python can hold."""
_A_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_DIGITS = {"INTEGER": 10, "BIGINT": 19}
_WIDER = {"INTEGER": ("BIGINT", "DOUBLE"), "REAL": ("DOUBLE",)}
_SIMPLE: Mapping[str, str] = {
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "INTEGER"),
    **dict.fromkeys(("int64", "uint32"), "BIGINT"),
    **dict.fromkeys(("halffloat", "float"), "REAL"),
    **dict.fromkeys(("string", "large_string"), "VARCHAR"),
    **dict.fromkeys(("binary", "large_binary"), "BLOB"),
    "uint64": "DECIMAL(20,0)",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "date32[day]": "DATE",
    "extension<arrow.uuid>": "UUID",
}
"""Types as Arrow names them -> as SQL does."""
_ARROW: Mapping[str, pa.DataType] = {
    "BOOLEAN": pa.bool_(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "REAL": pa.float32(),
    "DOUBLE": pa.float64(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    "VARCHAR": pa.large_string(),
    "BLOB": pa.large_binary(),
    "UUID": pa.uuid(),
}
"""Types as SQL names them -> in Arrow."""
_NUMBERS = {"INTEGER", "BIGINT", "DECIMAL", "REAL", "DOUBLE"}
_MOMENTS = {"DATE", "TIMESTAMP"}
_CLOSE = {16: 1e-3, 32: 1e-6, 64: 1e-15}
"""Bits of a floating point number -> how far apart two may be, in parts of it, that are one."""


def check_there(place: str, name: str, names: Sequence[str]) -> None:
    """Raise SourceError where a declared column is not among those that are there, or one of several of its name."""
    alike = [other for other in names if other.lower() == name.lower()]
    if name not in alike:
        raise SourceError(f"{place}: has no column {name!r}.{near_miss(name, names)} It has: {', '.join(names)}.")
    if len(alike) > 1:
        raise SourceError(f"{place}: has {' and '.join(map(repr, alike))}; upper and lower case are one name.")


def misfit(place: str, name: str, found: str, declared: str) -> SourceError:
    """Return the error of a column whose type is not the one declared."""
    return SourceError(f"{place}: column {name!r} is {found}, and declared as {declared}.")


def sql_type(kind: pa.DataType) -> str:
    """Return a type as it is declared in SQL, or as Arrow names it where assay has none for it."""
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ" if kind.tz else "TIMESTAMP"
    if pa.types.is_time(kind):
        return "TIME"
    if pa.types.is_fixed_size_binary(kind):
        return "BLOB"
    if pa.types.is_dictionary(kind):
        return sql_type(kind.value_type)
    return _SIMPLE.get(str(kind), str(kind))


def fits(found: str, declared: str) -> bool:
    """Return whether every value of one type is one of the other; a column without any value fits all."""
    if found in (declared, "null") or declared in _WIDER.get(found, ()):
        return True
    wanted, had = _DECIMAL.fullmatch(declared), _DECIMAL.fullmatch(found)
    if wanted is None or (had is None and found not in _DIGITS):
        return False
    behind = int(had[2]) if had else 0
    before = int(had[1]) - behind if had else _DIGITS[found]
    return int(wanted[2]) >= behind and int(wanted[1]) - int(wanted[2]) >= before


def check_values(place: str, name: str, values: pa.Array, kind: pa.DataType) -> None:
    """Refuse times that would lose digits, and days that no lake holds."""
    if (pa.types.is_timestamp(kind) or pa.types.is_time(kind)) and kind.unit == "ns":
        kind = pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else pa.time64("us")
        try:
            values = values.cast(kind)
        except pa.ArrowInvalid:
            raise SourceError(
                f"{place}: column {name!r} has parts of a microsecond, which assay does not keep."
            ) from None
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return
    number, a_day = (pa.int32(), 1) if pa.types.is_date(kind) else (pa.int64(), _A_DAY[kind.unit])
    bounds = pc.min_max(values.cast(number)).as_py()
    if bounds["min"] is not None and not (_FIRST_DAY * a_day <= bounds["min"] and bounds["max"] < _END_DAY * a_day):
        raise SourceError(f"{place}: column {name!r} has a day before the year 1 or after 9999.")


def may_fit(found: str, declared: str) -> bool:
    """Return whether some values of one type are values of the other: whole numbers, or days without a time."""
    kinds = {found.partition("(")[0], declared.partition("(")[0]}
    return kinds <= _MOMENTS or (kinds <= _NUMBERS and declared != "REAL")


def converted(values: pa.Array, declared: str) -> pa.Array:
    """Return values in the type declared; raises pyarrow's ArrowInvalid where one of them is none of that type.

    A floating point number stands for the decimal of 15 digits that is nearest to it.
    """
    kind, wanted = values.type, _arrow_type(declared)
    if pa.types.is_integer(kind) and pa.types.is_decimal(wanted):
        # Arrow asks for the digits that the type can have, not for those that the values have.
        values = values.cast(pa.decimal256(76, wanted.scale))
    found = values.cast(wanted)
    if pa.types.is_timestamp(kind) and declared == "DATE" and not _all(pc.equal(found.cast(kind), values)):
        raise pa.ArrowInvalid("a day has no time")
    if pa.types.is_floating(kind) and pa.types.is_decimal(wanted):
        apart = pc.abs(pc.subtract(found.cast(kind), values))
        if not _all(pc.less_equal(apart, pc.multiply(pc.abs(values), _CLOSE[kind.bit_width]))):
            raise pa.ArrowInvalid("it has more digits")
    return found


def _arrow_type(declared: str) -> pa.DataType:
    if found := _DECIMAL.fullmatch(declared):
        return pa.decimal128(int(found[1]), int(found[2]))
    return _ARROW[declared]


def _all(found: pa.BooleanArray) -> bool:
    """Return whether none is false; nulls are not."""
    return bool(pc.all(found, min_count=0).as_py())
