"""A graph with a table that waits, so that its run can be seen, and ended, in the middle."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from narwhals import LazyFrame

from assay import Pipeline, csv, table
from tests.orchestrators.orders import COLUMNS

FOLDER = "SLOW_FOLDER"
"""The variable that names where the table tells which process waits, and looks for what lets it go."""
WAITS, GO = "waits", "go"


@table()
def bronze_order(orders: LazyFrame[Any]) -> LazyFrame[Any]:
    return orders


@table(key="id")
def silver_order(bronze_order: LazyFrame[Any]) -> LazyFrame[Any]:
    folder = Path(os.environ[FOLDER])
    # Not where a look is taken at what it does, on frames without rows.
    if len(bronze_order.head(1).collect()):
        (folder / WAITS).write_text(str(os.getpid()))
        while not (folder / GO).exists():
            time.sleep(0.05)
    return bronze_order


slow = Pipeline("slow", tables=[bronze_order, silver_order], sources={"orders": csv("orders.csv", columns=COLUMNS)})
