"""Pipelines of a few tables, traced by a small engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from assay import Pipeline, csv, table
from assay.engines.duckdb.engine import DuckDbEngine
from assay.model.source import Source
from assay.model.table import Node, Table
from assay.runtime.tracing.trace import Traced, trace

ORDERS = csv(
    "orders.csv",
    columns={"order_id": "BIGINT", "customer": "VARCHAR", "amount": "DECIMAL(12,2)", "ordered_on": "DATE"},
)


def declared(name: str, function: Callable[..., Any], **declaration: Any) -> Table:
    """A table of a function without a name of its own."""

    def named(orders: Any) -> Any:
        return function(orders)

    named.__name__ = name
    return table(**declaration)(named)


@contextmanager
def small_engine() -> Iterator[DuckDbEngine]:
    engine = DuckDbEngine(threads=1, memory_limit="500MB")
    try:
        yield engine
    finally:
        engine.close()


def traced(*nodes: Node, sources: Mapping[str, Source] | None = None) -> Mapping[str, Traced]:
    pipeline = Pipeline("shop", tables=nodes, sources=sources or {"orders": ORDERS})
    with small_engine() as engine:
        return trace(pipeline, engine)
