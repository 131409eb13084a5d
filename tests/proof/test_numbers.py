"""Which columns hold surrogate numbers is read off the functions' own SQL."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from narwhals import LazyFrame, col

import assay
from assay import Merge, Pipeline, csv, free
from assay.engines.duckdb.engine import DuckDbEngine
from assay.proof.proving.numbers import numbers_of
from assay.runtime.tracing.trace import trace

Frame = LazyFrame[Any]


@assay.table(write=Merge(surrogate="city_id"), key="city")
def silver_city(orders: Frame) -> Frame:
    """The cities."""
    return orders.select("city")


@assay.table(write=Merge(surrogate="shop_id"), key="shop")
def silver_shop(orders: Frame) -> Frame:
    """The shops."""
    return orders.select("shop")


def numbers(function: Any, **declaration: Any) -> dict[str, str]:
    """The columns of a table that hold numbers."""
    table = assay.table(rows=free("a test"), **declaration)(function).named("gold_test")
    source = csv("orders.csv", columns={"Id": "BIGINT", "city": "VARCHAR", "shop": "VARCHAR"})
    pipeline = Pipeline("shop", tables=[silver_city, silver_shop, table], sources={"orders": source})
    with closing(DuckDbEngine(threads=1, memory_limit="500MB")) as engine:
        return dict(numbers_of(pipeline, trace(pipeline, engine))["gold_test"])


def sql(text: str) -> Any:
    def function(silver_city: Frame, silver_shop: Frame) -> Any:
        return assay.sql(text, c=silver_city, s=silver_shop)

    return function


def test_a_copy_is_followed_through_names_joins_and_groups() -> None:
    def function(silver_city: Frame, orders: Frame) -> Frame:
        named = silver_city.select("city", home_id="city_id")
        joined = orders.join(named, on="city", how="left").with_columns(known=col("home_id").fill_null(-1))
        return joined.group_by("known").agg(home_id=col("home_id").max(), orders=col("Id").count())

    assert numbers(function) == {"known": "silver_city", "home_id": "silver_city"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("select * from c", {"city_id": "silver_city"}),
        (
            "with x as (select city_id as n from c) select x.n, city_id + 1 as next from x join c on n = city_id",
            {"n": 1},
        ),
        ("select case when city is null then -1 else city_id end as n from c", {"n": 1}),
        ("select city_id as n from c union all select -1", {"n": 1}),
        ("select city_id as n from c union all select shop_id from s", {}),
        ("select coalesce(city_id, shop_id) as n from c left join s on city = shop", {}),
        ("select first_value(city_id) over (order by city) as n, row_number() over () as m from c", {"n": 1}),
        ("select count(city_id) as n, sum(city_id) as m from c", {}),
        ("select 1 as n, city from c", {}),
    ],
)
def test_a_column_holds_numbers_where_all_its_values_are_those_of_one_table(text: str, found: dict[str, Any]) -> None:
    assert numbers(sql(text)) == dict.fromkeys(found, "silver_city")


def test_a_declared_reference_is_one_where_the_function_hides_it() -> None:
    check = assay.references("n", "silver_city.city_id")
    assert numbers(sql("select city_id + 0 as n from c")) == {}
    assert numbers(sql("select city_id + 0 as n from c"), checks=[check]) == {"n": "silver_city"}
