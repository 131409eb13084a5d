"""Dropping rows so that they are counted: the only way a table with a stated grain may lose any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from narwhals import Expr, LazyFrame


@dataclass(frozen=True, slots=True, eq=False)
class Dropped:
    """Rows that a function dropped: the frame before, which of its rows went, and the frame of those that stayed."""

    reason: str
    before: LazyFrame[Any]
    gone: Expr
    after: LazyFrame[Any]


_COLLECTOR: ContextVar[list[Dropped] | None] = ContextVar("dropped", default=None)


def drop_where(frame: LazyFrame[Any], reason: str, expr: Expr) -> LazyFrame[Any]:
    """Return the frame without the rows for which the expression is true; null keeps the row.

    In a run the rows are counted in the ledger as *filtered*, under the reason.
    """
    gone = expr.fill_null(value=False)
    kept = frame.filter(~gone)
    collected = _COLLECTOR.get()
    if collected is not None:
        collected.append(Dropped(reason, frame, gone, kept))
    return kept


@contextmanager
def collecting() -> Iterator[list[Dropped]]:
    """Collect what is dropped by functions called inside."""
    dropped: list[Dropped] = []
    token = _COLLECTOR.set(dropped)
    try:
        yield dropped
    finally:
        _COLLECTOR.reset(token)
