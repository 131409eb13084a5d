"""Columns and keys that change from run to run: what is published, and what can still be read of before."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pytest
from narwhals import col, lit

import assay
from tests.runtime.shop import Frame, Shop, bronze_order, define, keyed_and_plain, statuses

LINES = ("1,ann,10", "2,bob,20", "3,ann,5")

COLUMNS = {
    "added": (
        lambda bronze_order: bronze_order.with_columns(vat=col("amount") * 2),
        [("vat", "BIGINT")],
        (1, "ann", 10, 20),
    ),
    "dropped": (lambda bronze_order: bronze_order.drop("customer"), [], (1, 10)),
    "retyped": (lambda bronze_order: bronze_order.with_columns(col("amount").cast(nw.String())), [], (1, "ann", "10")),
    "narrowed": (lambda bronze_order: bronze_order.with_columns(col("amount").cast(nw.Int32())), [], (1, "ann", 10)),
    "renamed": (lambda bronze_order: bronze_order.rename({"amount": "price"}), [("price", "BIGINT")], (1, "ann", 10)),
    "moved": (
        lambda bronze_order: bronze_order.select("amount", "id", "customer", assay.position()),
        [],
        (10, 1, "ann"),
    ),
}


@pytest.mark.parametrize("change", COLUMNS)
def test_a_change_of_columns_is_published_and_the_old_state_can_still_be_read(shop: Shop, change: str) -> None:
    function, new, first = COLUMNS[change]
    before = [bronze_order(), *keyed_and_plain(lambda bronze_order: bronze_order)]
    after = [bronze_order(), *keyed_and_plain(function)]
    shop.orders(*LINES)
    shop.run(*before)
    result = shop.run(*after)
    assert statuses(result) == {"bronze_order": "unchanged", "silver_keyed": "written", "silver_plain": "written"}
    for table in ("silver.keyed", "silver.plain"):
        assert shop.rows(f"from {table} where id = 1") == [first]
        assert [column for column in shop.columns(table) if column in new] == new
        assert shop.rows(f"from {table} where id = 1", at=1) == [(1, "ann", 10)]
    assert shop.run(*after).run is None


def test_a_column_that_comes_back_has_its_new_values_only(shop: Shop) -> None:
    shop.orders(*LINES)
    for function in (lambda orders: orders, lambda orders: orders.drop("amount"), doubled):
        shop.run(define(function, "bronze_order", key="id"))
    assert shop.rows("select id, amount from bronze.order order by id") == [(1, 20), (2, 40), (3, 10)]
    assert shop.rows("select id, amount from bronze.order order by id", at=1) == [(1, 10), (2, 20), (3, 5)]


def doubled(orders: Frame) -> Frame:
    return orders.with_columns(amount=col("amount") * 2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"key": "id"}, {"key": ("id", "customer")}),
        ({"key": "id"}, {"key": "code"}),
        ({"key": "code"}, {"key": "id"}),
        ({}, {"key": "id"}),
    ],
    ids=["wider", "another", "back", "none before"],
)
def test_a_changed_key_is_published(shop: Shop, before: dict[str, Any], after: dict[str, Any]) -> None:
    def coded(orders: Frame) -> Frame:
        return orders.with_columns(code=nw.concat_str(lit("no"), col("id").cast(nw.String())))

    shop.orders(*LINES)
    shop.run(define(coded if before.get("key") == "code" else lambda orders: orders, "bronze_order", **before))
    result = shop.run(define(coded, "bronze_order", **after))
    assert result.problems == ()
    assert shop.rows("select id, code, amount from bronze.order order by id") == [
        (1, "no1", 10),
        (2, "no2", 20),
        (3, "no3", 5),
    ]


def test_a_retyped_key_is_published(shop: Shop) -> None:
    shop.orders(*LINES)
    shop.run(bronze_order(key="id"))
    result = shop.run(define(lambda orders: orders.with_columns(col("id").cast(nw.String())), "bronze_order", key="id"))
    assert result.problems == ()
    assert shop.rows("select id from bronze.order order by id") == [("1",), ("2",), ("3",)]


def test_a_key_given_to_a_published_table_with_copies_keeps_one_of_each(shop: Shop) -> None:
    shop.orders("1,ann,10", "1,ann,11", "2,bob,20")
    shop.run(bronze_order())
    result = shop.run(bronze_order(key="id", keep=assay.first_in_source()))
    assert result.problems == ()
    assert shop.rows("select id, amount from bronze.order order by id") == [(1, 10), (2, 20)]
    assert result.tables["bronze_order"].ledger.deduplicated == 1
