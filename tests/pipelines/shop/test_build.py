"""`dbt build` makes of the sample what can be added by hand, in the schemas and kinds that are told."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal

import pytest

from tests.pipelines.shop.project import PROJECT, Shop

pytestmark = pytest.mark.dbt

KINDS = {
    "staging": dict.fromkeys(("stg_customers", "stg_order_items", "stg_orders", "stg_products"), "v"),
    "intermediate": dict.fromkeys(("int_order_items_enriched", "int_orders_enriched"), "v"),
    "marts": dict.fromkeys(("dim_customers", "dim_products", "fct_orders", "fct_sales"), "r") | {"monthly_sales": "m"},
}
RELATIONS = """
select nspname, relname, relkind
from pg_class
join pg_namespace on pg_namespace.oid = relnamespace
where relkind in ('r', 'v', 'm', 'p') and nspname not in ('raw', 'public', 'information_schema') and nspname !~ '^pg_'
"""
COLUMNS = """
select nspname || '.' || relname, attname, format_type(atttypid, atttypmod)
from pg_attribute
join pg_class on pg_class.oid = attrelid
join pg_namespace on pg_namespace.oid = relnamespace
where nspname in ('raw', 'staging', 'intermediate', 'marts') and relkind in ('r', 'v', 'm') and attnum > 0
order by attrelid, attnum
"""
UNIQUE = """
select tablename, substring(indexdef from '\\(.*\\)')
from pg_indexes
where schemaname = 'marts' and indexdef like 'CREATE UNIQUE %'
order by 1
"""
JANUARY, FEBRUARY, MARCH = (dt.date(2025, month, 1) for month in (1, 2, 3))


@pytest.mark.row("002-11", "002-12", "002-17", "002-23")
def test_the_sample_is_built_and_every_test_of_it_passes(shop: Shop) -> None:
    before = sorted(PROJECT.rglob("*"))
    outcome = shop.dbt("build")
    assert (outcome.code, outcome.named("success", "pass")) == (0, set(outcome.results)), outcome.output

    relations: dict[str, dict[str, str]] = {}
    for schema, name, kind in shop.rows(RELATIONS):
        relations.setdefault(schema, {})[name] = kind
    assert relations == KINDS

    assert shop.rows("select count(*), sum(line_total) from marts.fct_sales") == [(15, Decimal("5164.82"))]
    assert shop.rows("select count(*), sum(order_total) from marts.fct_orders") == [(7, Decimal("5164.82"))]
    assert shop.rows(
        "select (select count(*) from marts.dim_customers), (select count(*) from marts.dim_products)"
    ) == [(5, 10)]
    # Order 5: 12 notebooks at 6.25, 2 pens at 24.90 and 3 bottles at 18.75.
    assert shop.rows(
        "select total_items, total_quantity, order_total, avg_item_price, min_item_price, max_item_price "
        "from marts.fct_orders where order_id = 5"
    ) == [(3, 17, Decimal("181.05"), Decimal("16.63"), Decimal("6.25"), Decimal("24.90"))]
    # The order of 2 March was cancelled, with its mouse.
    assert shop.rows("select * from marts.monthly_sales order by 1, 2") == [
        (JANUARY, "Electronics", 1, 3, Decimal("1359.97")),
        (JANUARY, "Furniture", 1, 2, Decimal("848.00")),
        (FEBRUARY, "Electronics", 2, 4, Decimal("2082.57")),
        (FEBRUARY, "Furniture", 1, 1, Decimal("45.50")),
        (FEBRUARY, "Kitchen", 1, 3, Decimal("56.25")),
        (FEBRUARY, "Stationery", 1, 14, Decimal("124.80")),
        (MARCH, "Electronics", 1, 1, Decimal("349.99")),
        (MARCH, "Furniture", 1, 1, Decimal("249.00")),
        (MARCH, "Kitchen", 1, 1, Decimal("18.75")),
    ]

    # Each mart has an index of its key, which lets the materialized view be refreshed while it is read.
    assert shop.rows(UNIQUE) == [
        ("dim_customers", "(customer_id)"),
        ("dim_products", "(product_id)"),
        ("fct_orders", "(order_id)"),
        ("fct_sales", "(order_item_id)"),
        ("monthly_sales", "(order_month, category)"),
    ]

    _tests_are_counted(shop)
    _columns_are_described(shop)
    assert sorted(PROJECT.rglob("*")) == before
    _no_file_holds_the_password(shop)


def _tests_are_counted(shop: Shop) -> None:
    nodes = shop.manifest()["nodes"].values()
    tests = Counter(node["test_metadata"]["name"] for node in nodes if node["resource_type"] == "test")
    assert tests == {
        "not_null": 82,
        "unique": 17,
        "relationships": 10,
        "accepted_values": 1,
        "at_least": 3,
        "same_total": 3,
        "fresh_within": 3,
        "unique_together": 1,
    }


def _columns_are_described(shop: Shop) -> None:
    """Every column of every relation, in its order, has the type and a description that its page names."""
    manifest = shop.manifest()
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    described = {
        f"{node['schema']}.{node['name']}": [
            (name, column["data_type"].replace("timestamptz", "timestamp with time zone"))
            for name, column in node["columns"].items()
            if column["description"]
        ]
        for node in [*models, *manifest["sources"].values()]
    }
    found: dict[str, list[tuple[str, str]]] = {}
    for relation, column, type_ in shop.rows(COLUMNS):
        found.setdefault(relation, []).append((column, type_))
    assert described == found


def _no_file_holds_the_password(shop: Shop) -> None:
    written = [path for path in shop.folder.rglob("*") if path.is_file()]
    assert written
    assert [path for path in written if b"not-asked-for" in path.read_bytes()] == []
