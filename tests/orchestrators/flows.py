"""A small workflow: two pipelines and a task side by side, and what follows from both."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from narwhals import LazyFrame, col

from assay import Pipeline, csv, groups, table
from assay.settings import Settings

DAY = dt.date(2026, 3, 1)
QUICK = Settings(workers=2, retries=1, retry_seconds=0.01)
COLUMNS = {"id": "BIGINT", "amount": "BIGINT"}


@table()
def bronze_rows(rows: LazyFrame[Any]) -> LazyFrame[Any]:
    """Rows as delivered."""
    return rows


@table(rows=groups("name", total="amount"))
def gold_total(bronze_rows: LazyFrame[Any]) -> LazyFrame[Any]:
    """What they come to."""
    return bronze_rows.with_columns(name=col("id") % 2).group_by("name").agg(amount=col("amount").sum())


def pipeline(name: str, folder: Path) -> Pipeline:
    """A pipeline of two layers over one file, whose tables have its name."""
    bronze = bronze_rows.named(f"bronze_{name}")
    gold = gold_total.named(f"gold_{name}", bronze_rows=bronze.name)
    return Pipeline(name, tables=[bronze, gold], sources={"rows": csv(str(folder / f"{name}.csv"), columns=COLUMNS)})


def deliver(name: str, folder: Path, *amounts: object) -> None:
    """Write the file that a pipeline reads."""
    lines = [f"{number},{amount}" for number, amount in enumerate(amounts, 1)]
    (folder / f"{name}.csv").write_text("\n".join(["id,amount", *lines, ""]))
