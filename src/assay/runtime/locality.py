"""Whether a function treats the rows of each key, or every row, apart from all others: read from its own SQL.

A sufficient test: what it does not understand it calls not local, and the table is then computed whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import sqlglot
from sqlglot import exp

from assay.runtime.trace import INPUT

_Columns = tuple[tuple[str, tuple[str, ...]], ...]
"""Columns by name of their input, in a form that a cache can look up."""


class _NotLocalError(Exception):
    """Raised inside this file where a rule does not hold."""


@dataclass(frozen=True, slots=True)
class _Relation:
    """A step of the query: whether it depends on a restricted input, and which columns carry each part of the key."""

    restricted: bool
    columns: tuple[str, ...]
    carriers: tuple[frozenset[str], ...] = field(default=())


def is_local(definition: str, schemas: Mapping[str, Sequence[str]], anchors: Mapping[str, Sequence[str]]) -> bool:
    """Return whether restricting inputs to some rows gives exactly the result's rows that belong to them.

    `schemas` holds the columns of every input by parameter. `anchors` names the inputs that are restricted, with their
    columns that carry the key, in one order; without columns, that each row is treated by itself. With a key, the
    result must carry it in columns of the same names.
    """
    known = tuple((name, tuple(columns)) for name, columns in schemas.items())
    return _is_local(definition, known, tuple((name, tuple(columns)) for name, columns in anchors.items()))


@lru_cache(maxsize=256)
def _is_local(definition: str, schemas: _Columns, anchors: _Columns) -> bool:
    try:
        found = _query(_parsed(definition), {}, _Inputs(dict(schemas), dict(anchors)))
    except (_NotLocalError, sqlglot.errors.SqlglotError, RecursionError):
        # An expression may be nested deeper than Python can follow.
        return False
    key = anchors[0][1] if anchors else ()
    return all(name in carriers for name, carriers in zip(key, found.carriers, strict=True))


def columns_read(definition: str, columns: Sequence[str]) -> frozenset[str]:
    """Return those of an input's columns whose values a function may depend on: all that its text names anywhere.

    All of them where it takes rows whole, or cannot be understood.
    """
    try:
        query = _parsed(definition)
    except (sqlglot.errors.SqlglotError, RecursionError):
        return frozenset(columns)
    tables = {str(table.alias_or_name).lower() for table in query.find_all(exp.Table, exp.CTE)}
    whole_rows = any(not isinstance(star.parent, exp.Count) for star in query.find_all(exp.Star, exp.Columns))
    if whole_rows or any(not column.table and column.name.lower() in tables for column in query.find_all(exp.Column)):
        return frozenset(columns)
    named = {identifier.name.lower() for identifier in query.find_all(exp.Identifier)}
    return frozenset(column for column in columns if column.lower() in named)


@lru_cache(maxsize=256)
def _parsed(definition: str) -> exp.Expr:
    """Parse a definition; what is returned is shared, and only looked at."""
    return sqlglot.parse_one(definition, read="duckdb")


@dataclass(frozen=True, slots=True)
class _Inputs:
    schemas: Mapping[str, Sequence[str]]
    anchors: Mapping[str, Sequence[str]]

    @property
    def by_key(self) -> bool:
        """Whether rows are told apart by a key, rather than each for itself."""
        return any(self.anchors.values())

    def table(self, name: str) -> _Relation:
        parameter = name.removeprefix(INPUT)
        if parameter == name or parameter not in self.schemas:
            raise _NotLocalError
        anchor = self.anchors.get(parameter)
        carriers = tuple(frozenset({column}) for column in anchor or ())
        return _Relation(anchor is not None, tuple(self.schemas[parameter]), carriers)


def _query(query: exp.Expr, known: Mapping[str, _Relation], inputs: _Inputs) -> _Relation:
    known = dict(known)
    for part in query.args.get("with_", query.args.get("with")) or ():
        known[part.alias] = _query(part.this, known, inputs)
    match query:
        case exp.Subquery():
            return _query(query.this, known, inputs)
        case exp.Union() if not query.args.get("distinct"):
            return _union(_query(query.left, known, inputs), _query(query.right, known, inputs))
        case exp.Select():
            return _select(query, known, inputs)
        case _:
            raise _NotLocalError


_OF_ONE_ROW = frozenset(
    {"array_extract", "isfinite", "list_aggregate", "list_filter", "nfc_normalize", "strip_accents", "to_json"}
)
"""Functions unknown to the parser that look at one row only."""
_UNDERSTOOD = {"kind", "hint", "expressions", "from_", "from", "joins", "where", "group", "with_", "with", "order"}


def _select(select: exp.Select, known: Mapping[str, _Relation], inputs: _Inputs) -> _Relation:
    used = {name for name, value in select.args.items() if value}
    if used - _UNDERSTOOD or any(part.find(exp.Subquery, exp.Select) for part in select.expressions):
        raise _NotLocalError
    source = select.args.get("from_", select.args.get("from"))
    if source is None:
        raise _NotLocalError
    sides = {source.this.alias_or_name: _source(source.this, known, inputs)}
    relation = _prefixed(sides)
    for join in select.args.get("joins") or ():
        right = _source(join.this, known, inputs)
        relation = _join(relation, right, join, join.this.alias_or_name)
        sides[join.this.alias_or_name] = right
    where = select.args.get("where")
    if where is not None and where.find(exp.Subquery, exp.Select, exp.Window):
        raise _NotLocalError
    return _project(select, relation, sides, inputs)


def _source(table: exp.Expr, known: Mapping[str, _Relation], inputs: _Inputs) -> _Relation:
    if isinstance(table, exp.Subquery):
        return _query(table.this, known, inputs)
    if not isinstance(table, exp.Table) or table.args.get("db"):
        raise _NotLocalError
    return known[table.name] if table.name in known else inputs.table(table.name)


def _prefixed(sides: Mapping[str, _Relation]) -> _Relation:
    ((alias, relation),) = sides.items()
    return _Relation(
        relation.restricted,
        tuple(f"{alias}.{c}" for c in relation.columns),
        tuple(frozenset(f"{alias}.{c}" for c in part) for part in relation.carriers),
    )


def _join(left: _Relation, right: _Relation, join: exp.Join, alias: str) -> _Relation:
    """Join two sides: where both are restricted, their keys are equated; an outer side carries the key itself."""
    right = _prefixed({alias: right})
    kind, side = (join.args.get("kind") or "").upper(), (join.args.get("side") or "").upper()
    if side not in ("", "LEFT") or kind not in ("", "INNER", "OUTER", "SEMI", "ANTI"):
        raise _NotLocalError
    equal = _equalities(join, left, right)
    columns = left.columns if kind in ("SEMI", "ANTI") else (*left.columns, *right.columns)
    if not left.restricted and not right.restricted:
        return _Relation(False, columns)
    keyed = left.carriers if left.restricted else right.carriers
    if left.restricted and right.restricted and not keyed:
        raise _NotLocalError
    carriers = []
    for n in range(len(keyed)):
        mine = left.carriers[n] if left.restricted else frozenset()
        theirs = right.carriers[n] if right.restricted else frozenset()
        tied_left = {a for a, b in equal if b in theirs}
        if left.restricted and right.restricted and not tied_left & mine:
            raise _NotLocalError
        if not left.restricted and (side == "LEFT" or kind in ("SEMI", "ANTI")) and not tied_left:
            raise _NotLocalError
        carried = mine | tied_left | ({b for a, b in equal if a in mine} if side != "LEFT" else set())
        if side != "LEFT" and kind not in ("SEMI", "ANTI"):
            carried |= theirs
        carriers.append(frozenset(carried & set(columns)))
    if not left.restricted and not keyed and (side == "LEFT" or kind in ("SEMI", "ANTI")):
        # Without a key, a left row's partner may come with any delivery: its own row would then change.
        raise _NotLocalError
    return _Relation(True, columns, tuple(carriers))


def _equalities(join: exp.Join, left: _Relation, right: _Relation) -> list[tuple[str, str]]:
    """Return the pairs of columns, left and right, that the join equates."""
    condition = join.args.get("on")
    if condition is None:
        return []
    if condition.find(exp.Subquery, exp.Select, exp.Window):
        raise _NotLocalError
    pairs = []
    for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
        inner = part.unnest()
        if isinstance(inner, exp.EQ) and isinstance(inner.left, exp.Column) and isinstance(inner.right, exp.Column):
            names = {f"{inner.left.table}.{inner.left.name}", f"{inner.right.table}.{inner.right.name}"}
            mine, theirs = names & set(left.columns), names & set(right.columns)
            if mine and theirs:
                pairs.append((mine.pop(), theirs.pop()))
    return pairs


def _project(select: exp.Select, relation: _Relation, sides: Mapping[str, _Relation], inputs: _Inputs) -> _Relation:
    group = select.args.get("group")
    aggregated = group is not None or any(_aggregates(part) for part in select.expressions)
    if relation.restricted:
        if aggregated:
            _check_group(group, relation, sides, inputs)
        for window in select.find_all(exp.Window):
            _check_apart(list(window.args.get("partition_by") or ()), relation, sides, inputs)
    out: list[tuple[str, str | None]] = []
    for part in select.expressions:
        out += _outputs(part, relation, sides)
    names = tuple(name for name, _ in out)
    carriers = tuple(
        frozenset(name for name, source in out if source is not None and source in part) for part in relation.carriers
    )
    return _Relation(relation.restricted, names, carriers)


def _outputs(part: exp.Expr, relation: _Relation, sides: Mapping[str, _Relation]) -> list[tuple[str, str | None]]:
    """Return the columns that one expression of a select gives, each with the column it is a plain copy of."""
    if isinstance(part, exp.Star) or (isinstance(part, exp.Column) and isinstance(part.this, exp.Star)):
        if any(part.args.get(name) for name in ("except_", "except", "replace", "rename")):
            raise _NotLocalError
        wanted = part.table if isinstance(part, exp.Column) else ""
        return [
            (column.partition(".")[2], column)
            for column in relation.columns
            if not wanted or column.startswith(f"{wanted}.")
        ]
    value = part.this if isinstance(part, exp.Alias) else part
    return [(part.alias_or_name, _resolved(value, sides))]


def _check_group(group: exp.Group | None, relation: _Relation, sides: Mapping[str, _Relation], inputs: _Inputs) -> None:
    if group is None or any(group.args.get(name) for name in ("all", "cube", "rollup", "grouping_sets", "totals")):
        raise _NotLocalError
    _check_apart(group.expressions, relation, sides, inputs)


def _check_apart(by: list[exp.Expr], relation: _Relation, sides: Mapping[str, _Relation], inputs: _Inputs) -> None:
    """Raise where rows of several keys are put together."""
    columns = {_resolved(part, sides) for part in by}
    if not inputs.by_key or any(not columns & carriers for carriers in relation.carriers):
        raise _NotLocalError


def _aggregates(part: exp.Expr) -> bool:
    """Return whether rows are put together; raises for a function that may do so unknown to the parser."""
    for function in part.find_all(exp.Anonymous):
        if function.name.lower() not in _OF_ONE_ROW:
            raise _NotLocalError
    return any(not isinstance(found.parent, exp.Window) for found in part.find_all(exp.AggFunc))


def _resolved(value: exp.Expr, sides: Mapping[str, _Relation]) -> str | None:
    """Return the column that an expression is a plain copy of, as side.column; None for anything else."""
    value = value.unnest()
    if not isinstance(value, exp.Column):
        return None
    owners = [value.table] if value.table else [a for a, side in sides.items() if value.name in side.columns]
    return f"{owners[0]}.{value.name}" if len(owners) == 1 else None


def _union(left: _Relation, right: _Relation) -> _Relation:
    if len(left.columns) != len(right.columns):
        raise _NotLocalError
    if not (left.restricted and right.restricted):
        one = left if left.restricted else right
        return _Relation(one.restricted, left.columns, _positions(one, left.columns))
    both = zip(_positions(left, left.columns), _positions(right, left.columns), strict=True)
    return _Relation(True, left.columns, tuple(a & b for a, b in both))


def _positions(relation: _Relation, names: tuple[str, ...]) -> tuple[frozenset[str], ...]:
    return tuple(
        frozenset(new for old, new in zip(relation.columns, names, strict=True) if old in part)
        for part in relation.carriers
    )
