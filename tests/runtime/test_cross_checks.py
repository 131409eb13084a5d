"""Checks between tables whose sides are run one by one: whichever run brings them together judges all rows."""

from __future__ import annotations

from typing import Any

import pytest

import assay
from tests.runtime.shop import SETTINGS, Frame, Shop, define

CHECK = assay.references("customer", "silver_customer.name")
SAID = (f"gold_order: check {CHECK.name} is broken by 1 row",)

WHO = ((1, "ann"), (2, "bob"))


@pytest.fixture(params=["lake", "postgres"])
def warehouse(request: pytest.FixtureRequest, shop: Shop) -> str:
    """Where the tables are, in which nothing is broken yet."""
    place = str(shop.lake)
    if request.param == "postgres":
        place = str(request.getfixturevalue("postgres_url")).replace("+psycopg", "")
        assay.migrate(pipeline(shop), warehouse=place)
    orders(shop)
    shop.deliver("customers.csv", "name,city", "ann,Rome", "bob,Oslo")
    assert run(shop, place).ok
    return place


def pipeline(shop: Shop) -> assay.Pipeline:
    """Orders in three steps, each without a note more, that refer to customers whom no function of theirs reads."""

    def customers_of(customers: Frame) -> Frame:
        return customers.select("name")

    merge = assay.Merge()
    tables = [
        define(lambda orders: orders, "bronze_order", write=merge, key="id"),
        define(lambda bronze_order: bronze_order.drop("first"), "silver_order", write=merge, key="id"),
        define(customers_of, "silver_customer", write=merge, key="name"),
        define(lambda silver_order: silver_order.drop("second"), "gold_order", write=merge, key="id", checks=[CHECK]),
    ]
    kinds = {"id": "BIGINT", "customer": "VARCHAR", "first": "VARCHAR", "second": "VARCHAR"}
    sources = {
        "orders": assay.csv(str(shop.inbox / "orders*.csv"), columns=kinds),
        "customers": assay.csv(str(shop.inbox / "customers*.csv"), columns={"name": "VARCHAR"}),
    }
    return assay.Pipeline("shop", tables=tables, sources=sources)


def orders(shop: Shop, first: str = "a", second: str = "a") -> None:
    shop.deliver("orders.csv", "id,customer,first,second", *(f"{n},{who},{first},{second}" for n, who in WHO))


def run(shop: Shop, warehouse: str, **arguments: Any) -> assay.RunResult:
    return assay.run(pipeline(shop), warehouse=warehouse, settings=SETTINGS, **arguments)


def bob_leaves(shop: Shop) -> None:
    shop.deliver("customers.csv", "name,city", "ann,Rome")


def test_a_table_that_was_behind_when_the_other_side_lost_rows_is_judged_by_the_run_that_computes_it(
    shop: Shop, warehouse: str
) -> None:
    bob_leaves(shop)
    orders(shop, second="b")
    found = run(shop, warehouse, layers=["bronze", "silver"])
    assert (found.state, found.tables["gold_order"].verdicts) == ("published", ())
    assert run(shop, warehouse, layers=["gold"]).problems == SAID
    assert run(shop, warehouse).problems == SAID


def test_a_table_that_turns_out_not_to_be_behind_is_judged_then(shop: Shop, warehouse: str) -> None:
    bob_leaves(shop)
    orders(shop, first="b")
    found = run(shop, warehouse, select=["bronze_order", "silver_customer"])
    assert (found.state, found.tables["gold_order"].verdicts) == ("published", ())
    assert run(shop, warehouse, select=["silver_order"]).problems == SAID
    assert run(shop, warehouse).problems == SAID


def test_what_an_undo_brings_back_is_judged_whole(shop: Shop, warehouse: str) -> None:
    bob_leaves(shop)
    orders(shop, second="b")
    assert run(shop, warehouse, layers=["bronze", "silver"]).ok
    shop.deliver("orders2.csv", "id,customer,first,second", "3,ann,a,a")
    shop.deliver("customers2.csv", "name,city", "bob,Rome")
    assert run(shop, warehouse).ok
    assay.undo(warehouse=warehouse)
    assert run(shop, warehouse, layers=["gold"]).problems == SAID
