"""Whether a frame's rows stand for groups of an input's rows, or each for one of them: read from its own SQL."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.scope import Scope, build_scope


def is_grouped(definition: str, read: str) -> bool:
    """Return whether no row of an input reaches a frame but through a GROUP BY; both are given as definitions.

    What cannot be understood counts as grouped.
    """
    try:
        scope, base = _scope(definition), _scope(read)
    except (sqlglot.errors.SqlglotError, RecursionError):
        return True
    if scope is None or base is None:
        return True
    inputs = {_place(table) for each in base.traverse() for table in each.tables}
    return not _has_rows_of(scope, inputs, set())


def _has_rows_of(scope: Scope, inputs: set[str], seen: set[int]) -> bool:
    if id(scope) in seen or scope.expression.args.get("group"):
        return False
    seen.add(id(scope))
    sources = [source for _, source in scope.selected_sources.values()]
    return any(
        _has_rows_of(source, inputs, seen) if isinstance(source, Scope) else _place(source) in inputs
        for source in (*sources, *scope.set_operation_scopes)
    )


def _scope(definition: str) -> Scope | None:
    return build_scope(sqlglot.parse_one(definition, read="duckdb"))


def _place(table: exp.Expression) -> str:
    """Return what is read, files or a table, whatever it is called."""
    return str(table.this.sql("duckdb"))
