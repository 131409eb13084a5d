"""A data frame as a source: what fits its columns, what is news, and what is told of a frame that does not fit."""

from __future__ import annotations

import datetime as dt
import gc
import math
import tempfile
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import assay
from assay.model.errors import DeclarationError, SourceError
from assay.model.run import RunResult
from assay.settings import Settings
from assay.sources import looks

pytestmark = pytest.mark.row("003-14")

COLUMNS = {"id": "BIGINT", "amount": "DECIMAL(10,2)"}
DAY = dt.date(2024, 11, 1)
MIDNIGHT = dt.datetime.combine(DAY, dt.time())
MORNING = dt.datetime.combine(DAY, dt.time(5))


@assay.table(write=assay.Append(), checks=[assay.not_null("id", action="reject")])
def bronze_order(orders: Any) -> Any:
    """Every order as delivered."""
    return orders.with_columns(file=assay.source_file())


class Orders:
    """A pipeline whose source returns the frame that is there now."""

    def __init__(self, folder: Path) -> None:
        self.lake, self.frame, self.calls = folder / "lake", pl.DataFrame(), 0
        source = assay.dataframe(self.load, columns=COLUMNS)
        self.pipeline = assay.Pipeline("shop", tables=[bronze_order], sources={"orders": source}, rejected_share=0.9)

    def load(self) -> Any:
        self.calls += 1
        return self.frame

    def run(self, frame: Any, **options: Any) -> RunResult:
        self.frame = frame
        return assay.run(self.pipeline, warehouse=self.lake, settings=Settings(workers=1, retry_seconds=0), **options)

    def query(self, text: str) -> list[tuple[Any, ...]]:
        return assay.connect(self.lake).sql(text).fetchall()


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    return Orders(tmp_path)


def written(values: Any, kind: str) -> list[Any]:
    """What a column becomes, or the error that refuses it."""
    source = assay.dataframe(lambda: pa.table({"x": values}), columns={"x": kind})
    (delivery,) = looks.deliveries("xs", source, Path())
    found: list[Any] = pq.read_table(delivery.identity.path)["x"].to_pylist()
    return found


def test_equal_content_is_no_news_and_another_takes_its_place(orders: Orders) -> None:
    frame = pl.DataFrame({"id": [1, 2], "amount": [1.5, 2.25], "note": ["x", "y"]})
    first = orders.run(frame)
    assert first.state == "published"
    (verdict,) = [v for v in first.nodes["orders"].verdicts if v.broken]
    assert (verdict.check, verdict.detail) == ("columns that are not declared", "note")
    stands = [(1, Decimal("1.50"), "orders"), (2, Decimal("2.25"), "orders")]
    assert orders.query("from bronze.order") == stands
    # Whichever library the same rows are of.
    assert orders.run(frame.to_arrow()).state == "unchanged"
    other = orders.run(frame.lazy().filter(pl.col("id") == 2))
    assert other.nodes["orders"].reason == "orders has new content"
    assert orders.query("from bronze.order") == stands[1:]
    assert orders.query("select name, row_count from meta.slice") == [("orders", 1)]
    asked = orders.calls
    assert orders.run(None, backfill=True).ok
    assert orders.calls == asked


def test_a_row_of_a_frame_is_rejected_and_kept_as_any_other(orders: Orders) -> None:
    result = orders.run(duckdb.sql("select * from (values (1, 1.50), (null, 2.50)) t(id, amount)"))
    ledger = result.tables["bronze_order"].ledger
    assert (ledger.returned, ledger.written, ledger.rejected) == (2, 1, 1)
    assert orders.query("select source_file, row::json->>'amount', reasons from meta.quarantine") == [
        ("orders", "2.50", '["not_null(id)"]')
    ]


def test_a_frame_without_rows_takes_none_away_by_accident(orders: Orders) -> None:
    frame = pl.DataFrame({"id": [1], "amount": [1]})
    orders.run(frame)
    with pytest.raises(SourceError, match="source 'orders': has no rows, though 1 were delivered under this name"):
        orders.run(frame.clear())
    assert orders.run(frame.clear(), allow_empty=True).state == "published"
    assert orders.query("from bronze.order") == []


def test_what_is_undone_stays_out_and_a_file_can_stand_for_the_frame(orders: Orders, tmp_path: Path) -> None:
    one, two = pl.DataFrame({"id": [1], "amount": [1]}), pl.DataFrame({"id": [2], "amount": [2]})
    orders.run(one)
    orders.run(two)
    assay.undo(warehouse=orders.lake)
    assert orders.run(two).state == "unchanged"
    assert orders.query("select id from bronze.order") == [(1,)]
    orders.lake = tmp_path / "another"
    two.cast({"amount": pl.Decimal(10, 2)}).write_parquet(tmp_path / "kept.parquet")
    assert orders.run(None, sources={"orders": tmp_path / "kept.parquet"}).ok
    assert orders.query("select id, file from bronze.order") == [(2, "kept.parquet")]


def test_a_run_that_failed_is_resumed_without_its_frame(orders: Orders) -> None:
    frame = pl.DataFrame({"id": [None, None], "amount": [1, 2]}, schema_overrides={"id": pl.Int64})
    assert orders.run(frame).state == "failed"
    calls = orders.calls
    settings = Settings(workers=1, retry_seconds=0)
    resumed = assay.resume(orders.pipeline.allowing(1), warehouse=orders.lake, settings=settings)
    assert (resumed.state, orders.calls) == ("published", calls)


def test_nothing_of_a_frame_is_left_in_the_temporary_folder(
    orders: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    orders.run(pl.DataFrame({"id": [1], "amount": [1]}))
    orders.run(pl.DataFrame({"id": [1], "amount": [1]}))
    gc.collect()
    assert list(tmp_path.glob("assay-frame-*")) == []


MANY = [n / 100 for n in range(100_000)]


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        (pa.array([1.0, None, 3.0]), "INTEGER", [1, None, 3]),
        (pa.array([2**40]), "BIGINT", [2**40]),
        (pa.array([7], pa.uint64()), "INTEGER", [7]),
        (pa.array([300, None]), "DECIMAL(5,2)", [Decimal("300.00"), None]),
        (pa.array(MANY), "DECIMAL(10,2)", [Decimal(n).scaleb(-2) for n in range(100_000)]),
        (pa.array([0.1 + 0.2, -1234.5600000000004]), "DECIMAL(6,2)", [Decimal("0.30"), Decimal("-1234.56")]),
        (pa.array([0.1], pa.float32()), "DECIMAL(6,2)", [Decimal("0.10")]),
        (pa.array([Decimal("1.500")]), "DECIMAL(3,1)", [Decimal("1.5")]),
        (pa.array([Decimal("5.00")]), "INTEGER", [5]),
        (pa.array([1, 2]), "DOUBLE", [1.0, 2.0]),
        (pa.array([MIDNIGHT], pa.timestamp("ns")), "DATE", [DAY]),
        (pa.array([DAY]), "TIMESTAMP", [MIDNIGHT]),
        (pa.array(["a", None]).dictionary_encode(), "VARCHAR", ["a", None]),
        (pa.nulls(2), "DATE", [None, None]),
        (pa.array([uuid.UUID(int=1).bytes], pa.uuid()), "UUID", [uuid.UUID(int=1)]),
        (pl.Series(["a"], dtype=pl.Enum(["a"])), "VARCHAR", ["a"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_column_fits_where_each_of_its_values_is_one_of_the_type(values: Any, kind: str, found: list[Any]) -> None:
    assert written(values, kind) == found


def test_a_nan_is_a_value_of_a_double_where_null_is_another() -> None:
    nan, nothing = written(pl.Series([float("nan"), None]), "DOUBLE")
    assert math.isnan(nan)
    assert nothing is None


@pytest.mark.parametrize(
    ("values", "kind", "why"),
    [
        (pa.array([1.0, 2.5, 3.5]), "BIGINT", "column 'x', row 2: 2.5 is no BIGINT."),
        (pa.array([1.0, float("nan")]), "BIGINT", "column 'x', row 2: nan is no BIGINT."),
        (pa.array([*range(1000), 2**40]), "INTEGER", "column 'x', row 1,001: 1099511627776 is no INTEGER."),
        (pa.array([2**53 + 1]), "DOUBLE", "column 'x', row 1: 9007199254740993 is no DOUBLE."),
        (pa.array([1.25, 1.255]), "DECIMAL(6,2)", "column 'x', row 2: 1.255 is no DECIMAL(6,2)."),
        (pa.array([None, 1e9]), "DECIMAL(6,2)", "column 'x', row 2: 1000000000.0 is no DECIMAL(6,2)."),
        (pa.array([Decimal("0.001")]), "DECIMAL(6,2)", "column 'x', row 1: 0.001 is no DECIMAL(6,2)."),
        (pa.array([99999]), "DECIMAL(6,2)", "column 'x', row 1: 99999 is no DECIMAL(6,2)."),
        (pa.array([MORNING]), "DATE", "column 'x', row 1: 2024-11-01 05:00:00 is no DATE."),
        (pa.array(["2024-11-01"]), "DATE", "column 'x' is VARCHAR, and declared as DATE."),
        (pa.array(["1"]), "BIGINT", "column 'x' is VARCHAR, and declared as BIGINT."),
        (pa.array([True]), "BIGINT", "column 'x' is BOOLEAN, and declared as BIGINT."),
        (pa.array([1]), "VARCHAR", "column 'x' is BIGINT, and declared as VARCHAR."),
        (pa.array([0.1]), "REAL", "column 'x' is DOUBLE, and declared as REAL."),
        (pa.array([[1]]), "BIGINT", "column 'x' is list<item: int64>, and declared as BIGINT."),
        (
            pa.array([1], pa.timestamp("ns")),
            "TIMESTAMP",
            "column 'x' has parts of a microsecond, which assay does not keep.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_is_none_of_the_type_is_told_by_column_and_row(values: Any, kind: str, why: str) -> None:
    with pytest.raises(SourceError) as error:
        written(values, kind)
    assert str(error.value) == f"source 'xs': {why}"


def failing() -> Any:
    raise TimeoutError("no answer")


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (lambda: [1, 2], "its function returned list, which is no data frame."),
        (failing, "its function failed: TimeoutError: no answer"),
        (lambda: pl.DataFrame({"ids": [1]}), "has no column 'id'. Did you mean 'ids'? It has: ids."),
        (lambda: pl.DataFrame({"id": [1], "ID": [1]}), "has 'id' and 'ID'; upper and lower case are one name."),
        (
            lambda: pl.LazyFrame({"id": ["x"]}).select(pl.col("id").cast(pl.Int64)),
            "its frame cannot be read: InvalidOperationError: conversion from `str` to `i64` failed",
        ),
    ],
    ids=["a list", "a function that fails", "a missing column", "two of a name", "a lazy frame that fails"],
)
def test_a_frame_that_is_none_as_declared_is_refused_by_the_name_of_its_source(
    load: Callable[[], Any], why: str
) -> None:
    with pytest.raises(SourceError) as error:
        looks.deliveries("xs", assay.dataframe(load, columns={"id": "BIGINT"}), Path())
    assert str(error.value).startswith(f"source 'xs': {why}")


def test_a_declaration_that_cannot_be_meant_is_refused() -> None:
    frame: Any = pl.DataFrame({"id": [1]})
    with pytest.raises(DeclarationError, match=r"not DataFrame: dataframe\(lambda: frame\)"):
        assay.dataframe(frame, columns={"id": "BIGINT"})
    with pytest.raises(DeclarationError, match=r"dataframe\(failing\) declares no columns"):
        assay.dataframe(failing, columns={})
    with pytest.raises(DeclarationError, match="'NUMBER' is not a column type"):
        assay.dataframe(failing, columns={"id": "NUMBER"})
