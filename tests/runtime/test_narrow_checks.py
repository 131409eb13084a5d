"""Checks that look at other rows are judged over all of them, whatever rows a run has to compute."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pytest
from narwhals import col

import assay
from tests.runtime.shop import Shop, define, statuses

MANY = [f"{n},customer{n},{n}" for n in range(1, 41)]


def silver(check: assay.RowCheck, **declared: Any) -> assay.Table:
    return define(lambda orders: orders, "silver_order", checks=[check], **declared)


def test_a_check_over_other_rows_blocks_whatever_rows_are_new(shop: Shop) -> None:
    twice = assay.fails_when("two orders of one customer", nw.len().over("customer") > 1, action="block")
    table = silver(twice, write=assay.Merge(), key="id", keep=assay.first_in_source())
    shop.orders(*MANY)
    assert shop.run(table).ok
    shop.orders("41,customer7,1", file="orders2.csv")
    result = shop.run(table)
    assert (result.ok, result.problems) == (
        False,
        ("silver_order: check two orders of one customer is broken by 2 rows",),
    )


@pytest.mark.parametrize(
    "declared",
    [{"write": assay.Append()}, {"write": assay.Merge(), "key": "id", "keep": assay.latest("amount")}],
    ids=["new", "keys"],
)
def test_a_check_over_other_rows_rejects_as_a_full_run_does(shop: Shop, declared: dict[str, Any]) -> None:
    high = assay.fails_when(
        "far above others", col("amount") > 3 * col("amount").mean().over("customer"), action="reject"
    )
    pipeline = assay.Pipeline(
        "shop",
        tables=[silver(high, **declared)],
        rejected_share=1.0,
        sources=shop.pipeline(silver(high, **declared)).sources,
    )
    shop.orders(*(f"{n},customer{n % 4},{n % 3 + 1}" for n in range(1, 41)))
    shop.run(pipeline)
    shop.orders("41,customer1,50", "42,customer2,1", file="orders2.csv")
    shop.run(pipeline)
    found = shop.rows("select id from silver.order order by 1")
    assert statuses(shop.run(pipeline, full=True)) == {"silver_order": "unchanged"}
    assert shop.rows("select id from silver.order order by 1") == found
    assert (41,) not in found


def test_checks_of_each_row_by_itself_let_new_rows_do(shop: Shop) -> None:
    few = assay.fails_when("none", col("amount") <= 0)
    pair = assay.fails_when("two of one number", nw.len().over("id") > 1)
    tables = [
        define(lambda orders: orders, "bronze_order", checks=[few], write=assay.Append()),
        define(lambda bronze_order: bronze_order, "silver_order", checks=[few, pair], write=assay.Merge(), key="id"),
    ]
    shop.orders(*MANY)
    shop.run(*tables)
    shop.orders("41,ann,1", file="orders2.csv")
    assert {name: sum(node.ledger.read.values()) for name, node in shop.run(*tables).tables.items()} == {
        "bronze_order": 1,
        "silver_order": 1,
    }
