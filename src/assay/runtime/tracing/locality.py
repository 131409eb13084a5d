"""Whether a function treats the rows of each key, or every row, apart from all others: read from its own SQL.

A sufficient test: what it does not understand it calls not local, and the table is then computed whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeGuard

import sqlglot
from sqlglot import exp

from assay.runtime.tracing.parsing import parsed
from assay.runtime.tracing.trace import INPUT
from assay.runtime.tracing.understood import is_understood

Kinds = Mapping[str, str]
"""Columns of a relation, in order, each with its kind of value: of one kind are those that `=` compares as they are."""
_Kinds = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
_Anchors = tuple[tuple[str, tuple[str, ...]], ...]
"""What is asked, in a form that a cache can look up."""


class _NotLocalError(Exception):
    """Raised inside this file where a rule does not hold."""


@dataclass(frozen=True, slots=True)
class _Relation:
    """A step of the query: whether it depends on a restricted input, and which columns carry each part of the key."""

    restricted: bool
    columns: tuple[str, ...]
    carriers: tuple[frozenset[str], ...] = field(default=())
    merged: frozenset[str] = field(default=frozenset())
    """Columns that a star leaves out: those of a right side that USING equates."""
    kinds: Kinds = field(default_factory=dict)
    """By column, as far as they are known: not of what is computed."""


def is_local(definition: str, schemas: Mapping[str, Kinds], anchors: Mapping[str, Sequence[str]]) -> bool:
    """Return whether restricting inputs to some rows gives exactly the result's rows that belong to them.

    `schemas` holds the columns of every input by parameter, each with its type. `anchors` names the inputs that are
    restricted, with their columns that carry the key, in one order; without columns, that each row is treated by
    itself. With a key, the result must carry it in columns of the same names.
    """
    known = tuple((name, tuple(columns.items())) for name, columns in schemas.items())
    return _is_local(definition, known, tuple((name, tuple(columns)) for name, columns in anchors.items()))


@lru_cache(maxsize=256)
def _is_local(definition: str, schemas: _Kinds, anchors: _Anchors) -> bool:
    try:
        query = parsed(definition)
        if not is_understood(query):
            return False
        found = _query(query, {}, _Inputs({name: dict(columns) for name, columns in schemas}, dict(anchors)))
    except (_NotLocalError, sqlglot.errors.SqlglotError, RecursionError):
        # An expression may be nested deeper than Python can follow.
        return False
    key = anchors[0][1] if anchors else ()
    return found.restricted and all(name in carriers for name, carriers in zip(key, found.carriers, strict=True))


@dataclass(frozen=True, slots=True)
class _Inputs:
    schemas: Mapping[str, Kinds]
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
        kinds = self.schemas[parameter]
        return _Relation(anchor is not None, tuple(kinds), carriers, kinds=kinds)


def _query(query: exp.Expr, known: Mapping[str, _Relation], inputs: _Inputs) -> _Relation:
    known = dict(known)
    for part in query.args.get("with_") or ():
        known[part.alias.lower()] = _query(part.this, known, inputs)
    match query:
        case exp.Subquery():
            return _query(query.this, known, inputs)
        case exp.Union():
            return _union(_query(query.left, known, inputs), _query(query.right, known, inputs))
        case exp.Select():
            return _select(query, known, inputs)
        case _:
            raise _NotLocalError


_OF_ONE_ROW = frozenset(
    {"array_extract", "isfinite", "list_aggregate", "list_filter", "nfc_normalize", "strip_accents", "to_json"}
)
"""Functions unknown to the parser that look at one row only."""
_UNTOLD = "*"
"""Stands for columns whose names and number only the engine knows; where those behind them stand, is unknown too."""
_MANY = (exp.Columns, exp.Explode, exp.Unnest)
"""May give several columns: that of a struct gives one for each of its fields."""


def _select(select: exp.Select, known: Mapping[str, _Relation], inputs: _Inputs) -> _Relation:
    source = select.args.get("from_")
    if source is None:
        raise _NotLocalError
    sides = {source.this.alias_or_name: _source(source.this, known, inputs)}
    relation = _prefixed(sides)
    for join in select.args.get("joins") or ():
        alias, right = join.this.alias_or_name, _source(join.this, known, inputs)
        if alias in sides:
            raise _NotLocalError
        relation = _join(relation, right, join, alias)
        sides[alias] = right
    return _project(select, relation, sides, inputs)


def _source(table: exp.Expr, known: Mapping[str, _Relation], inputs: _Inputs) -> _Relation:
    if isinstance(table, exp.Subquery):
        return _query(table, known, inputs)
    if not isinstance(table, exp.Table):
        raise _NotLocalError
    return known.get(table.name.lower()) or inputs.table(table.name)


def _prefixed(sides: Mapping[str, _Relation]) -> _Relation:
    ((alias, relation),) = sides.items()
    return _Relation(
        relation.restricted,
        tuple(f"{alias}.{c}" for c in relation.columns),
        tuple(frozenset(f"{alias}.{c}" for c in part) for part in relation.carriers),
        kinds={f"{alias}.{c}": kind for c, kind in relation.kinds.items()},
    )


def _join(left: _Relation, right: _Relation, join: exp.Join, alias: str) -> _Relation:
    """Join two sides: where both are restricted, their keys are equated; an outer side carries the key itself."""
    right = _prefixed({alias: right})
    kind, side = (join.args.get("kind") or "").upper(), (join.args.get("side") or "").upper()
    if side not in ("", "LEFT") or kind not in ("", "INNER", "OUTER", "SEMI", "ANTI"):
        raise _NotLocalError
    equal = _equalities(join, left, right)
    columns = left.columns if kind in ("SEMI", "ANTI") else (*left.columns, *right.columns)
    merged = left.merged | {f"{alias}.{column.name}" for column in join.args.get("using") or ()}
    kinds = {**left.kinds, **right.kinds}
    if not left.restricted and not right.restricted:
        return _Relation(False, columns, merged=merged, kinds=kinds)
    # A left row stands without a partner too.
    alone = side == "LEFT" or kind == "ANTI"
    both = left.restricted and right.restricted
    keyed = left.carriers if left.restricted else right.carriers
    if (both and not keyed) or (not left.restricted and (alone or (kind == "SEMI" and not keyed))):
        # A left row's partner may come with any delivery: its own row would then change.
        raise _NotLocalError
    carriers = []
    for n in range(len(keyed)):
        mine = left.carriers[n] if left.restricted else frozenset()
        theirs = right.carriers[n] if right.restricted else frozenset()
        tied = {a for a, b in equal if b in theirs}
        if (both and not tied & mine) or (kind == "SEMI" and not left.restricted and not tied):
            raise _NotLocalError
        carried = mine if alone else mine | theirs | tied | {b for a, b in equal if a in mine}
        carriers.append(frozenset(carried & set(columns)))
    return _Relation(True, columns, tuple(carriers), merged, kinds)


def _equalities(join: exp.Join, left: _Relation, right: _Relation) -> list[tuple[str, str]]:
    """Return the pairs of columns, left and right, that the join equates.

    Not those of two kinds, of which one is cast: '1' and '01' are both equal to 1, and so no key of their own.
    """
    condition = join.args.get("on")
    if condition is None:
        return []
    pairs = []
    for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
        inner = part.unnest()
        if isinstance(inner, exp.EQ) and _is_column(inner.left) and _is_column(inner.right):
            names = {f"{inner.left.table}.{inner.left.name}", f"{inner.right.table}.{inner.right.name}"}
            mine, theirs = names & set(left.columns), names & set(right.columns)
            if mine and theirs:
                pairs.append((mine.pop(), theirs.pop()))
    return [(a, b) for a, b in pairs if a in left.kinds and left.kinds[a] == right.kinds.get(b)]


def _project(select: exp.Select, relation: _Relation, sides: Mapping[str, _Relation], inputs: _Inputs) -> _Relation:
    group = select.args.get("group")
    aggregated = group is not None or any(_aggregates(part) for part in select.expressions)
    if relation.restricted:
        if aggregated:
            _check_apart(group.expressions if group is not None else [], relation, sides, inputs)
        for window in select.find_all(exp.Window):
            _check_apart(list(window.args.get("partition_by") or ()), relation, sides, inputs)
    out: list[tuple[str, str | None]] = []
    for part in select.expressions:
        out += _outputs(part, relation, sides)
    names = _told_apart(name for name, _ in out)
    told = list(zip(names, (source for _, source in out), strict=True))
    told = told[: names.index(_UNTOLD)] if _UNTOLD in names else told
    carriers = tuple(frozenset(name for name, source in told if source in part) for part in relation.carriers)
    kinds = {name: relation.kinds[source] for name, source in told if source is not None and source in relation.kinds}
    return _Relation(relation.restricted, names, carriers, kinds=kinds)


def _told_apart(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that DuckDB gives to columns of one name, whatever its case: a second `id` becomes `id_1`."""
    found: dict[str, str] = {}
    for name in names:
        new, n = name, 0
        while new.lower() in found:
            n += 1
            new = f"{name}_{n}"
        found[new.lower()] = new
    return tuple(found.values())


def _outputs(part: exp.Expr, relation: _Relation, sides: Mapping[str, _Relation]) -> list[tuple[str, str | None]]:
    """Return the columns that one expression of a select gives, each with the column it is a plain copy of."""
    wanted = part.table if isinstance(part, exp.Column) else ""
    if isinstance(part, exp.Star) or (wanted in sides and isinstance(part.this, exp.Star)):
        return [
            (column.partition(".")[2], column)
            for column in relation.columns
            if (column.startswith(f"{wanted}.") if wanted else column not in relation.merged)
        ]
    if any(not isinstance(found.parent, exp.Count) for found in part.find_all(exp.Star)) or part.find(*_MANY):
        return [(_UNTOLD, None)]
    value = part.this if isinstance(part, exp.Alias) else part
    return [(part.alias_or_name, _resolved(value, sides))]


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
    if not _is_column(value):
        return None
    owners = [value.table] if value.table else [a for a, side in sides.items() if value.name in side.columns]
    return f"{owners[0]}.{value.name}" if len(owners) == 1 else None


def _is_column(value: exp.Expr) -> TypeGuard[exp.Column]:
    """Return whether an expression is a column of a table: behind two points it is a part of one."""
    return isinstance(value, exp.Column) and not value.args.get("db")


def _union(left: _Relation, right: _Relation) -> _Relation:
    # Where one side is read whole, its rows come whatever the key.
    if len(left.columns) != len(right.columns) or left.restricted != right.restricted:
        raise _NotLocalError
    both = zip(_positions(left, left.columns), _positions(right, left.columns), strict=True)
    pairs = [(a, left.kinds.get(a), right.kinds.get(b)) for a, b in zip(left.columns, right.columns, strict=True)]
    kinds = {name: mine for name, mine, theirs in pairs if mine is not None and mine == theirs}
    return _Relation(left.restricted, left.columns, tuple(a & b for a, b in both), kinds=kinds)


def _positions(relation: _Relation, names: tuple[str, ...]) -> tuple[frozenset[str], ...]:
    return tuple(
        frozenset(new for old, new in zip(relation.columns, names, strict=True) if old in part)
        for part in relation.carriers
    )
