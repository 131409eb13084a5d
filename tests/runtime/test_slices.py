"""Deliveries: each file is a slice with a place of its own, whatever comes, is replaced, or goes."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import narwhals as nw
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from narwhals import col, lit

import assay
from tests.runtime.shop import DAY, LATER, ORDERS, SETTINGS, Frame, Shop, bronze_order, define

MIRROR = {"orders": replace(ORDERS, mirror=True)}


def placed(orders: Frame) -> Frame:
    """The orders with all that their delivery says of them."""
    place, file, day = assay.position(), assay.source_file(), assay.extracted_on()
    return orders.with_columns(place=place, file=file, day=day)


def first_of_each_id(**declaration: Any) -> assay.Table:
    return define(placed, "silver_order", key="id", keep=assay.first_in_source(), **declaration)


def winners(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.rows("select id, amount, file from silver.order order by id")


def slices(shop: Shop) -> list[tuple[Any, ...]]:
    """Name, number, rows and day of each slice that stands."""
    query = "select name, number, row_count, extracted_on from assay_slice where removed_seq is null order by number"
    with closing(sqlite3.connect(shop.lake / "catalog.db")) as catalog:
        return catalog.execute(query).fetchall()


def test_every_row_has_the_place_of_its_file_in_the_order_of_delivery_and_of_its_line(shop: Shop) -> None:
    shop.orders("1,ann,10", "2,bob,20", file="orders-b.csv")
    shop.orders("3,cat,30", file="orders-c.csv")
    shop.run(define(placed, "bronze_order"))
    shop.orders("4,dan,40", "5,eve,50", file="orders-a.csv")
    result = shop.run(define(placed, "bronze_order"))
    assert result.ok, result.problems
    assert result.nodes["orders"].ledger.read == {"orders-a.csv": 2}
    assert shop.rows("select place >> 41, place & 68719476735, file, id from bronze.order order by place") == [
        (1, 1, "orders-b.csv", 1),
        (1, 2, "orders-b.csv", 2),
        (2, 1, "orders-c.csv", 3),
        (3, 1, "orders-a.csv", 4),
        (3, 2, "orders-a.csv", 5),
    ]
    assert slices(shop) == [
        ("orders-b.csv", 1, 2, "2024-12-01"),
        ("orders-c.csv", 2, 1, "2024-12-01"),
        ("orders-a.csv", 3, 2, "2024-12-01"),
    ]


def test_a_slice_is_named_by_its_path_below_the_part_of_the_pattern_without_wildcards(shop: Shop) -> None:
    for month in ("2024-11", "2024-12"):
        (shop.inbox / month).mkdir()
        shop.orders(f"{month[-2:]},ann,10", file=f"{month}/orders.csv")
    nested = {"orders": replace(ORDERS, path="*/orders.csv")}
    shop.run(shop.pipeline(define(placed, "bronze_order"), sources=nested))
    assert shop.rows("select file, id from bronze.order order by id") == [
        ("2024-11/orders.csv", 11),
        ("2024-12/orders.csv", 12),
    ]


def test_a_new_file_adds_its_rows_and_the_same_file_again_adds_nothing(shop: Shop) -> None:
    shop.orders("1,ann,10")
    shop.run(bronze_order(write=assay.Append()))
    shop.orders("2,bob,20", file="orders2.csv")
    result = shop.run(bronze_order(write=assay.Append()))
    assert result.nodes["orders"].reason == "new delivery orders2.csv"
    assert shop.rows("select id from bronze.order order by id") == [(1,), (2,)]
    assert shop.run(bronze_order(write=assay.Append())).run is None


def test_of_each_key_the_first_delivered_stays_until_its_slice_is_replaced(shop: Shop) -> None:
    shop.orders("1,ann,10", "2,ann,20", file="orders-2.csv")
    shop.run(first_of_each_id())
    shop.orders("1,bob,11", "3,bob,31", file="orders-1.csv")
    shop.run(first_of_each_id())
    assert winners(shop) == [(1, 10, "orders-2.csv"), (2, 20, "orders-2.csv"), (3, 31, "orders-1.csv")]
    shop.orders("3,ann,30", "4,ann,40", file="orders-2.csv")
    result = shop.run(first_of_each_id())
    assert result.nodes["orders"].reason == "orders-2.csv has new content"
    assert winners(shop) == [(1, 11, "orders-1.csv"), (3, 30, "orders-2.csv"), (4, 40, "orders-2.csv")]
    assert [(name, number) for name, number, *_ in slices(shop)] == [("orders-2.csv", 1), ("orders-1.csv", 2)]


def test_readers_see_only_the_slices_that_stand(shop: Shop) -> None:
    shop.orders("1,ann,10")
    shop.run(bronze_order())
    shop.orders("2,bob,20", "3,cat,30")
    shop.run(bronze_order())
    assert shop.rows("select name, number, row_count from meta.slice") == [("orders.csv", 1, 2)]


def test_known_content_under_a_new_name_is_refused_unless_it_is_allowed(shop: Shop) -> None:
    first = shop.orders("1,ann,10")
    shop.run(bronze_order())
    copy = shop.orders("1,ann,10", file="orders-copy.csv")
    with pytest.raises(assay.SourceError) as refused:
        shop.run(bronze_order())
    assert str(refused.value) == (
        f"{copy}: source 'orders' already has this content as {first.name!r}, and its rows would count twice. "
        "Leave the file out, or allow it by --allow-duplicates."
    )
    assert shop.rows("select count(*) from bronze.order") == [(1,)]
    assert shop.run(bronze_order(), allow_duplicates=True).ok
    assert shop.rows("select count(*) from bronze.order") == [(2,)]
    assert shop.run(bronze_order()).run is None


def test_what_was_once_allowed_need_not_be_allowed_again(shop: Shop) -> None:
    shop.orders("1,ann,10")
    shop.orders("1,ann,10", file="orders-copy.csv")
    shop.run(bronze_order(), allow_duplicates=True)
    assert shop.run(bronze_order(), full=True).state == "unchanged"


@pytest.mark.parametrize("mirror", [True, False], ids=["a file that was renamed", "files that moved on by one"])
def test_content_that_leaves_its_old_name_does_not_count_twice(shop: Shop, mirror: bool) -> None:
    pipeline = shop.pipeline(bronze_order(), sources=MIRROR if mirror else {"orders": ORDERS})
    old = shop.orders("1,ann,10")
    shop.run(pipeline)
    old.rename(shop.inbox / "orders1.csv")
    if not mirror:
        shop.orders("2,bob,20")
    assert shop.run(pipeline).ok
    assert shop.rows("select id from bronze.order order by id") == ([(1,)] if mirror else [(1,), (2,)])


def test_several_deliveries_may_have_no_rows(shop: Shop) -> None:
    for number in range(3):
        shop.orders(file=f"orders{number}.csv")
    assert shop.run(bronze_order()).tables["bronze_order"].rows == 0


def test_a_delivery_that_became_empty_takes_no_rows_away_unnoticed(shop: Shop) -> None:
    shop.orders("1,ann,10", "2,bob,20")
    shop.run(bronze_order())
    shop.orders()
    with suppress(assay.SourceError):
        assert not shop.run(bronze_order()).ok
    assert shop.rows("select count(*) from bronze.order") == [(2,)]


@pytest.mark.parametrize("mirror", [False, True])
def test_rows_of_a_file_that_is_gone_stay_and_leave_only_a_mirror(shop: Shop, mirror: bool) -> None:
    pipeline = shop.pipeline(first_of_each_id(), sources=MIRROR if mirror else {"orders": ORDERS})
    gone = shop.orders("1,ann,10", file="orders1.csv")
    shop.orders("1,bob,11", "2,bob,21", file="orders2.csv")
    shop.run(pipeline)
    gone.unlink()
    for full in (False, True):
        result = shop.run(pipeline, full=full)
        assert result.state == ("published" if mirror and not full else "unchanged")
        assert winners(shop)[0] == ((1, 11, "orders2.csv") if mirror else (1, 10, "orders1.csv"))
        assert [name for name, *_ in slices(shop)] == (["orders2.csv"] if mirror else ["orders1.csv", "orders2.csv"])
    assert shop.run(pipeline).run is None


def test_a_source_declared_anew_reads_every_delivery_again_and_needs_them_all(shop: Shop) -> None:
    first = shop.orders("1,ann,10", file="orders1.csv")
    shop.orders("2,bob,020", file="orders2.csv")
    shop.run(bronze_order())
    text = replace(ORDERS, columns={**ORDERS.columns, "amount": "VARCHAR"})
    changed = shop.pipeline(bronze_order(), sources={"orders": text})
    kept = first.rename(shop.inbox / "kept-orders1.csv")
    with pytest.raises(assay.SourceError) as refused:
        shop.run(changed)
    assert str(refused.value) == (
        "Source 'orders' is declared differently than when 'orders1.csv' was read, so every delivery must be read "
        "again, but 1 of them is gone: orders1.csv."
    )
    assert shop.rows("select amount from bronze.order order by id") == [(10,), (20,)]
    kept.rename(first)
    assert shop.run(changed).nodes["orders"].reason == "orders1.csv, orders2.csv are read again"
    assert shop.rows("select amount from bronze.order order by id") == [("10",), ("020",)]


def test_the_day_of_extraction_stays_with_the_content_and_is_new_for_new_content(shop: Shop) -> None:
    shop.orders("1,ann,10", file="orders1.csv")
    shop.orders("2,bob,20", file="orders2.csv")
    shop.run(define(placed, "bronze_order"))
    days = "select id, day from bronze.order order by id"
    result = shop.run(define(placed, "bronze_order"), as_of=LATER, full=True)
    assert (result.state, shop.rows(days)) == ("unchanged", [(1, DAY), (2, DAY)])
    wider = define(lambda orders: placed(orders).with_columns(new=lit(1)), "bronze_order")
    shop.run(wider, as_of=LATER, full=True)
    assert shop.rows(days) == [(1, DAY), (2, DAY)]
    shop.orders("3,bob,30", file="orders2.csv")
    shop.run(wider, as_of=LATER)
    assert shop.rows(days) == [(1, DAY), (3, LATER)]


def test_a_file_that_was_only_touched_is_nothing_new(shop: Shop) -> None:
    file = shop.orders("1,ann,10")
    shop.run(bronze_order())
    before = shop.catalog()
    os.utime(file, (1, 1))
    assert shop.run(bronze_order()).run is None
    assert shop.catalog() == before


def test_content_that_changed_behind_the_same_size_and_time_is_noticed(shop: Shop) -> None:
    file = shop.orders("1,ann,10")
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    shop.run(bronze_order())
    # As though the file had been old when it was read: only then may its times stand for its content.
    with closing(sqlite3.connect(shop.lake / "catalog.db")) as catalog, catalog:
        catalog.execute("update assay_slice set extracted_at_ns = extracted_at_ns + 3600 * 1000000000")
    assert shop.run(bronze_order()).run is None
    shop.orders("1,ann,99")
    os.utime(file, ns=times)
    assert shop.run(bronze_order()).state == "published"
    assert shop.rows("select amount from bronze.order") == [(99,)]


LINES = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9)), min_size=1, max_size=3)
DELIVERIES = st.lists(st.tuples(st.sampled_from("abc"), LINES), min_size=2, max_size=3)


def totals(bronze_order: Frame) -> Frame:
    return bronze_order.group_by("id").agg(orders=nw.len(), amount=col("amount").sum())


@settings(max_examples=3, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(deliveries=DELIVERIES)
def test_any_sequence_of_deliveries_ends_as_one_that_brought_the_final_files(
    deliveries: list[tuple[str, list[tuple[int, int]]]],
) -> None:
    tables = [
        bronze_order(write=assay.Append()),
        define(totals, "silver_total", write=assay.Merge(), key="id", rows=assay.groups("id", total="amount")),
        define(lambda bronze_order: bronze_order, "silver_first", key="id", keep=assay.first_in_source()),
    ]
    with tempfile.TemporaryDirectory() as folder:
        shop, final = Shop(Path(folder)), {}
        for name, lines in deliveries:
            final[name] = lines
            shop.orders(*(f"{number},ann,{amount}" for number, amount in lines), file=f"orders-{name}.csv")
            assert shop.run(*tables, settings=replace(SETTINGS, workers=1), allow_duplicates=True).ok
        once = Shop(Path(folder, "lake"))
        once.inbox = shop.inbox
        assert once.run(*tables, allow_duplicates=True).ok
        for query in ("from bronze.order order by all", "from silver.total order by all"):
            assert shop.rows(query) == once.rows(query)
        # A dict keeps the place of a key that is set again, as a slice keeps its number.
        first: dict[int, int] = {}
        for number, amount in (line for lines in final.values() for line in lines):
            first.setdefault(number, amount)
        assert dict(shop.rows("select id, amount from silver.first")) == first
