"""Choosing one row of each key, by an order that leaves no tie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
from narwhals import LazyFrame, col

from assay.model.source import POSITION
from assay.model.write import FirstInSource, Keep, Latest

REPEATS = "_assay_repeats"
FIRST = "_assay_first"


def repeated(frame: LazyFrame[Any], key: Sequence[str], *, placed: bool) -> LazyFrame[Any]:
    """Return the keys that several rows have, with how many, and the first position of them where rows are placed."""
    counts = {REPEATS: nw.len()} | ({FIRST: col(POSITION).min()} if placed else {})
    return frame.group_by(*key).agg(**counts).filter(col(REPEATS) > 1)


def keep_first(frame: LazyFrame[Any], key: Sequence[str], repeats: LazyFrame[Any]) -> LazyFrame[Any]:
    """Return one row for each value of the key, the first by position, given what `repeated` found.

    Much less work than an order over all rows where few keys repeat. Positions must be unique; neither they nor the
    repeated keys may be null.
    """
    joined = frame.join(repeats.select(*key, FIRST), on=list(key), how="left")
    return joined.filter(col(FIRST).is_null() | (col(POSITION) == col(FIRST))).drop(FIRST)


def keep_one(
    frame: LazyFrame[Any], key: Sequence[str], keep: Keep, columns: Sequence[str], *, position_is_unique: bool
) -> LazyFrame[Any]:
    """Return one row for each value of the key.

    `columns` are all of the frame's. Where positions may repeat, the columns that are neither key nor order break
    the last ties, so that the choice never depends on how an engine happens to present the rows.
    """
    order = [POSITION] if POSITION in columns else []
    if isinstance(keep, Latest):
        order = [keep.column, *order]
    if POSITION not in order or not position_is_unique:
        order += [name for name in columns if name not in order and name not in key]
    # Ascending with nulls first on every engine: the last row has the largest value, the last position.
    return frame.unique(subset=list(key), keep="first" if isinstance(keep, FirstInSource) else "last", order_by=order)
