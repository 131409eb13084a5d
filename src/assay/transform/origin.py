"""Where a row came from: the columns that every source gives its rows, and how positions follow a stack."""

from __future__ import annotations

from typing import Any

from narwhals import Expr, LazyFrame, col, concat, when

from assay.model.errors import DeclarationError
from assay.model.source import EXTRACTED_ON, PART_BIT, POSITION, SLICE_BIT, SOURCE_FILE

_DATED = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])([/.]|$)"
_PARTS = 1 << (SLICE_BIT - PART_BIT)


def position() -> Expr:
    """Return the row's position in its source: delivery, part, row. Select it where `keep=` or a number needs it."""
    return col(POSITION)


def source_file() -> Expr:
    """Return the name of the file that delivered the row (relative to the source's root), as text."""
    return col(SOURCE_FILE)


def extracted_on() -> Expr:
    """Return the as-of date of the run that delivered the row; it stays when the row is computed again."""
    return col(EXTRACTED_ON)


def partition_date() -> Expr:
    """Return the DATE that the name of the row's file begins with, as in 2025-01-31/data.parquet; null without one.

    The name counts from the folder before the first wildcard of the source's path: day folders stand right behind it.
    """
    name = col(SOURCE_FILE)
    return when(name.str.contains(_DATED)).then(name.str.slice(0, 10)).str.to_date(format="%Y-%m-%d")


def stack(*frames: LazyFrame[Any]) -> LazyFrame[Any]:
    """Put frames of one source under each other: in each delivery, all rows of the first come before the second's.

    The frames have the same columns, `position()` among them. Raises DeclarationError for more than 32.
    """
    if len(frames) > _PARTS:
        raise DeclarationError(f"stack() takes at most {_PARTS} frames.")
    return concat(
        [frame.with_columns(col(POSITION) + (part << PART_BIT)) if part else frame for part, frame in enumerate(frames)]
    )
