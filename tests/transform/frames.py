"""The same rows as a lazy frame of each engine, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import narwhals as nw
import polars as pl
import pyarrow as pa
import pytest

Row = dict[str, Any]
Frame = nw.LazyFrame[Any]


def in_duckdb(table: pa.Table) -> duckdb.DuckDBPyRelation:
    return duckdb.from_arrow(table)


ENGINES: dict[str, Callable[[pa.Table], Any]] = {
    "polars": lambda table: pl.from_arrow(table).lazy(),
    "duckdb": in_duckdb,
}
EVERY = {**ENGINES, "arrow": lambda table: table}
every_engine = pytest.mark.parametrize("engine", EVERY)
both_engines = pytest.mark.parametrize("engine", ENGINES)


def frame(engine: str, rows: Sequence[Row], types: Mapping[str, pa.DataType]) -> Frame:
    table = pa.Table.from_pylist(list(rows), schema=pa.schema(list(types.items())))
    lazy: Frame = nw.from_native(EVERY[engine](table)).lazy()
    return lazy


def rows_of(found: Frame) -> list[Row]:
    rows: list[Row] = found.collect("pyarrow").to_native().to_pylist()
    return rows
