"""Values that are missing: what stands in their place, or goes with them."""

from __future__ import annotations

from typing import Any, Literal, assert_never

import narwhals as nw
from narwhals import LazyFrame, col

from assay.transform.drop import drop_where

How = Literal["drop", "value", "mean", "median", "mode", "forward", "backward"]
_FOUND = "_assay_found"


def fill_missing(
    frame: LazyFrame[Any], column: str, how: How, *, value: Any = None, order_by: str | None = None
) -> LazyFrame[Any]:
    """Return the frame without nulls in the column, as far as there is something to fill them with.

    drop: their rows go, and are counted. value: `value` takes their place. mean, median: of the column, as DOUBLE.
    mode: its most frequent value, the smallest of several. forward, backward: the value before or behind, in the order
    of the column `order_by`.
    """
    match how:
        case "drop":
            return drop_where(frame, f"no {column}", col(column).is_null())
        case "value":
            return frame.with_columns(col(column).fill_null(value))
        case "mean" | "median":
            number = col(column).cast(nw.Float64())
            found = frame.select((number.mean() if how == "mean" else number.median()).alias(_FOUND))
            return _filled(frame.with_columns(number), column, found)
        case "mode":
            counts = frame.filter(~col(column).is_null()).group_by(column).agg(_assay_n=nw.len())
            most = counts.sort("_assay_n", column, descending=[True, False]).head(1)
            return _filled(frame, column, most.select(col(column).alias(_FOUND)))
        case "forward" | "backward":
            if order_by is None:
                raise ValueError(f"fill_missing({column!r}, {how!r}) needs order_by=, the column that rows follow.")
            return frame.with_columns(col(column).fill_null(strategy=how).over(order_by=order_by))
        case _:
            assert_never(how)


def _filled(frame: LazyFrame[Any], column: str, found: LazyFrame[Any]) -> LazyFrame[Any]:
    """Fill in the one value found; where there is none, no row goes."""
    one = found.select(col(_FOUND).max())
    return frame.join(one, how="cross").with_columns(nw.coalesce(col(column), col(_FOUND)).alias(column)).drop(_FOUND)
