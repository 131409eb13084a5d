"""Which columns hold surrogate numbers, and of which table: followed through the SQL that functions become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from assay.model.check import References
from assay.model.pipeline import Pipeline
from assay.model.table import Node, Table
from assay.model.write import Merge
from assay.runtime.tracing.trace import INPUT, Traced

Numbers = Mapping[str, Mapping[str, str]]
"""Node -> column -> the table that has given the numbers in it."""

_ONE_OF_ITS_VALUES = (
    exp.Min,
    exp.Max,
    exp.AnyValue,
    exp.First,
    exp.Last,
    exp.FirstValue,
    exp.LastValue,
    exp.Lag,
    exp.Lead,
)
"""Functions that return one of the values they are given."""


class _ComputedError(Exception):
    """Raised inside this file where a value is more than a copy of others."""


def numbers_of(pipeline: Pipeline, traced: Mapping[str, Traced]) -> Numbers:
    """Return the columns that hold numbers: those of the tables themselves, copies of them, and declared references."""
    found: dict[str, Mapping[str, str]] = {name: {} for name in pipeline.sources}
    for name, node in pipeline.nodes.items():
        columns = _copied(node, traced, found)
        if isinstance(node, Table):
            if isinstance(node.write, Merge) and node.write.surrogate:
                columns[node.write.surrogate] = name
            columns |= _referred(node, pipeline)
        found[name] = columns
    return found


def _referred(table: Table, pipeline: Pipeline) -> dict[str, str]:
    """Return the columns of which a check says that they refer to another table's numbers."""
    found = {}
    for check in table.checks:
        if isinstance(check, References):
            write = pipeline.tables[check.other].write
            if isinstance(write, Merge) and write.surrogate == check.other_column:
                found[check.column] = check.other
    return found


def _copied(node: Node, traced: Mapping[str, Traced], known: Numbers) -> dict[str, str]:
    """Return the columns of a function's result that are copies of numbers it reads."""
    given = {f"{INPUT}{parameter}": known[name] for parameter, name in node.inputs.items()}
    if not any(given.values()):
        return {}
    schema: dict[str, object] = {
        f"{INPUT}{parameter}": {column.name: column.type for column in traced[name].seen}
        for parameter, name in node.inputs.items()
    }
    try:
        query = qualify(sqlglot.parse_one(traced[node.name].definition, read="duckdb"), schema=schema, dialect="duckdb")
    except sqlglot.errors.SqlglotError:
        return {}
    scope = build_scope(query)
    found: dict[str, str] = {}
    if scope is None:
        return found
    for column in traced[node.name].schema.names:
        try:
            tables = set(_tables(scope, column, given))
        except _ComputedError:
            continue
        if len(tables) == 1:
            found[column] = tables.pop()
    return found


def _tables(scope: Scope, column: str, given: Numbers) -> Iterator[str]:
    """Yield the tables whose numbers a column of a query holds; raises where it holds anything else."""
    query = scope.expression
    if not isinstance(query, exp.Query):
        raise _ComputedError
    # Of a union, `selects` are those of its first side.
    places = [n for n, part in enumerate(query.selects) if part.alias_or_name.lower() == column.lower()]
    if len(places) != 1:
        raise _ComputedError
    for side in scope.set_operation_scopes:
        assert isinstance(side.expression, exp.Query)
        yield from _tables(side, side.expression.selects[places[0]].alias_or_name, given)
    if scope.set_operation_scopes:
        return
    for copied in _values(query.selects[places[0]]):
        source = scope.sources.get(copied.table)
        if isinstance(source, Scope):
            yield from _tables(source, copied.name, given)
        elif isinstance(source, exp.Table):
            numbers = {name.lower(): table for name, table in given.get(source.name, {}).items()}
            if copied.name.lower() not in numbers:
                raise _ComputedError
            yield numbers[copied.name.lower()]
        else:
            raise _ComputedError


def _values(part: exp.Expr) -> Iterator[exp.Column]:
    """Yield the columns of which an expression returns a value; beside them it may return constants: -1 for unknown."""
    match part:
        case exp.Column():
            yield part
        case exp.Literal() | exp.Null() | exp.Neg(this=exp.Literal()):
            return
        case exp.Coalesce():
            for each in (part.this, *part.expressions):
                yield from _values(each)
        case exp.Case():
            branches = [branch.args["true"] for branch in part.args["ifs"]]
            for each in (*branches, *([part.args["default"]] if part.args.get("default") else [])):
                yield from _values(each)
        case exp.Alias() | exp.Paren() | exp.Cast() | exp.Window() | exp.Filter() | exp.IgnoreNulls():
            yield from _values(part.this)
        case _ if isinstance(part, _ONE_OF_ITS_VALUES):
            yield from _values(part.this)
        case _:
            raise _ComputedError
