"""Parquet files before they are read: whether they can be, and whether their columns are those declared."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assay.model.errors import SourceError, near_miss
from assay.model.files import Parquet

_BATCH_ROWS = 1 << 16
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


class DamagedFileError(SourceError):
    """A file that is no Parquet, or that cannot be read to its end."""


def damage_of(source: Parquet, path: str) -> str | None:
    """Return why a file cannot be read, where the source lets such files go to the quarantine; None for a good one.

    All of it is read, with the sums of its pages where it has them: found later, damage would cost a run, and engines
    read past those sums. Raises SourceError for a file that is damaged, or whose columns are not those declared.
    """
    try:
        _read_through(source, path)
    except DamagedFileError as error:
        if source.damaged == "refuse":
            raise
        return str(error).removeprefix(f"{path}: ")
    return None


def has_rows(path: str) -> bool:
    """Return whether a file has any rows that can be read."""
    try:
        with _file(path) as file:
            return bool(file.metadata.num_rows)
    except DamagedFileError:
        return False


def columns(path: str) -> tuple[tuple[str, str], ...]:
    """Return names and types of all columns of a file, in its order, as its format has them."""
    with _file(path) as file:
        return tuple((field.name, str(field.type)) for field in file.schema.to_arrow_schema())


def write_first_half(path: Path, to: Path) -> None:
    """Write the first half of a file's rows: what a file may hold that was delivered too early."""
    rows = pq.read_table(path)
    pq.write_table(rows.slice(0, rows.num_rows // 2 + 1), to)


def _read_through(source: Parquet, path: str) -> None:
    with _file(path) as file:
        kinds = _checked_kinds(source, path, file)
        for batch in file.iter_batches(_BATCH_ROWS, columns=list(source.columns), use_threads=False):
            # A text that is no UTF-8 is damage, too.
            batch.validate(full=True)
            for name, kind in kinds.items():
                _check_values(path, name, batch.column(name), kind)


@contextmanager
def _file(path: str) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except pa.ArrowNotImplementedError as error:
        raise SourceError(f"{path}: cannot be read: {_first_line(error)}") from None
    except (pa.ArrowException, OSError, EOFError) as error:
        # By its number an error of the system is told from one of the format, which has none.
        if isinstance(error, OSError) and error.errno:
            raise SourceError(f"{path}: {error.strerror or error}.") from None
        raise DamagedFileError(f"{path}: is damaged, or no Parquet file: {_first_line(error)}") from None


def _checked_kinds(source: Parquet, path: str, file: pq.ParquetFile) -> dict[str, pa.DataType]:
    """Return the types of the declared columns as they are in the file, once they are found to fit."""
    # Without what Arrow's writers note beside the format's own types: other readers do not look at that.
    schema = file.schema.to_arrow_schema().remove_metadata()
    kinds = {}
    for name, declared in source.columns.items():
        alike = [other for other in schema.names if other.lower() == name.lower()]
        if name not in alike:
            raise SourceError(
                f"{path}: has no column {name!r}.{near_miss(name, schema.names)} It has: {', '.join(schema.names)}."
            )
        if len(alike) > 1:
            raise SourceError(f"{path}: has {' and '.join(map(repr, alike))}; upper and lower case are one name.")
        kinds[name] = schema.field(name).type
        if not _fits(found := _sql_type(kinds[name]), declared):
            raise SourceError(f"{path}: column {name!r} is {found}, and declared as {declared}.")
    return kinds


def _sql_type(kind: pa.DataType) -> str:
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
        return _sql_type(kind.value_type)
    return _SIMPLE.get(str(kind), str(kind))


def _fits(found: str, declared: str) -> bool:
    """Return whether every value of one type is one of the other; a column without any value fits all."""
    if found in (declared, "null") or declared in _WIDER.get(found, ()):
        return True
    wanted, had = _DECIMAL.fullmatch(declared), _DECIMAL.fullmatch(found)
    if wanted is None or (had is None and found not in _DIGITS):
        return False
    behind = int(had[2]) if had else 0
    before = int(had[1]) - behind if had else _DIGITS[found]
    return int(wanted[2]) >= behind and int(wanted[1]) - int(wanted[2]) >= before


def _check_values(path: str, name: str, values: pa.Array, kind: pa.DataType) -> None:
    """Refuse times that would lose digits, and days that no lake holds."""
    if (pa.types.is_timestamp(kind) or pa.types.is_time(kind)) and kind.unit == "ns":
        kind = pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else pa.time64("us")
        try:
            values = values.cast(kind)
        except pa.ArrowInvalid:
            raise SourceError(
                f"{path}: column {name!r} has parts of a microsecond, which assay does not keep."
            ) from None
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return
    number, a_day = (pa.int32(), 1) if pa.types.is_date(kind) else (pa.int64(), _A_DAY[kind.unit])
    bounds = pc.min_max(values.cast(number)).as_py()
    if bounds["min"] is not None and not (_FIRST_DAY * a_day <= bounds["min"] and bounds["max"] < _END_DAY * a_day):
        raise SourceError(f"{path}: column {name!r} has a day before the year 1 or after 9999.")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{text.splitlines()[0].rstrip('.') if text else type(error).__name__}."
