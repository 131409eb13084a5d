"""Undo: a run that brings back what stood before, is a run itself, and lets nothing come again by itself."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import narwhals as nw
import pytest
from narwhals import col

import assay
from assay import Append, Merge
from assay.model.errors import SourceError, UsageError, WarehouseError
from tests.runtime.shop import SETTINGS, Shop, define


def tables() -> list[assay.Table]:
    return [
        define(lambda orders: orders, "bronze_order", write=Append()),
        define(
            lambda bronze_order: bronze_order,
            "silver_order",
            write=Merge(surrogate="order_key", stamps=True),
            key="id",
            keep=assay.latest("amount"),
        ),
        define(
            lambda silver_order: silver_order.group_by("customer").agg(amount=col("amount").sum(), orders=nw.len()),
            "gold_customer",
            key="customer",
            rows=assay.groups("customer", count="orders", total="amount"),
        ),
    ]


def stored(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    with assay.connect(shop.lake) as lake:
        found = lake.execute("select schema_name, view_name from duckdb_views() where not internal").fetchall()
        names = [f"{layer}.{entity}" for layer, entity in found if layer != "meta"]
        return {name: sorted(lake.execute(f"select * from {name}").fetchall(), key=repr) for name in sorted(names)}


def test_content_stamps_and_numbers_come_back_and_stay_on_a_rerun(shop: Shop) -> None:
    shop.orders("1,ann,10", "2,bob,20", file="orders1.csv")
    shop.run(*tables())
    before = stored(shop)
    shop.orders("2,bob,25", "3,cat,30", file="orders2.csv")
    shop.run(*tables())
    after = stored(shop)
    assert before != after
    done = shop.undo()
    assert (done.run, done.undone) == (3, (2,))
    assert dict(done.tables) == {"bronze_order": 2, "silver_order": 2, "gold_customer": 2}
    assert stored(shop) == before
    assert [(past.id, past.state) for past in assay.history(shop.lake)] == [
        (3, "published"),
        (2, "undone"),
        (1, "published"),
    ]
    again = shop.run(*tables())
    assert again.state == "unchanged"
    assert again.nodes["orders"].reason.endswith("orders2.csv was undone and stays out (--redo loads it again)")
    assert stored(shop) == before
    numbers = shop.rows("select order_key, id from silver.order order by id")
    assert shop.run(*tables(), redo=True).state == "published"
    # A key that was numbered before the undo has its number again.
    assert shop.rows("select order_key, id from silver.order order by id") == [*numbers, (3, 3)]
    assert stored(shop)["gold.customer"] == after["gold.customer"]
    assert shop.run(*tables()).nodes["orders"].reason == "its files are as they were"


def test_an_undo_can_be_undone_also_where_tables_were_not_there_before(shop: Shop) -> None:
    shop.orders("1,ann,10")
    shop.run(*tables())
    there = stored(shop)
    done = shop.undo()
    assert dict(done.tables) == {"bronze_order": None, "silver_order": None, "gold_customer": None}
    assert stored(shop) == {}
    with pytest.raises(SourceError, match=r"has just what was undone: orders\.csv"):
        shop.run(*tables())
    assert shop.undo().undone == (2,)
    assert stored(shop) == there
    assert shop.run(*tables()).state == "unchanged"
    for run, expected in ((1, there), (2, {}), (3, there)):
        with assay.connect(shop.lake, at=run) as lake:
            found = lake.execute("select count(*) from duckdb_views() where not internal and schema_name <> 'meta'")
            assert found.fetchall() == [(len(expected),)]


def test_undoing_a_run_undoes_the_later_ones_of_its_pipeline(shop: Shop) -> None:
    states = []
    for number in range(1, 4):
        shop.orders(f"{number},ann,{number}", file=f"orders{number}.csv")
        shop.run(*tables())
        states.append(stored(shop))
    assert shop.undo(2).undone == (2, 3)
    assert stored(shop) == states[0]
    with pytest.raises(UsageError, match="Run 3 has published nothing that stands"):
        shop.undo(3)
    shop.orders("9,zoe,9", file="orders9.csv")
    assert shop.run(*tables()).ok
    # Numbers of keys that were undone are not given to others.
    assert shop.rows("select order_key, id from silver.order order by id") == [(1, 1), (4, 9)]


def test_a_replaced_file_has_its_old_content_again_and_a_mended_one_is_loaded(shop: Shop) -> None:
    shop.orders("1,ann,10", "2,bob,20")
    shop.run(*tables())
    before = stored(shop)
    shop.orders("1,ann,99", "2,bob,20")
    shop.run(*tables())
    shop.undo()
    assert stored(shop) == before
    assert shop.run(*tables()).state == "unchanged"
    shop.orders("1,ann,11", "2,bob,20")
    assert shop.run(*tables()).state == "published"
    assert shop.rows("select id, amount from silver.order order by id") == [(1, 11), (2, 20)]


def test_a_file_that_is_gone_lets_nothing_be_undone(shop: Shop) -> None:
    shop.orders("1,ann,10")
    shop.run(*tables())
    kept = next((shop.lake / "gold/customer/data").glob("*.parquet"))
    shop.orders("2,bob,20", file="orders2.csv")
    shop.run(*tables())
    after = stored(shop)
    kept.unlink()
    with pytest.raises(WarehouseError, match="is gone, so what stood before cannot be brought back"):
        shop.undo()
    assert stored(shop) == after
    assert [past.state for past in assay.history(shop.lake)] == ["failed", "published", "published"]
    assert shop.run(*tables()).state == "unchanged"


def test_a_time_shows_what_was_published_by_then(shop: Shop) -> None:
    shop.orders("1,ann,10")
    shop.run(*tables())
    between = dt.datetime.now(dt.UTC)
    shop.orders("2,bob,20", file="orders2.csv")
    shop.run(*tables())
    query = "select count(*) from silver.order"
    counts = [assay.connect(shop.lake, at=at).execute(query).fetchall() for at in (1, between, 2, None)]
    assert counts == [[(1,)], [(1,)], [(2,)], [(2,)]]
    with pytest.raises(WarehouseError, match="Nothing was published here by 2020-01-01"):
        assay.connect(shop.lake, at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))


def test_a_lake_that_was_moved_is_read_but_not_run_and_says_why(shop: Shop) -> None:
    shop.orders("1,ann,10")
    shop.run(*tables())
    before = stored(shop)
    moved = shop.lake.rename(shop.lake.with_name("moved"))
    shop.orders("2,bob,20", file="orders2.csv")
    with pytest.raises(WarehouseError, match="This lake was made in another place"):
        assay.run(shop.pipeline(*tables()), warehouse=moved, settings=replace(SETTINGS, folder=str(shop.inbox)))
    with pytest.raises(WarehouseError, match="This lake was made in another place"):
        assay.undo(warehouse=moved)
    shop.lake = moved
    assert stored(shop) == before


def by_customer(*, returns: bool) -> assay.Table:
    """Amounts by customer: of all orders, or without those that were returned."""

    def made(bronze_order: Any) -> Any:
        counted = bronze_order if returns else assay.drop_where(bronze_order, "returned", col("amount") < 0)
        return counted.group_by("customer").agg(amount=col("amount").sum())

    return define(made, "gold_customer", key="customer", rows=assay.groups("customer", total="amount"))


def test_a_table_that_was_behind_is_so_again_when_the_run_that_found_it_unchanged_is_undone(shop: Shop) -> None:
    both = (define(lambda orders: orders, "bronze_order"), by_customer(returns=True))
    shop.orders("1,ann,10")
    shop.run(*both)
    shop.orders("1,ann,99")
    shop.run(*both, select=["bronze_order"])
    shop.orders("1,ann,10")
    assert shop.run(*both).tables["gold_customer"].status == "unchanged"
    shop.undo()
    shop.run(*both)
    amounts = "select customer, amount from {} order by 1"
    assert shop.rows(amounts.format("gold.customer")) == shop.rows(amounts.format("bronze.order")) == [("ann", 99)]
    assert shop.run(*both, full=True).state == "unchanged"


@pytest.mark.parametrize("later", [False, True], ids=["alone", "with-a-later-one"])
def test_a_function_that_an_undone_run_has_tried_is_tried_again_over_what_comes_back(shop: Shop, later: bool) -> None:
    bronze = define(lambda orders: orders, "bronze_order")
    shop.orders("1,ann,12", "2,ann,-2")
    shop.run(bronze, by_customer(returns=True))
    shop.orders("1,ann,10")
    tried = shop.run(bronze, by_customer(returns=False))
    assert tried.tables["gold_customer"].status == "unchanged"
    if later:
        shop.orders("1,ann,20")
        assert shop.run(bronze, by_customer(returns=False)).tables["gold_customer"].status == "written"
    shop.undo(tried.run)
    assert shop.rows("select customer, amount from gold.customer") == [("ann", 10)]
    shop.run(bronze, by_customer(returns=False))
    assert shop.rows("select customer, amount from gold.customer") == [("ann", 12)]


def test_tables_that_were_current_are_so_after_an_undo_and_nothing_is_computed(shop: Shop) -> None:
    both = (define(lambda orders: orders, "bronze_order"), by_customer(returns=True))
    shop.orders("1,ann,10")
    shop.run(*both)
    shop.orders("1,ann,5", "2,ann,5")
    for _ in range(2):
        assert shop.run(*both, redo=True).tables["gold_customer"].status == "unchanged"
        shop.undo()
        shop.orders("1,ann,5", "2,ann,5")
        assert shop.plan(*both)["gold_customer"][0] == "skip"
        assert shop.run(*both).state == "unchanged"
