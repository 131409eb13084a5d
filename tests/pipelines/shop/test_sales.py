"""fct_sales is built in part, and is what a build of the whole would make of it."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.shop import generate
from tests.pipelines.shop.project import PROJECT, Shop

pytestmark = pytest.mark.dbt

SALES = "select * from marts.fct_sales order by order_item_id"
MONTHS = "select to_char(order_month, 'MM'), category, sales from marts.monthly_sales order by 1, 2"
VIEW = "select 'marts.monthly_sales'::regclass::oid"
CHANGES = (
    "update orders set status = 'completed' where id = 6",
    "insert into order_items (order_id, product_id, quantity, unit_price) values (1, 7, 2, 45.50)",
    "delete from order_items where id = 8",
    "delete from order_items where order_id = 5",
    "delete from orders where id = 5",
    "update products set category = 'Office' where id = 6",
    "update orders set order_date = '2025-04-01' where id = 3",
)


def written(shop: Shop) -> dict[int, Any]:
    """Return which transaction wrote the row of each item."""
    return dict(shop.rows("select order_item_id, xmin::text from marts.fct_sales"))


@pytest.mark.row("002-11", "002-17")
def test_sales_follow_orders_items_and_products_that_come_change_and_go(shop: Shop) -> None:
    assert shop.dbt("run").code == 0
    before, view = written(shop), shop.rows(VIEW)
    shop.execute(*CHANGES)
    shop.load()
    assert shop.dbt("build").code == 0

    after = written(shop)
    assert set(before) - set(after) == {8, 9, 10, 11}
    # The desk's item, the two of order 3, that of order 6 and the new one; no other row was touched.
    assert {item for item in after if after[item] != before.get(item)} == {4, 5, 6, 12, 16}
    # A lamp of 45.50 and order 5 of 181.05 are gone, two lamps have come.
    assert shop.rows("select count(*), sum(line_total) from marts.fct_sales") == [(12, Decimal("5029.27"))]
    assert shop.rows("select status from marts.fct_sales where order_item_id = 12") == [("completed",)]
    assert shop.rows(MONTHS) == [
        ("01", "Electronics", Decimal("1359.97")),
        ("01", "Furniture", Decimal("340.00")),
        ("01", "Office", Decimal("599.00")),
        ("02", "Electronics", Decimal("1299.99")),
        ("03", "Electronics", Decimal("379.98")),
        ("03", "Furniture", Decimal("249.00")),
        ("03", "Kitchen", Decimal("18.75")),
        ("04", "Electronics", Decimal("782.58")),
    ]

    assert shop.rows(VIEW) == view  # it was refreshed, not made anew

    followed = shop.rows(SALES)
    assert shop.dbt("run", "--full-refresh").code == 0
    assert shop.rows(SALES) == followed


@pytest.mark.row("002-11")
def test_an_item_that_was_committed_late_is_not_missed_and_nothing_new_writes_nothing(shop: Shop) -> None:
    assert shop.dbt("run").code == 0
    before = written(shop)
    shop.execute(
        "insert into raw.order_items values (16, 2, 8, 1, 6.25, now() - interval '3 days', now() - interval '3 days')"
    )
    assert shop.dbt("run").code == 0
    late = written(shop)
    assert late.items() - before.items() == {(16, late[16])}
    assert shop.dbt("run").code == 0
    assert written(shop) == late


@pytest.mark.row("002-11")
def test_many_changes_come_to_what_a_build_of_the_whole_makes(shop: Shop) -> None:
    with shop.connect() as connection:
        generate.grow(connection, customers=500, products=50, orders=3000, seed=7)
    shop.load()
    assert shop.dbt("run").code == 0
    first = len(shop.rows(SALES))
    with shop.connect() as connection:
        for seed in range(3):
            generate.change(connection, rows=200, seed=seed)
    shop.load()
    assert shop.dbt("run").code == 0
    followed, months = shop.rows(SALES), shop.rows(MONTHS)
    assert len(followed) > first > 8000
    assert shop.rows("select count(*) from order_items") == [(len(followed),)]
    assert shop.dbt("run", "--full-refresh").code == 0
    assert (shop.rows(SALES), shop.rows(MONTHS)) == (followed, months)


@pytest.mark.row("002-11")
def test_sales_whose_columns_change_are_refused_and_stay(shop: Shop, tmp_path: Path) -> None:
    assert shop.dbt("run").code == 0
    sales = shop.rows(SALES)
    for name, old, new, told in (
        ("added", "orders.status,", "orders.status,\n    orders.country,", "number of columns"),
        ("renamed", "items.category,", "items.category as kind,", "out of sync"),
        ("dropped", "items.category,", "", "number of columns"),
    ):
        project = tmp_path / name
        shutil.copytree(PROJECT, project)
        model = project / "models/marts/fct_sales.sql"
        text = model.read_text()
        assert text.count(old) == 1
        model.write_text(text.replace(old, new))
        outcome = shop.dbt("run", "--select", "fct_sales", project=project)
        assert (name, outcome.code, outcome.named("error")) == (name, 1, {"fct_sales"})
        assert told in outcome.output
        assert shop.rows(SALES) == sales
