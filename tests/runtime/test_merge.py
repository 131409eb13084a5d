"""Rows by key: numbers that keys keep for ever, stamps that move only with the row, and counts of each fate."""

from __future__ import annotations

import datetime as dt
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from narwhals import col, lit

import assay
from tests.runtime.shop import DAY, SETTINGS, Frame, Shop, bronze_order, define

FIRST = assay.first_in_source()


def customer(*, surrogate: str | None = "number", **declaration: Any) -> assay.Table:
    """Each customer of the orders once, numbered in the order in which they appear."""
    merge = assay.Merge(surrogate=surrogate, **declaration)
    select = ("customer", assay.position())
    return define(lambda orders: orders.select(*select), "silver_customer", write=merge, key="customer", keep=FIRST)


def numbers(shop: Shop) -> dict[str, int]:
    return dict(shop.rows("select customer, number from silver.customer"))


def stamps(shop: Shop) -> dict[int, tuple[Any, int, int]]:
    """Amount and the days after the first on which each id was created and updated."""
    found = shop.rows("select id, amount, created_at, updated_at from silver.order")
    start = dt.datetime.combine(DAY, dt.time())
    return {number: (amount, (new - start).days, (moved - start).days) for number, amount, new, moved in found}


def day(after: int) -> dt.date:
    return DAY + dt.timedelta(days=after)


def counts(result: assay.RunResult, table: str = "silver_order") -> tuple[int, int, int, int]:
    ledger = result.tables[table].ledger
    return ledger.inserted, ledger.updated, ledger.unchanged, ledger.deleted


def test_keys_are_numbered_in_the_order_of_their_first_row_over_all_files(shop: Shop) -> None:
    shop.orders("1,zoe,10", "2,ann,20", "3,zoe,30", file="orders1.csv")
    shop.orders("4,bob,10", "5,ann,20", "6,abe,10", file="orders2.csv")
    shop.run(customer())
    assert numbers(shop) == {"zoe": 1, "ann": 2, "bob": 3, "abe": 4}
    assert shop.columns("silver.customer") == [("number", "BIGINT"), ("customer", "VARCHAR")]


def test_without_a_position_keys_are_numbered_in_their_own_order(shop: Shop) -> None:
    shop.orders("1,zoe,10", "2,ann,20", "3,bob,30")
    merge = assay.Merge(surrogate="number")
    shop.run(define(lambda orders: orders.select("customer"), "silver_customer", write=merge, key="customer"))
    assert numbers(shop) == {"ann": 1, "bob": 2, "zoe": 3}


def test_a_key_keeps_its_number_over_new_data_full_runs_disappearance_and_return(shop: Shop) -> None:
    shop.orders("1,bob,10", "2,ann,20")
    shop.run(customer())
    shop.orders("3,abe,10", "4,bob,10", file="orders2.csv")
    shop.run(customer())
    assert numbers(shop) == {"bob": 1, "ann": 2, "abe": 3}
    assert shop.run(customer(), full=True).state == "unchanged"
    shop.orders("5,eve,10", "4,bob,10", file="orders.csv")
    shop.run(customer())
    assert numbers(shop) == {"bob": 1, "abe": 3, "eve": 4}
    shop.orders("6,ann,20", "7,dan,20", "5,eve,10", file="orders.csv")
    shop.run(customer())
    assert numbers(shop) == {"ann": 2, "dan": 5, "eve": 4, "abe": 3, "bob": 1}


def test_a_run_that_fails_uses_up_no_number(shop: Shop) -> None:
    shop.orders("1,bob,10")
    shop.run(customer())
    shop.orders("1,bob,10", "2,cat,20", "3,cat,20")
    assert shop.run(customer(), bronze_order(key="customer")).state == "failed"
    shop.orders("1,bob,10", "3,dan,20")
    shop.run(customer())
    assert numbers(shop) == {"bob": 1, "dan": 2}


def test_numbers_stay_when_the_key_map_has_been_gathered_into_one_file(shop: Shop) -> None:
    expected: dict[str, int] = {}
    for number in range(1, 19):
        expected[f"c{number % 5}{number}"] = number
        shop.orders(*(f"{n},{name},1" for name, n in reversed(expected.items())))
        sources = {"orders": shop.inbox / "orders.csv"}
        assay.run(shop.pipeline(customer()), warehouse=shop.lake, sources=sources, settings=SETTINGS)
    assert numbers(shop) == expected
    with closing(sqlite3.connect(shop.lake / "catalog.db")) as catalog:
        query = "select count(*) from assay_file where dataset like 'keys:%' and removed_seq is null"
        assert catalog.execute(query).fetchall() == [(2,)]


def test_keys_of_a_table_that_was_empty_are_numbered_from_one(shop: Shop) -> None:
    shop.orders()
    assert shop.run(customer()).state == "published"
    shop.orders("1,bob,10", "2,ann,20")
    shop.run(customer())
    assert numbers(shop) == {"bob": 1, "ann": 2}


@pytest.mark.parametrize("keep", [FIRST, assay.latest("amount")], ids=["first", "latest"])
def test_which_of_several_rows_stays_does_not_depend_on_how_they_lie_in_the_table_that_is_read(
    tmp_path: Path, keep: Any
) -> None:
    def twice(order: str) -> assay.Table:
        query = f"select o.*, n from o, (values (1), (2)) as t(n) order by n {order}"
        return define(lambda orders: assay.sql(query, o=orders), "bronze_order", rows=assay.times(2))

    found = []
    for order in ("asc", "desc"):
        (tmp_path / order).mkdir()
        shop = Shop(tmp_path / order)
        shop.orders("1,ann,10", "2,bob,20")
        silver = define(lambda bronze_order: bronze_order, "silver_order", key="id", keep=keep)
        assert shop.run(twice(order), silver).tables["silver_order"].ledger.deduplicated == 2
        found.append(shop.rows("from silver.order order by id"))
    assert found[0] == found[1]


def test_a_number_may_be_asked_for_later_and_stays_under_another_name(shop: Shop) -> None:
    shop.orders("1,bob,10", "2,ann,20")
    shop.run(customer(surrogate=None))
    assert shop.columns("silver.customer") == [("customer", "VARCHAR")]
    shop.run(customer())
    assert numbers(shop) == {"bob": 1, "ann": 2}
    shop.orders("3,abe,20", "2,ann,20")
    shop.run(customer(surrogate="customer_number"))
    assert dict(shop.rows("select customer, customer_number from silver.customer")) == {"ann": 2, "abe": 3}


def test_values_of_another_key_do_not_take_the_numbers_of_the_key_before(shop: Shop) -> None:
    def order(key: str) -> assay.Table:
        write = assay.Merge(surrogate="number")
        return define(lambda orders: orders.with_columns(code=4 - col("id")), "silver_order", write=write, key=key)

    shop.orders("1,ann,10", "2,bob,20", "3,cat,30")
    shop.run(order("id"))
    assert shop.rows("select id, number from silver.order order by id") == [(1, 1), (2, 2), (3, 3)]
    assert shop.run(order("code")).problems == ()
    assert shop.rows("select code from silver.order order by number") == [(3,), (2,), (1,)]


@pytest.mark.parametrize("write", [assay.Merge(stamps=True), assay.Overwrite(stamps=True)], ids=["merge", "overwrite"])
def test_stamps_say_when_a_row_came_and_when_it_last_changed(shop: Shop, write: Any) -> None:
    table = define(lambda orders: orders.select("id", "amount"), "silver_order", write=write, key="id")
    shop.orders("1,ann,10", "2,bob,20", "3,cat,30", "4,dan,")
    assert counts(shop.run(table, as_of=day(0))) == (4, 0, 0, 0)
    shop.orders("1,ann,10", "2,bob,21", "4,dan,40", "5,eve,50")
    assert counts(shop.run(table, as_of=day(1))) == (1, 2, 1, 1)
    assert stamps(shop) == {1: (10, 0, 0), 2: (21, 0, 1), 4: (40, 0, 1), 5: (50, 1, 1)}
    shop.orders("1,ann,10", "2,bob,21", "3,cat,30", "4,dan,")
    assert counts(shop.run(table, as_of=day(2))) == (1, 1, 2, 1)
    assert stamps(shop) == {1: (10, 0, 0), 2: (21, 0, 1), 3: (30, 2, 2), 4: (None, 0, 2)}


def test_rows_that_only_moved_in_the_file_keep_stamps_and_numbers(shop: Shop) -> None:
    write = assay.Merge(stamps=True, surrogate="number")
    table = define(lambda orders: orders, "silver_order", write=write, key="id", keep=FIRST)
    lines = ["1,ann,10", "2,bob,20", "3,cat,30"]
    shop.orders(*lines)
    shop.run(table, as_of=day(0))
    before = shop.rows("from silver.order order by id")
    shop.orders(*reversed(lines))
    result = shop.run(table, as_of=day(1))
    assert counts(result) == (0, 0, 3, 0)
    assert shop.rows("from silver.order order by id") == before
    shop.orders("3,cat,31", *reversed(lines))
    shop.run(table, as_of=day(2))
    assert stamps(shop)[3] == (31, 0, 2)


def test_stamps_without_a_date_of_the_run_are_the_time_at_which_it_began(shop: Shop) -> None:
    table = define(lambda orders: orders, "silver_order", write=assay.Merge(stamps=True), key="id")
    shop.orders("1,ann,10")
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    shop.run(table, as_of=None)
    after = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    ((created, updated),) = shop.rows("select created_at, updated_at from silver.order")
    assert before <= created == updated <= after


def test_a_new_column_makes_every_row_updated_and_none_created(shop: Shop) -> None:
    def table(function: Any) -> assay.Table:
        return define(function, "silver_order", write=assay.Merge(stamps=True), key="id")

    shop.orders("1,ann,10", "2,bob,20")
    shop.run(table(lambda orders: orders), as_of=day(0))
    result = shop.run(table(lambda orders: orders.with_columns(vat=lit("low"))), as_of=day(1))
    assert counts(result) == (0, 2, 0, 0)
    assert stamps(shop) == {1: (10, 0, 1), 2: (20, 0, 1)}


def test_stamps_asked_for_later_begin_with_that_run(shop: Shop) -> None:
    def table(*, stamped: bool) -> assay.Table:
        return define(lambda orders: orders, "silver_order", write=assay.Merge(stamps=stamped), key="id")

    shop.orders("1,ann,10")
    shop.run(table(stamped=False), as_of=day(0))
    shop.run(table(stamped=True), as_of=day(1))
    assert stamps(shop) == {1: (10, 1, 1)}


@pytest.mark.parametrize(
    ("before", "after", "updated"),
    [
        ("1.5", "2.5", 1),
        ("1.5", "", 1),
        ("", "1.5", 1),
        ("inf", "1.5", 1),
        ("1.5", "-inf", 1),
        ("nan", "1.5", 1),
        ("1.5", "nan", 1),
        ("nan", "NaN", 0),
        ("inf", "Infinity", 0),
        ("0.1", "0.10000000000000002", 0),
        ("1e300", "1.0000000001e300", 0),
        ("1e300", "1.00001e300", 1),
        ("0.0", "-0.0", 0),
        ("2e-10", "5e-10", 1),
    ],
)
@pytest.mark.parametrize("read", ["orders", "view_sums"])
def test_a_sum_of_double_is_updated_when_it_differs_beyond_nine_digits(
    shop: Shop, before: str, after: str, updated: int, read: str
) -> None:
    source = {"orders": assay.csv("orders.csv", columns={"id": "BIGINT", "weight": "DOUBLE"})}

    @assay.view(rows=assay.free("summed by id"))
    def view_sums(orders: Frame) -> Frame:
        return orders.group_by("id").agg(weight=col("weight").sum())

    given = [view_sums] if read == "view_sums" else []
    function = (lambda view_sums: view_sums) if given else view_sums.function
    grain = {} if given else {"rows": assay.free("summed by id")}
    table = define(function, "silver_order", write=assay.Merge(stamps=True), key="id", **grain)
    shop.deliver("orders.csv", "id,weight", f"1,{before}")
    shop.run(shop.pipeline(*given, table, sources=source))
    shop.deliver("orders.csv", "id,weight", f"1,{after}")
    result = shop.run(shop.pipeline(*given, table, sources=source))
    assert counts(result) == (0, updated, 1 - updated, 0)
    assert result.tables["silver_order"].status == ("written" if updated else "unchanged")


@pytest.mark.parametrize(
    ("before", "after"),
    [("0.1", "0.10000000000000002"), ("4915112345678", "4915112345679"), ("1700000001", "1700000000"), ("0", "1e-12")],
)
def test_a_double_that_is_no_sum_is_told_to_the_digit_and_so_is_what_is_made_of_it(
    shop: Shop, before: str, after: str
) -> None:
    source = {"orders": assay.csv("orders.csv", columns={"id": "BIGINT", "weight": "DOUBLE"})}
    tables = [
        define(lambda orders: orders, "bronze_order"),
        define(lambda bronze_order: bronze_order, "silver_order", write=assay.Merge(), key="id"),
    ]
    shop.deliver("orders.csv", "id,weight", f"1,{before}")
    shop.run(shop.pipeline(*tables, sources=source))
    shop.deliver("orders.csv", "id,weight", f"1,{after}")
    shop.run(shop.pipeline(*tables, sources=source))
    for table in ("bronze.order", "silver.order"):
        assert shop.rows(f"select weight from {table}") == [(float(after),)]


VERSION = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=4, unique_by=lambda row: row[0]
)


@settings(max_examples=4, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(versions=st.lists(VERSION, min_size=2, max_size=4))
def test_any_versions_of_a_table_give_what_a_plain_oracle_gives(versions: list[list[tuple[int, int]]]) -> None:
    def numbered(orders: Frame) -> Frame:
        return orders.select("id", "amount", assay.position())

    write = assay.Merge(surrogate="number", stamps=True)
    table = define(numbered, "silver_order", write=write, key="id")
    known: dict[int, int] = {}
    rows: dict[int, tuple[int, int, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder))
        for now, version in enumerate(versions):
            shop.orders(*(f"{key},ann,{amount}" for key, amount in version))
            before, rows = rows, {}
            for key, amount in version:
                known.setdefault(key, len(known) + 1)
                was, created, updated = before.get(key, (None, now, now))
                rows[key] = amount, created, updated if was == amount else now
            assert shop.run(table, as_of=day(now), settings=SETTINGS).ok
            assert stamps(shop) == rows
            found = dict(shop.rows("select id, number from silver.order"))
            assert found == {key: known[key] for key in rows}
