"""A shop's sales, each of a day: tables that have months or days, and tables that have none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import narwhals as nw
from narwhals import LazyFrame, col

import assay
from assay import Append, Merge, Overwrite, drop_where, first_in_source, groups, month_of, position
from tests.runtime.shop import Shop

Frame = LazyFrame[Any]
Sale = tuple[int, str, str, int]
"""Its id, day, shop and amount."""
COLUMNS = {"id": "BIGINT", "day": "DATE", "shop": "VARCHAR", "amount": "BIGINT"}
SOURCES = {"sales": assay.csv("sales*.csv", columns=COLUMNS)}
NUMBERS = ("sale_id", "shop_id")
"""Surrogate keys: which row has which depends on what came first."""


@assay.view()
def prepared(sales: Frame) -> Frame:
    """Every sale with its month and position."""
    return sales.select("id", "day", "shop", "amount", month_of("day").alias("sale_month"), position())


@assay.table(write=Append(), partition_by="sale_month")
def bronze_sale(prepared: Frame) -> Frame:
    """Every sale as delivered, a part for each month."""
    return prepared


@assay.table(write=Append(), key=("id", "sale_month"), keep=first_in_source(), partition_by="sale_month")
def bronze_first(prepared: Frame) -> Frame:
    """The first line of each sale in its month."""
    return drop_where(prepared, "no shop", col("shop").is_null())


@assay.table(
    write=Merge(surrogate="sale_id", stamps=True),
    key=("id", "sale_month"),
    keep=first_in_source(),
    checks=[assay.between("amount", 0, 90, action="reject")],
)
def silver_sale(bronze_sale: Frame) -> Frame:
    """The sales of each month, numbered; those with a strange amount are rejected."""
    return bronze_sale


@assay.table(write=Merge(surrogate="shop_id", stamps=True), key="shop", keep=first_in_source())
def silver_shop(bronze_first: Frame) -> Frame:
    """The shops: they have no months."""
    return bronze_first.select("shop", position())


@assay.table(
    write=Overwrite(stamps=True),
    key=("day", "shop"),
    rows=groups("day", "shop", count="sales", total="amount"),
    checks=[assay.reconciles("amount", "bronze_first.amount")],
)
def gold_day(bronze_first: Frame) -> Frame:
    """Sales and amount of each day and shop."""
    return bronze_first.group_by("day", "shop").agg(sales=nw.len(), amount=col("amount").sum())


@assay.table(
    write=Overwrite(stamps=True),
    key="sale_month",
    rows=groups("sale_month", total="amount"),
    checks=[assay.reconciles("amount", "silver_sale.amount")],
)
def gold_month(silver_sale: Frame) -> Frame:
    """The amount of each month."""
    return silver_sale.group_by("sale_month").agg(amount=col("amount").sum())


@assay.table(key=("id", "sale_month"))
def gold_rank(silver_sale: Frame) -> Any:
    """Each sale with its place among all sales, of whatever month."""
    place = "select id, sale_month, dense_rank() over (order by amount desc) as place from s"
    return assay.sql(place, s=silver_sale)


@assay.table(partition_by="last_month", rows=groups("shop", total="amount"))
def gold_last(silver_sale: Frame) -> Frame:
    """The last month of each shop: a group of rows from several months."""
    return silver_sale.group_by("shop").agg(last_month=col("sale_month").max(), amount=col("amount").sum())


TABLES = (prepared, bronze_sale, bronze_first, silver_sale, silver_shop, gold_day, gold_month, gold_rank, gold_last)
BY_MONTH = {"bronze_sale", "bronze_first", "silver_sale", "gold_day", "gold_month"}
BY_DAY = {"gold_day"}
EVERY = {table.name for table in TABLES[1:]}

FIRST: Sequence[Sale] = (
    (1, "2024-01-05", "north", 10),
    (2, "2024-01-06", "south", 20),
    (3, "2024-02-05", "north", 30),
    (4, "2024-02-06", "south", 40),
    (5, "2024-03-01", "east", 50),
)
SECOND: Sequence[Sale] = (
    (6, "2024-01-05", "north", 1),
    (7, "2024-02-05", "west", 2),
    (8, "2024-02-07", "north", 3),
    (3, "2024-02-09", "north", 4),
    (9, "2024-04-01", "east", 5),
)


def deliver(shop: Shop, number: int, sales: Sequence[Sale]) -> None:
    """Deliver a file of sales; files with higher numbers come later in the order of names too."""
    shop.deliver(f"sales{number:03}.csv", ",".join(COLUMNS), *(",".join(map(str, sale)) for sale in sales))


def stored(shop: Shop, *, stamps: bool = False) -> dict[str, list[tuple[Any, ...]]]:
    """Every published table: its rows in an order of their own, without surrogate keys and, if not asked, stamps."""
    hidden = {*NUMBERS, *(() if stamps else ("created_at", "updated_at"))}
    found = {}
    with assay.connect(shop.lake) as lake:
        views = lake.sql("select schema_name, view_name from duckdb_views() where not internal").fetchall()
        for layer, entity in views:
            if layer != "meta":
                table = lake.table(f"{layer}.{entity}")
                names = [name for name in table.columns if name not in hidden]
                found[f"{layer}_{entity}"] = sorted(table.select(*names).fetchall(), key=repr)
    return found


def month_of_row(row: tuple[Any, ...]) -> str:
    """The month that a row is of, by its date or its text."""
    dates = [value for value in row if isinstance(value, dt.date) and not isinstance(value, dt.datetime)]
    texts = [value for value in row if isinstance(value, str) and value.startswith("2024-")]
    return f"{dates[0]:%Y-%m}" if dates else texts[0]
