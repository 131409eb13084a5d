"""A column that a function returns for a check alone: it judges rows by another table, and is not stored."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from narwhals import col, lit

import assay
from assay import DeclarationError, csv, first_in_source, flagged, lookup, position, table
from assay.settings import Settings

ITEM = {"id": "BIGINT", "shop": "VARCHAR"}


@table(key="name")
def silver_shop(shops: Any) -> Any:
    """The shops."""
    return shops.select("name")


@table(
    key="id",
    keep=first_in_source(),
    rows=lookup("silver_shop"),
    checks=[flagged("is_orphan", "its shop is unknown"), flagged("is_old", "it is old", action="warn")],
)
def silver_item(items: Any, silver_shop: Any) -> Any:
    """What shops that are known sell."""
    known = silver_shop.select(col("name").alias("shop"), lit(value=False).alias("is_orphan"))
    found = items.join(known, on="shop", how="left").with_columns(col("is_orphan").fill_null(value=True))
    return found.select("id", "shop", "is_orphan", (col("id") < 2).alias("is_old"), position())


def run(folder: Path, *tables: Any, **settings: Any) -> Any:
    sources = {
        "shops": csv(str(folder / "shops*.csv"), columns={"name": "VARCHAR"}),
        "items": csv(str(folder / "items.csv"), columns=ITEM),
    }
    pipeline = assay.Pipeline("shop", tables=tables or [silver_shop, silver_item], sources=sources, rejected_share=0.5)
    settings = {"workers": 2, "retries": 0, **settings}
    return assay.run(pipeline, warehouse=folder / "lake", as_of=dt.date(2025, 1, 1), settings=Settings(**settings))


def query(folder: Path, text: str) -> list[tuple[Any, ...]]:
    with assay.connect(folder / "lake") as lake:
        return lake.sql(text).fetchall()


def test_rows_are_refused_by_what_another_table_holds_and_come_back_when_it_does(tmp_path: Path) -> None:
    (tmp_path / "shops.csv").write_text("name\nnorth\n")
    (tmp_path / "items.csv").write_text("id,shop\n1,north\n2,south\n3,north\n")
    result = run(tmp_path)
    assert [(v.check, v.action, v.broken) for v in result.tables["silver_item"].verdicts if v.broken] == [
        ("its shop is unknown", "reject", 1),
        ("it is old", "warn", 1),
    ]
    assert query(tmp_path, "select * from silver.item order by id") == [(1, "north"), (3, "north")]
    ((row, reasons),) = query(tmp_path, "select row, reasons from meta.quarantine where stands")
    assert (json.loads(row), json.loads(reasons)) == ({"id": 2, "shop": "south"}, ["its shop is unknown"])
    (tmp_path / "shops2.csv").write_text("name\nsouth\n")
    run(tmp_path)
    assert query(tmp_path, "select id from silver.item order by id") == [(1,), (2,), (3,)]
    assert query(tmp_path, "select count(*) from meta.quarantine where stands") == [(0,)]


def test_the_share_that_a_pipeline_declares_takes_the_place_of_the_setting(tmp_path: Path) -> None:
    (tmp_path / "shops.csv").write_text("name\nnorth\n")
    (tmp_path / "items.csv").write_text("id,shop\n1,east\n2,south\n3,north\n")
    result = run(tmp_path, rejected_share=1.0)
    assert result.problems == (
        "silver_item: 2 of 3 rows (66.7%) were rejected, more than 50.0% (the pipeline's rejected_share)",
    )


@pytest.mark.parametrize("key", ["is_orphan", "shop"])
def test_a_flag_is_a_boolean_of_its_own(tmp_path: Path, key: str) -> None:
    @table(key=key, checks=[flagged("is_orphan" if key == "is_orphan" else "shop", "it is wrong")])
    def silver_item(items: Any) -> Any:
        return items.with_columns(is_orphan=lit(value=True))

    with pytest.raises(DeclarationError, match=r"flagged\('.*'\) needs a BOOLEAN column of its own"):
        run(tmp_path, silver_item)
