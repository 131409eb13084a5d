"""Every test of the project has been seen failing, and what fails stops what is built on it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.pipelines.shop.project import TABLES, Shop

pytestmark = pytest.mark.dbt

MARTS = ("dim_customers", "dim_products", "fct_orders", "fct_sales", "monthly_sales")
RELATIONS = (*(f"raw.{table}" for table in TABLES), *(f"marts.{mart}" for mart in MARTS))

FAULTS = [
    # Marts that keep no rule of their own, as their tests must find what breaks one.
    *(f"create table public.{mart} as table marts.{mart}" for mart in MARTS),
    "drop schema marts cascade",
    "create schema marts",
    *(f"alter table public.{mart} set schema marts" for mart in MARTS),
    # In each relation a row that stands twice, and one that holds nothing.
    *(f"insert into {relation} select * from {relation} order by 1 limit 1" for relation in RELATIONS),
    *(f"insert into {relation} default values" for relation in RELATIONS),
    # Rows that lead nowhere, and values that may not be.
    "insert into raw.products (id, price) values (98, -1)",
    "insert into raw.orders (id, customer_id, status) values (98, 99, 'lost')",
    "insert into raw.order_items (id, order_id, product_id, quantity, unit_price) values (98, 99, 99, -1, -1)",
    "insert into marts.fct_orders (order_id, customer_id) values (98, 99)",
    "insert into marts.fct_sales (order_item_id, order_id, customer_id, product_id) values (98, 99, 99, 99)",
    # A shop that nobody has read for eight days.
    "update raw.orders set updated_at = updated_at - interval '8 days'",
    "update marts.fct_orders set last_updated = last_updated - interval '8 days'",
    "update marts.fct_sales set last_updated = last_updated - interval '8 days'",
]

# How many rows each finds, one test of each kind: the pair of nulls is the empty row and the one that leads nowhere.
FOUND = {
    "source_not_null_raw_orders_customer_id": 1,
    "not_null_fct_orders_status": 2,
    "unique_stg_customers_email": 1,
    "relationships_fct_sales_customer_id__customer_id__ref_dim_customers_": 1,
    "at_least_stg_order_items_quantity__1": 1,
    "fresh_within_fct_sales_last_updated___var_fresh_within_": 1,
    "unique_together_monthly_sales_order_month__category": 1,
}


@pytest.mark.row("002-12", "002-22")
def test_every_single_test_fails_where_what_it_forbids_is_planted(shop: Shop) -> None:
    assert shop.dbt("run").code == 0
    shop.execute(*FAULTS)
    outcome = shop.dbt("test")
    assert outcome.code == 1
    assert len(outcome.results) == 120
    assert set(outcome.results) - outcome.named("fail") == set()
    assert {name: outcome.results[name]["failures"] for name in FOUND} == FOUND


@pytest.mark.row("002-22")
def test_a_status_that_nobody_knows_keeps_orders_and_sales_as_they_were(shop: Shop) -> None:
    assert shop.dbt("build").code == 0
    shop.execute("update raw.orders set status = 'lost' where id = 1")
    outcome = shop.dbt("build")
    assert outcome.code == 1
    (failed,) = outcome.named("fail")
    assert failed.startswith("accepted_values_stg_orders_status")
    assert {"int_orders_enriched", "fct_orders", "fct_sales", "monthly_sales"} <= outcome.named("skipped")
    assert shop.rows("select sum(line_total) from marts.fct_sales where status = 'completed'") == [
        (Decimal("2825.71"),)  # orders 1, 2 and 7: 1,359.97, 848.00 and 617.74
    ]
