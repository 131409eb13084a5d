"""Where a row is: the line that brought it, the tables that hold it and since when, and why others do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from narwhals import col

import assay
from assay.model.errors import UsageError
from assay.observe.fate import story
from tests.runtime.shop import SETTINGS, Shop, define

LENIENT = replace(SETTINGS, rejected_share=1)


def tables() -> list[assay.Table]:
    return [
        define(lambda orders: orders, write=assay.Append()),
        define(
            lambda bronze_order: assay.drop_where(bronze_order, "a test order", col("customer") == "test"),
            "silver_order",
            write=assay.Merge(),
            key="id",
            keep=assay.latest("amount"),
            checks=[assay.between("amount", 0, 100, action="reject")],
        ),
        define(
            lambda silver_order: silver_order.group_by("customer").agg(amount=col("amount").sum()),
            "gold_customer",
            rows=assay.groups("customer", total="amount"),
        ),
    ]


def told(shop: Shop, *key: str) -> list[str]:
    found = assay.where(*key, pipeline=shop.pipeline(*tables()), warehouse=shop.lake)
    return [" ".join(line.split()) for line in story(found)]


def test_the_story_of_a_row_names_its_line_and_what_each_table_did_with_it(shop: Shop) -> None:
    shop.orders(*(f"{n},ann,{n}" for n in range(1, 20)), "20,ann,200", "bad,x", "21,test,5", file="orders1.csv")
    shop.run(*tables(), settings=LENIENT)
    shop.orders("1,ann,7", file="orders2.csv")
    shop.run(*tables(), settings=LENIENT)
    assert told(shop, "id=1") == [
        "line 2 of orders1.csv, delivered on 2024-12-01 to orders, run 1",
        "bronze_order holds it since run 1",
        "silver_order keeps another row of id=1: line 2 of orders2.csv",
        "gold_customer does not get it",
        "",
        "line 2 of orders2.csv, delivered on 2024-12-01 to orders, run 2",
        "bronze_order holds it since run 2",
        "silver_order holds it since run 2",
        "gold_customer counts it in customer=ann",
    ]
    # A value alone is looked for where keys are: an amount of 20 is none.
    assert told(shop, "20")[2] == "silver_order rejected it since run 1: between(amount, 0, 100)"
    assert told(shop, "ID=21")[::2] == [
        "line 23 of orders1.csv, delivered on 2024-12-01 to orders, run 1",
        "silver_order filtered it: a test order",
    ]
    assert told(shop, "bad") == [
        "orders: line 22 of orders1.csv is no row, by run 1: it has 2 fields, and the header has 3",
        "bad,x",
    ]
    assert told(shop, "999") == ["No row that shop was delivered has it, and no bad line."]
    assert [line for line in told(shop, "customer=ann", "amount=7") if line.startswith("line")] == [
        "line 8 of orders1.csv, delivered on 2024-12-01 to orders, run 1",
        "line 2 of orders2.csv, delivered on 2024-12-01 to orders, run 2",
    ]
    assert told(shop, "customer=ann")[-1] == "There are more; --limit shows them, COLUMN=VALUE tells them apart."


def test_a_row_that_is_not_delivered_any_more_is_followed_to_its_end(shop: Shop) -> None:
    shop.orders("1,ann,1", "2,bob,2")
    shop.run(*tables())
    shop.orders("1,ann,1")
    shop.run(*tables())
    assert told(shop, "id=2") == [
        "row 2 of orders.csv, delivered on 2024-12-01 to orders, run 1, gone since run 2",
        "bronze_order held it since run 1, until run 2",
        "silver_order held it since run 1, until run 2",
    ]


def test_a_mended_line_is_told_by_the_line_that_it_mends(shop: Shop) -> None:
    shop.orders("1,ann,1", "two,bob,2", "3,cat,3")
    shop.run(*tables(), settings=LENIENT)
    file = shop.export(*tables())
    file.write_text(file.read_text().replace("two", "2"))
    shop.replay(*tables(), mended=file, settings=LENIENT)
    assert told(shop, "id=2")[0].startswith("line 3 of orders.csv, mended, delivered on ")
    assert told(shop, "id=2")[2] == "silver_order holds it since run 2"


def test_a_line_is_told_also_where_records_run_over_several_lines(shop: Shop) -> None:
    shop.orders('1,"ann\nof",1', "2,bob,2")
    shop.run(*tables())
    assert told(shop, "id=2")[0].startswith("line 4 of orders.csv")


def test_what_cannot_be_looked_for_is_refused(shop: Shop) -> None:
    shop.orders("1,ann,1")
    shop.run(*tables())
    with pytest.raises(UsageError, match="Give one value, or COLUMN=VALUE for each column"):
        told(shop, "1", "2")
