"""A graph with a table that fails twice before it passes, and one that never does until it is mended."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narwhals import LazyFrame

from assay import Pipeline, csv, free, table
from tests.orchestrators.orders import COLUMNS

FOLDER = "FLAKY_FOLDER"
"""The variable that names where attempts are counted, for whatever process makes them."""
MENDED = "mended"
"""The file in that folder which mends what fails."""
FLAKY_FAILURES = 2
PASSWORD = "hunter2"  # pragma: allowlist secret
"""What an error says and nobody may be told."""

OUTCOMES: Mapping[str, str] = {
    "bronze_order": "written",
    "silver_flaky": "written",
    "silver_broken": "failed",
    "silver_other": "written",
    "gold_flaky": "written",
    "gold_broken": "blocked",
    "gold_both": "blocked",
}
"""How each table ends, whoever runs the graph with two retries."""


def attempts(name: str) -> int:
    """Return how often a table's function was called on rows."""
    return len(_counted(name).read_text()) if _counted(name).exists() else 0


@table()
def bronze_order(orders: LazyFrame[Any]) -> LazyFrame[Any]:
    return orders


@table(key="id")
def silver_flaky(bronze_order: LazyFrame[Any]) -> LazyFrame[Any]:
    if _has_rows(bronze_order) and (number := _count("silver_flaky")) <= FLAKY_FAILURES:
        raise ConnectionError(f"connection {number} was lost")
    return bronze_order


@table(key="id")
def silver_broken(bronze_order: LazyFrame[Any]) -> LazyFrame[Any]:
    if _has_rows(bronze_order) and _count("silver_broken") and not _counted(MENDED).exists():
        raise ConnectionError(f"postgresql://someone:{PASSWORD}@nowhere/ is away")
    return bronze_order


@table(key="id")
def silver_other(bronze_order: LazyFrame[Any]) -> LazyFrame[Any]:
    return bronze_order


@table()
def gold_flaky(silver_flaky: LazyFrame[Any]) -> LazyFrame[Any]:
    return silver_flaky


@table()
def gold_broken(silver_broken: LazyFrame[Any]) -> LazyFrame[Any]:
    return silver_broken


@table(rows=free("both have them"))
def gold_both(gold_broken: LazyFrame[Any], silver_other: LazyFrame[Any]) -> LazyFrame[Any]:
    return gold_broken.join(silver_other.select("id"), on="id", how="semi")


flaky = Pipeline(
    "flaky",
    tables=[bronze_order, silver_flaky, silver_broken, silver_other, gold_flaky, gold_broken, gold_both],
    sources={"orders": csv("orders.csv", columns=COLUMNS)},
)


def _has_rows(frame: LazyFrame[Any]) -> bool:
    """Tell a run from the look that is taken at what a function does, on frames without rows."""
    return len(frame.head(1).collect()) > 0


def _count(name: str) -> int:
    with _counted(name).open("a") as calls:
        calls.write("x")
    return attempts(name)


def _counted(name: str) -> Path:
    return Path(os.environ[FOLDER], name)
