"""The text of what a function computes, parsed, and the columns of its inputs that it names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import sqlglot
from sqlglot import exp

_UNNAMED = (exp.Columns, exp.PositionalColumn, exp.Pivot)
"""May read columns that they do not name."""


@lru_cache(maxsize=256)
def parsed(definition: str) -> exp.Expr:
    """Parse a definition; what is returned is shared, and only looked at. Raises what sqlglot raises."""
    return sqlglot.parse_one(definition, read="duckdb")


def columns_read(definition: str, columns: Sequence[str]) -> frozenset[str]:
    """Return those of an input's columns whose values a function may depend on: all that its text names anywhere.

    All of them where it takes rows whole, or cannot be understood.
    """
    try:
        query = parsed(definition)
    except (sqlglot.errors.SqlglotError, RecursionError):
        return frozenset(columns)
    tables = {str(table.alias_or_name).lower() for table in query.find_all(exp.Table, exp.CTE)}
    whole_rows = any(not isinstance(found.parent, exp.Count) for found in query.find_all(exp.Star, *_UNNAMED))
    # A natural join is by all columns that both sides have.
    whole_rows = whole_rows or any(join.method for join in query.find_all(exp.Join))
    if whole_rows or any(not column.table and column.name.lower() in tables for column in query.find_all(exp.Column)):
        return frozenset(columns)
    named = {identifier.name.lower() for identifier in query.find_all(exp.Identifier)}
    return frozenset(column for column in columns if column.lower() in named)
