"""What of a query the proof of locality follows: whatever else the parser may find in one is not understood."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sqlglot import exp

_QUERY = frozenset({"with_", "order"})
_ARGUMENTS: Mapping[type[exp.Expr], frozenset[str]] = MappingProxyType(
    {
        exp.With: frozenset({"expressions"}),
        exp.CTE: frozenset({"this", "alias", "materialized"}),
        exp.Select: _QUERY | {"expressions", "from_", "joins", "where", "group"},
        exp.Union: _QUERY | {"this", "expression"},
        exp.Subquery: _QUERY | {"this", "alias"},
        exp.From: frozenset({"this"}),
        exp.Table: frozenset({"this", "alias"}),
        exp.TableAlias: frozenset({"this"}),
        exp.Join: frozenset({"this", "side", "kind", "on", "using"}),
        exp.Where: frozenset({"this"}),
        exp.Group: frozenset({"expressions"}),
        exp.Order: frozenset({"this", "expressions"}),
        exp.Star: frozenset(),
    }
)
"""What an expression of each kind that is followed may have: a limit, a sample, a pivot or new names for the columns
of a table are among what it may not. Sorting alone changes no row."""
_FROM_OUTSIDE = frozenset(
    {
        *("random", "setseed", "uuid", "uuidv4", "uuidv7", "gen_random_uuid"),
        *("now", "today", "ago", "age", "current_date", "current_time", "current_timestamp", "current_datetime"),
        *("get_current_time", "get_current_timestamp", "localtime", "localtimestamp", "transaction_timestamp"),
        *("nextval", "currval", "setval", "getvariable", "txid_current", "current_setting", "current_transaction_id"),
        *("current_catalog", "current_database", "current_schema", "current_schemas", "in_search_path"),
        *("current_user", "session_user", "current_role", "current_query", "current_query_id", "current_connection_id"),
        *("error", "sleep_ms", "stats", "vector_type", "write_log"),
    }
)
"""Functions that depend on chance, the clock, a counter, the session, or on where a row is stored."""


def is_understood(query: exp.Expr) -> bool:
    """Return whether nothing in a query changes what it returns in a way that the proof does not follow."""
    return all(_is_understood(node) for node in query.walk())


def _is_understood(node: exp.Expr) -> bool:
    match node:
        case exp.PositionalColumn():
            return False
        case exp.Query() if not _is_read_from(node):
            return False
        case exp.Func() if _names(node) & _FROM_OUTSIDE:
            return False
    known = _ARGUMENTS.get(type(node))
    return known is None or all(name in known for name, value in node.args.items() if value)


def _is_read_from(query: exp.Query) -> bool:
    """Return whether a query is the whole, or stands where rows come from: within a value it may look at any rows."""
    places = (exp.From, exp.Join, exp.CTE, exp.Subquery, exp.SetOperation)
    return query.parent is None or (isinstance(query.parent, places) and query.arg_key in ("this", "expression"))


def _names(function: exp.Func) -> frozenset[str]:
    names = [function.name] if isinstance(function, exp.Anonymous) else function.sql_names()
    return frozenset(name.lower() for name in names)
