"""A table is its function: it keeps name, docstring and signature, and is called with frames in a unit test."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from narwhals import LazyFrame, col, lit

from assay import DeclarationError, Merge, Run, latest, position, sql, stack, table, times, view
from assay.model.table import Table

Frame = LazyFrame[Any]
KINDS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "polars.DataFrame": lambda frame: frame,
    "polars.LazyFrame": lambda frame: frame.lazy(),
    "pyarrow.Table": lambda frame: frame.to_arrow(),
}
ORDERS = pl.DataFrame({"order_id": [3, 1, 2], "amount": [30, 10, 20]})


@table(write=Merge(), key="order_id", keep=latest("amount"))
def silver_order(bronze_order: Frame) -> Frame:
    """The newest version of each order."""
    return bronze_order.filter(col("amount") > 10)


@table()
def silver_dated(bronze_order: Frame, *, run: Run) -> Frame:
    """Each order with the run's date."""
    return bronze_order.with_columns(as_of=lit(run.as_of))


@table()
def silver_numbered(bronze_order: Frame) -> Frame:
    """Each order with its place in the source."""
    return bronze_order.select("order_id", place=position())


@table(rows=times(2))
def bronze_place(orders: Frame) -> Frame:
    """Where each order begins and ends."""
    both = [orders.select(col(end).alias("place"), position()) for end in ("pickup", "drop")]
    return stack(*both).select("place", rank=position())


@table()
def silver_sorted(bronze_order: Frame) -> Any:
    """The orders by number, through SQL."""
    return sql("select order_id, amount * 2 as doubled from b where amount > 10 order by order_id", b=bronze_order)


@table()
def silver_nested(bronze_order: Frame, bronze_other: Frame) -> Any:
    """SQL over SQL and a frame, each of which has its own meaning of b."""
    small = sql("select * from b where amount < 25", b=bronze_order)
    return sql("select b.order_id, o.amount from b join o using (order_id) order by 1", b=small, o=bronze_other)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def call(declared: Table, kind: str, *frames: pl.DataFrame, **named: Any) -> list[dict[str, Any]]:
    """Call a table with frames of one kind, and return its rows after seeing that they are of that kind too."""
    given = [KINDS[kind](frame) for frame in frames]
    result = declared(*given, **named)
    assert type(result) is type(given[0])
    rows: list[dict[str, Any]] = nw.from_native(result).lazy().collect("pyarrow").to_native().to_pylist()
    return rows


def test_a_table_called_with_frames_gives_the_same_kind_back(kind: str) -> None:
    assert call(silver_order, kind, ORDERS) == [{"order_id": 3, "amount": 30}, {"order_id": 2, "amount": 20}]


def test_a_view_called_with_frames_gives_the_same_kind_back(kind: str) -> None:
    @view()
    def small(bronze_order: Frame) -> Frame:
        return bronze_order.filter(col("amount") < 20)

    assert call(small, kind, ORDERS) == [{"order_id": 1, "amount": 10}]


def test_a_function_that_returns_its_input_gives_it_back_unchanged(kind: str) -> None:
    @table()
    def bronze_order(orders: Frame) -> Frame:
        return orders

    assert call(bronze_order, kind, ORDERS) == ORDERS.to_dicts()


def test_the_run_is_given_by_name(kind: str) -> None:
    run = Run(as_of=dt.date(2024, 12, 1))
    assert call(silver_dated, kind, ORDERS[:1], run=run) == [{"order_id": 3, "amount": 30, "as_of": run.as_of}]


def test_only_a_function_with_the_parameter_wants_the_run() -> None:
    assert silver_dated.wants_run
    assert silver_dated.inputs == {"bronze_order": "bronze_order"}
    assert not silver_order.wants_run


def test_a_frame_under_test_has_positions_in_its_order(kind: str) -> None:
    rows = call(silver_numbered, kind, ORDERS)
    assert [row["order_id"] for row in sorted(rows, key=lambda row: row["place"])] == [3, 1, 2]


def test_a_position_that_the_test_spells_out_is_taken(kind: str) -> None:
    given = ORDERS.with_columns(_assay_position=pl.Series([70, 50, 60]))
    assert [row["place"] for row in call(silver_numbered, kind, given)] == [70, 50, 60]
    assert call(silver_order, kind, given)[0] == {"order_id": 3, "amount": 30, "_assay_position": 70}


def test_stacked_frames_multiply_rows_and_keep_their_order(kind: str) -> None:
    rides = pl.DataFrame({"pickup": ["a", "b"], "drop": ["c", "a"]})
    rows = call(bronze_place, kind, rides)
    assert [row["place"] for row in sorted(rows, key=lambda row: row["rank"])] == ["a", "b", "c", "a"]
    assert len({row["rank"] for row in rows}) == 4


def test_a_join_shows_no_column_that_the_test_did_not_give(kind: str) -> None:
    @table()
    def silver_joined(bronze_order: Frame, bronze_name: Frame) -> Frame:
        return bronze_order.join(bronze_name, on="order_id", how="inner")

    names = pl.DataFrame({"order_id": [1], "name": ["one"]})
    assert call(silver_joined, kind, ORDERS, names) == [{"order_id": 1, "amount": 10, "name": "one"}]


def test_sql_is_evaluated_in_a_unit_test(kind: str) -> None:
    assert call(silver_sorted, kind, ORDERS) == [{"order_id": 2, "doubled": 40}, {"order_id": 3, "doubled": 60}]


def test_sql_over_sql_gives_each_its_own_inputs(kind: str) -> None:
    other = pl.DataFrame({"order_id": [1, 2, 3], "amount": [-1, -2, -3]})
    rows = call(silver_nested, kind, ORDERS, other)
    assert rows == [{"order_id": 1, "amount": -1}, {"order_id": 2, "amount": -2}]


def test_frames_may_be_given_by_parameter() -> None:
    by_name = silver_nested(bronze_other=ORDERS, bronze_order=ORDERS[:0])
    assert by_name.columns == ["order_id", "amount"]
    assert len(by_name) == 0


def test_a_missing_frame_is_told_by_its_parameter() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'bronze_other'"):
        silver_nested(ORDERS)


def test_a_table_reads_as_its_function() -> None:
    def silver_plain(bronze_order: Frame, *, run: Run) -> Frame:
        """A plain function."""
        return bronze_order

    declared = table()(silver_plain)
    assert declared.name == declared.__name__ == "silver_plain"
    assert declared.__doc__ == "A plain function."
    assert declared.__module__ == silver_plain.__module__
    assert declared.__qualname__ == silver_plain.__qualname__
    assert declared.__wrapped__ is silver_plain
    assert inspect.signature(declared) == inspect.signature(silver_plain)
    assert (declared.layer, declared.entity) == ("silver", "plain")


def test_a_declaration_takes_one_name_or_several() -> None:
    assert table(key="a", partition_by="b")(silver_order.function).key == ("a",)
    assert table(key=["a", "b"])(silver_order.function).key == ("a", "b")
    assert table(partition_by=("a", "b"))(silver_order.function).partition_by == ("a", "b")


def test_a_table_under_another_name_is_the_same_table_with_other_inputs() -> None:
    other = silver_order.named("silver_return", bronze_order="bronze_return")
    assert (other.name, other.__name__, other.upstream) == ("silver_return", "silver_return", ("bronze_return",))
    assert (other.write, other.key, other.keep, other.__doc__) == (
        silver_order.write,
        silver_order.key,
        silver_order.keep,
        silver_order.__doc__,
    )
    assert (silver_order.name, silver_order.upstream) == ("silver_order", ("bronze_order",))
    assert other(ORDERS).to_dicts() == silver_order(ORDERS).to_dicts()
    assert silver_order.named("silver_x").upstream == ("bronze_order",)


def test_a_binding_to_no_parameter_is_refused() -> None:
    with pytest.raises(DeclarationError, match="silver_order has no parameter 'bronze_ordr' to bind"):
        silver_order.named("silver_return", bronze_ordr="bronze_return")
