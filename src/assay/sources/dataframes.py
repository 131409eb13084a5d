"""Data frames as a source: what a function returns, written as the Parquet file that a run reads."""

from __future__ import annotations

import bisect
import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import narwhals as nw
import pyarrow as pa
import pyarrow.parquet as pq

from assay.model.errors import SourceError, describe
from assay.model.files import DataFrame
from assay.sources import arrow, files


class _Folder:
    """A folder of this machine that goes when nobody holds it any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="assay-frame-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def deliver(name: str, source: DataFrame) -> files.Delivery:
    """Call the source's function, and write what it returns; equal content makes equal bytes.

    Raises SourceError where the function fails or returns no frame, and for the first column that does not fit.
    """
    place = f"source {name!r}"
    frame = _returned(place, source)
    # What pandas calls 0 is "0" to everybody else.
    found = {str(series.name): series for series in frame.iter_columns()}
    columns = {}
    for column, declared in source.columns.items():
        arrow.check_there(place, column, list(found))
        columns[column] = _fitted(place, column, found[column], declared)
    # Of others the name is enough: it is told that they are left out.
    columns |= {column: pa.nulls(len(frame)) for column in found if column not in columns}
    held = _Folder()
    path = held.path / "rows.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd", store_schema=False)
    return replace(files.at(name, str(path)), held=held)


def _returned(place: str, source: DataFrame) -> nw.DataFrame[Any]:
    try:
        returned = source.load()
    except Exception as error:
        raise SourceError(f"{place}: its function failed: {describe(error)}") from error
    try:
        frame = nw.from_native(returned)
        return frame.collect(backend="pyarrow") if isinstance(frame, nw.LazyFrame) else frame
    except TypeError:
        raise SourceError(
            f"{place}: its function returned {type(returned).__name__}, which is no data frame."
        ) from None
    except Exception as error:
        raise SourceError(f"{place}: its frame cannot be read: {describe(error)}") from error


def _fitted(place: str, name: str, series: nw.Series[Any], declared: str) -> pa.Array:
    """Return a column in its declared type; raises SourceError with the first row whose value is none of it."""
    try:
        values = series.to_arrow()
    except pa.ArrowException:
        row = _first(len(series), lambda count: series.head(count).to_arrow())
        why = "is of another type than the values before it" if row > 1 else f"is no {declared}"
        raise SourceError(f"{place}: column {name!r}, row {row:,}: {series[row - 1]!r} {why}.") from None
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    found = arrow.sql_type(values.type)
    if not (arrow.fits(found, declared) or arrow.may_fit(found, declared)):
        raise arrow.misfit(place, name, found, declared)
    arrow.check_values(place, name, values, values.type)
    try:
        return arrow.converted(values, declared)
    except pa.ArrowInvalid:
        row = _first(len(values), lambda count: arrow.converted(values.slice(0, count), declared))
        value = values[row - 1].as_py()
        raise SourceError(f"{place}: column {name!r}, row {row:,}: {value} is no {declared}.") from None


def _first(rows: int, convert: Callable[[int], object]) -> int:
    """Return the number of the first row that cannot be converted: the fewest rows that cannot be together."""

    def fails(count: int) -> bool:
        try:
            convert(count)
        except pa.ArrowException:
            return True
        return False

    return bisect.bisect_left(range(1, rows + 1), x=True, key=fails) + 1
