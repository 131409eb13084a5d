"""Rows that a function drops are gone from the frame, kept where the rule is unsure, and counted by reason."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from narwhals import Expr, col

from assay import drop_where
from assay.transform.drop import Dropped, collecting
from tests.transform.frames import both_engines, frame, rows_of

TYPES = {"order_id": pa.int64(), "amount": pa.int64()}
amounts = st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=30)


def orders(engine: str, given: list[int | None]) -> Any:
    return frame(engine, [{"order_id": n, "amount": amount} for n, amount in enumerate(given)], TYPES)


def counted(dropped: list[Dropped]) -> list[tuple[str, int]]:
    return [(drop.reason, len(rows_of(drop.before.filter(drop.gone)))) for drop in dropped]


@both_engines
@given(given=amounts)
def test_rows_for_which_the_rule_is_true_go_and_null_keeps_the_row(engine: str, given: list[int | None]) -> None:
    with collecting() as dropped:
        left = rows_of(drop_where(orders(engine, given), "negative", col("amount") < 0))
    assert sorted(row["order_id"] for row in left) == [n for n, a in enumerate(given) if a is None or a >= 0]
    assert counted(dropped) == [("negative", sum(a is not None and a < 0 for a in given))]


@both_engines
@pytest.mark.parametrize(
    ("expr", "left"),
    [
        (col("amount").is_null(), [0, 2]),
        (~(col("amount") > 1), [1, 2]),
        ((col("amount") > 1) | col("amount").is_null(), [0]),
        (col("amount") == 7, [0, 1, 2]),
        (col("order_id") < 9, []),
    ],
    ids=["is null", "not greater", "greater or null", "never", "always"],
)
def test_what_is_left_by(engine: str, expr: Expr, left: list[int]) -> None:
    with collecting() as dropped:
        found = rows_of(drop_where(orders(engine, [1, None, 2]), "x", expr))
    assert sorted(row["order_id"] for row in found) == left
    assert counted(dropped) == [("x", 3 - len(left))]


@both_engines
def test_each_drop_is_counted_on_what_the_one_before_left(engine: str) -> None:
    with collecting() as dropped:
        kept = drop_where(orders(engine, [-1, -5, 5, 1, None]), "negative", col("amount") < 0)
        kept = drop_where(kept, "far from zero", col("amount").abs() > 4)
        kept = drop_where(kept, "negative", col("amount").is_null())
    assert [row["amount"] for row in rows_of(kept)] == [1]
    assert counted(dropped) == [("negative", 2), ("far from zero", 1), ("negative", 1)]


@both_engines
def test_outside_a_run_rows_are_dropped_and_nothing_is_collected(engine: str) -> None:
    with collecting() as dropped:
        pass
    assert len(rows_of(drop_where(orders(engine, [1, -1]), "negative", col("amount") < 0))) == 1
    assert dropped == []


def test_collecting_inside_collecting_counts_its_own_and_gives_the_outer_back() -> None:
    def drop(reason: str) -> None:
        drop_where(orders("polars", [1]), reason, col("amount") < 0)

    with collecting() as outer:
        drop("before")
        with suppress(ZeroDivisionError), collecting() as inner:
            drop("inside")
            raise ZeroDivisionError
        drop("after")
    assert [drop.reason for drop in inner] == ["inside"]
    assert [drop.reason for drop in outer] == ["before", "after"]


def test_tables_computed_side_by_side_count_their_own_rows() -> None:
    def count(number: int) -> list[str]:
        with collecting() as dropped:
            for _ in range(50):
                drop_where(orders("polars", [1]), f"reason {number}", col("amount") < 0)
        return [drop.reason for drop in dropped]

    with ThreadPoolExecutor(4) as pool:
        for number, reasons in enumerate(pool.map(count, range(8))):
            assert reasons == [f"reason {number}"] * 50
