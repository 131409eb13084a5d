"""Conditions of which any may hold, for tables of any width."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals as nw
from narwhals import Expr, lit

_AT_ONCE = 30
"""Each one more nests an expression one deeper, and Python goes down a thousand at most."""


def any_of(conditions: Sequence[Expr]) -> Expr:
    """Return whether any of the conditions holds; one that is null does not."""
    if not conditions:
        return lit(value=False)
    groups = [conditions[n : n + _AT_ONCE] for n in range(0, len(conditions), _AT_ONCE)]
    found = [nw.any_horizontal(*group, ignore_nulls=True) for group in groups]
    return any_of(found) if len(found) > 1 else found[0]
