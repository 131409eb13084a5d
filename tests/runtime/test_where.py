"""Where a row is: the line that brought it, the tables that hold it and since when, and why others do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from narwhals import col

import assay
from assay.model.errors import UsageError
from assay.observe.fate import story
from tests.conformance.processes import call
from tests.conformance.project import make
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


KINDS = {
    "id": "BIGINT",
    "price": "DECIMAL(12,2)",
    "on": "DATE",
    "at": "TIMESTAMP",
    "paid": "BOOLEAN",
    "share": "DOUBLE",
}


FOUND = {
    "price=10.5": [2],
    "price=10.50": [2],
    "price=1.05e1": [2],
    # It would be rounded to a price that is there.
    "price=10.504": [],
    "id=2.4": [],
    "id=+2": [3],
    "on=2024-3-1": [2, 3],
    "on=2024/03/01": [2, 3],
    "on=2024-03-01 08:00": [],
    "at=2024-03-01T08:00": [3],
    "at=2024-03-01": [2],
    "paid=yes": [3],
    "paid=TRUE": [3],
    "share=.250": [2],
    "share=25e-2": [2],
    "code=007": [2],
    "code=7": [],
    "id=none": [],
}
"""What is asked for, and the lines at which it stands."""


def test_a_value_is_found_however_it_is_written(shop: Shop) -> None:
    source = assay.csv("prices.csv", columns={**KINDS, "code": "VARCHAR"})
    file = shop.deliver(
        "prices.csv",
        ",".join([*KINDS, "code"]),
        "1,10.50,2024-03-01,2024-03-01 00:00:00,false,0.25,007",
        "2,10.51,2024-03-01,2024-03-01 08:00:00,true,0.5,7a",
    )
    table = define(lambda prices: prices, "bronze_price")
    pipeline = assay.Pipeline("prices", tables=[table], sources={"prices": source}).reading({"prices": str(file)})
    assert assay.run(pipeline, warehouse=shop.lake, settings=SETTINGS).ok
    trails = {key: assay.where(key, pipeline=pipeline, warehouse=shop.lake).trails for key in FOUND}
    assert {key: [trail.place.line for trail in found] for key, found in trails.items()} == FOUND
    assert {trail.steps[0].kind for found in trails.values() for trail in found} == {"holds"}


def test_where_no_pipeline_is_named_it_is_said_what_to_type(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.inbox)
    shop.orders("1,ann,1")
    shop.run(*tables())
    with pytest.raises(UsageError) as unnamed:
        assay.where("customer=ann b", warehouse="../lake")
    assert str(unnamed.value) == (
        "The warehouse has tables of the pipeline 'shop', which assay.toml does not name. Type where it is: "
        "`assay where 'customer=ann b' --warehouse ../lake --pipeline MODULE:OBJECT`, such as shop:shop."
    )
    shop.run(shop.pipeline(define(lambda orders: orders, "bronze_other"), name="other"))
    with pytest.raises(UsageError) as several:
        assay.where("1", warehouse="../lake")
    assert str(several.value) == (
        "The warehouse has tables of other, shop. Type `assay where 1 --warehouse ../lake --pipeline other`, "
        "or another of them."
    )


def test_the_one_pipeline_of_a_lake_is_found_whatever_assay_toml_calls_it(tmp_path: Path) -> None:
    folder = make(tmp_path / "project")
    (folder / "assay.toml").write_text('warehouse = "lake"\n[pipelines]\nnightly = "shop_orders:orders"\n')
    assert call("run", "nightly", cwd=folder).returncode == 0
    end = call("where", "amount=.2", cwd=folder)
    assert (end.returncode, end.stdout.splitlines()[0].split(",")[0]) == (0, "line 3 of a.csv"), end.stderr


def test_what_cannot_be_looked_for_is_refused(shop: Shop) -> None:
    shop.orders("1,ann,1")
    shop.run(*tables())
    with pytest.raises(UsageError, match="Give one value, or COLUMN=VALUE for each column"):
        told(shop, "1", "2")
