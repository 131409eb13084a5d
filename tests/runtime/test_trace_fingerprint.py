"""A fingerprint changes exactly with what a table computes or declares, however that is written down."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import narwhals as nw
import pytest
from narwhals import Expr, LazyFrame, col, lit, when

from assay import (
    Append,
    Merge,
    Overwrite,
    Run,
    accepted,
    between,
    csv,
    drop_where,
    fails_when,
    first_in_source,
    free,
    groups,
    latest,
    reconciles,
    references,
    row_count,
    sql,
    stack,
    table,
    times,
    unique,
    view,
)
from assay.model.table import Node, Table
from tests.runtime.tracing import ORDERS, declared, traced

Frame = LazyFrame[Any]
Function = Callable[[Frame], Any]


def fingerprint(*nodes: Node, of: str = "bronze_order", **sources: Any) -> str:
    return traced(*nodes, sources=sources or None)[of].fingerprint


def of_function(function: Function, **declaration: Any) -> str:
    return fingerprint(declared("bronze_order", function, **declaration))


def more_than(limit: float) -> Table:
    """A factory of tables that differ in nothing but a constant."""
    return declared("bronze_order", lambda orders: orders.filter(col("amount") > limit))


def discounted(amount: Expr) -> Expr:
    return amount * 2


def bronze(orders: Frame) -> Any:
    return orders.with_columns(discounted(col("amount")).alias("discounted"))


def test_two_closures_of_one_factory_are_told_apart_by_their_constants() -> None:
    assert fingerprint(more_than(5)) == fingerprint(more_than(5))
    assert fingerprint(more_than(5)) != fingerprint(more_than(6))


def test_a_changed_helper_changes_what_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of_function(bronze)
    monkeypatch.setattr(sys.modules[__name__], "discounted", lambda amount: amount + amount)
    assert of_function(bronze) != before
    monkeypatch.setattr(sys.modules[__name__], "discounted", lambda given: given * 2)
    assert of_function(bronze) == before


A, B = "row_index_0123456789abcdef", "row_index_fedcba9876543210"


@pytest.mark.parametrize(
    ("function", "one", "other"),
    [
        (lambda o, x: o.with_columns(x=lit(x)), A, B),
        (lambda o, x: o.filter(col("customer") != x), A, B),
        (lambda o, x: o.filter(col("customer") != f"it's {x}"), A, B),
        (lambda o, x: o.filter(col("customer") != f'"{x}"'), A, B),
        (lambda o, x: o.rename({"customer": x}), A, B),
        (lambda o, x: sql(f"select '{x}' as x from o", o=o), A, B),
        (lambda o, x: o.select(*x), ("amount", "customer"), ("customer", "amount")),
        (lambda o, x: o.head(x), 10, 11),
        (lambda o, x: o.unique(subset=["order_id"], keep=x, order_by=["amount"]), "first", "last"),
        (lambda o, x: o.with_columns(x=when(col("amount") > 1).then(lit(x))), "a", "b"),
        (lambda o, x: sql(f"select * from o where amount > {x}", o=o), 1, 2),
        (lambda o, x: sql("select * from o", o=o.filter(col("amount") > x)), 1, 2),
        (lambda o, x: sql("select * from p", p=sql(f"select * from o where amount > {x}", o=o)), 1, 2),
    ],
)
def test_functions_that_compute_something_else_are_told_apart(function: Any, one: Any, other: Any) -> None:
    assert of_function(lambda o: function(o, one)) == of_function(lambda o: function(o, one))
    assert of_function(lambda o: function(o, one)) != of_function(lambda o: function(o, other))


def test_columns_whose_names_look_generated_are_told_apart() -> None:
    source = csv("o.csv", columns={A: "BIGINT", B: "BIGINT"})
    one, other = (declared("bronze_order", lambda orders, n=n: orders.select(x=col(n))) for n in (A, B))
    assert fingerprint(one, orders=source) != fingerprint(other, orders=source)


@pytest.mark.parametrize(
    "function",
    [
        lambda o: o.unique(subset=["order_id"], keep="first", order_by=["amount"]),
        lambda o: o.unique(subset=["order_id"], keep="none"),
        lambda o: o.with_row_index("n", order_by="amount"),
        lambda o: o.join(o, on="order_id", how="left"),
        lambda o: o.join(o.unique(subset=["order_id"], keep="first", order_by=["amount"]), on="order_id", how="full"),
        lambda o: o.join(o, on="order_id", how="anti"),
        lambda o: o.group_by((col("amount") * 2).alias("double")).agg(n=nw.len()),
        lambda o: o.with_columns(before=col("amount").shift(1).over("customer", order_by="ordered_on")),
        lambda o: stack(o, o, o),
        lambda o: drop_where(o, "cheap", col("amount") < 1),
        lambda o: o.filter(~col("customer").is_in(["a", "b"])).sort("amount"),
        lambda o: sql("select * from o join p using (order_id)", o=o, p=o.unique(subset=["order_id"], keep="any")),
    ],
)
def test_names_made_at_random_do_not_count(function: Function) -> None:
    assert len({of_function(function) for _ in range(3)}) == 1


CHECKS = {
    "a check": [between("amount", 0, 10)],
    "its limit": [between("amount", 0, 11)],
    "its action": [between("amount", 0, 10, action="reject")],
    "the rule": [fails_when("mine", col("amount") > 2)],
    "the rule's name": [fails_when("yours", col("amount") > 2)],
    "the values": [accepted("customer", ["a"])],
    "unique": [unique("order_id")],
    "unique in more": [unique("order_id", "customer")],
    "a count": [row_count(min=1)],
    "another count": [row_count(min=2)],
    "a reference": [references("order_id", "bronze_order.order_id")],
    "another reference": [references("order_id", "bronze_order.amount")],
    "a sum": [reconciles("amount", "bronze_order.amount")],
    "a count of values": [reconciles("amount", "bronze_order.amount", count=True)],
}
DECLARATIONS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "append": {"write": Append()},
    "key": {"key": "order_id"},
    "another key": {"key": "customer"},
    "merge": {"key": "order_id", "write": Merge()},
    "merge with stamps": {"key": "order_id", "write": Merge(stamps=True)},
    "merge with numbers": {"key": "order_id", "write": Merge(surrogate="n")},
    "overwrite with stamps": {"key": "order_id", "write": Overwrite(stamps=True)},
    "first": {"key": "order_id", "keep": first_in_source()},
    "latest": {"key": "order_id", "keep": latest("ordered_on")},
    "latest of another": {"key": "order_id", "keep": latest("amount")},
    "partitions": {"partition_by": "ordered_on"},
    "times": {"rows": times(2)},
    "groups": {"rows": groups("customer", total="amount")},
    "free": {"rows": free("why not")},
    **{name: {"checks": checks} for name, checks in CHECKS.items()},
}


def test_every_part_of_a_declaration_counts() -> None:
    found = {name: of_function(lambda orders: orders, **declaration) for name, declaration in DECLARATIONS.items()}
    again = {name: of_function(lambda orders: orders, **declaration) for name, declaration in DECLARATIONS.items()}
    assert found == again
    by_fingerprint: dict[str, list[str]] = {}
    for name, value in found.items():
        by_fingerprint.setdefault(value, []).append(name)
    assert [names for names in by_fingerprint.values() if len(names) > 1] == []


def shop(limit: int, *, doc: str = "", extra: bool = False, start: int = 0) -> dict[str, str]:
    """Fingerprints of two tables over a view that filters by limit, and of one that reads only a table."""

    @table()
    def bronze_order(orders: Frame) -> Frame:
        return orders.filter(col("amount") > start)

    @view()
    def large(bronze_order: Frame) -> Frame:
        return bronze_order.filter(col("amount") > limit)

    @view()
    def larger(large: Frame) -> Frame:
        return large

    def silver_large(larger: Frame) -> Frame:
        return larger

    silver_large.__doc__ = doc
    gold_total = declared("gold_total", lambda orders: orders.select("amount")).named(
        "gold_total", orders="silver_large"
    )
    nodes = [bronze_order, large, larger, table()(silver_large), gold_total]
    found = traced(*nodes, *([declared("bronze_other", lambda orders: orders)] if extra else []))
    return {name: found[name].fingerprint for name in ("bronze_order", "large", "larger", "silver_large", "gold_total")}


def changed(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {name for name in one if one[name] != other[name]}


def test_a_changed_view_changes_what_reads_it_and_not_what_reads_those() -> None:
    # What a table reads is told apart by its version; a view has none of its own.
    assert changed(shop(5), shop(6)) == {"large", "larger", "silver_large"}
    assert changed(shop(5), shop(5, start=1)) == {"bronze_order"}


def test_what_changes_no_row_changes_no_fingerprint() -> None:
    assert changed(shop(5), shop(5, doc="Now with words.", extra=True)) == set()


def test_a_new_column_upstream_counts_where_it_is_passed_on() -> None:
    def found(*columns: str) -> dict[str, str]:
        bronze_order = declared("bronze_order", lambda orders: orders.select(*columns))
        silver = declared("silver_all", lambda orders: orders).named("silver_all", orders="bronze_order")
        return {name: node.fingerprint for name, node in traced(bronze_order, silver).items()}

    assert changed(found("amount"), found("amount", "customer")) == {"bronze_order", "silver_all"}


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"path": "elsewhere/*.csv"}, False),
        ({"mirror": True}, False),
        ({"delimiter": ";"}, True),
        ({"quote": "'"}, True),
        ({"nulls": ("", "null")}, True),
        ({"encoding": "latin-1"}, True),
        ({"columns": {**ORDERS.columns, "customer": "BIGINT"}}, True),
        ({"columns": {**ORDERS.columns, "more": "BIGINT"}}, True),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_how_a_source_is_read_counts_and_where_it_lies_does_not(change: dict[str, Any], counts: bool) -> None:
    declaration = {"path": ORDERS.path, "columns": ORDERS.columns, **change}
    node = declared("bronze_order", lambda orders: orders)
    same = fingerprint(node, of="orders", orders=csv(**declaration)) == fingerprint(node, of="orders", orders=ORDERS)
    assert same is not counts


def test_the_date_of_a_run_does_not_count_but_wanting_it_does() -> None:
    seen: list[dt.date] = []

    @table()
    def bronze_order(orders: Frame, run: Run) -> Frame:
        seen.append(run.as_of)
        return orders.with_columns(as_of=lit(run.as_of))

    first = fingerprint(bronze_order)
    assert first == fingerprint(bronze_order)
    assert seen == [dt.date(2000, 1, 1)] * 2
    assert first != of_function(lambda orders: orders.with_columns(as_of=lit(seen[0])))


SHOP = """
import json
from narwhals import col
from assay import Merge, accepted, between, fails_when, groups, latest, sql, unique
from tests.runtime.tracing import declared, traced

def once(orders):
    return orders.unique(subset=["order_id"], keep="first", order_by=["amount"]).with_row_index("n", order_by="amount")

nodes = [
    declared("bronze_order", once, key=("order_id", "customer"), write=Merge(stamps=True), keep=latest("amount"),
             checks=[accepted("customer", ["a", "b", "c"]), between("amount", 0, 9), unique("order_id")]),
    declared("bronze_day", lambda o: o.group_by("ordered_on").agg(t=col("amount").sum(), u=col("order_id").sum()),
             rows=groups("ordered_on", total={"t": "amount", "u": "order_id"}), partition_by=["ordered_on"]),
    declared("bronze_sql", lambda orders: sql("select * from a join b using (order_id)", a=orders, b=once(orders)),
             checks=[fails_when("x", ~col("order_id").is_in([3, 1, 2]))]),
]
print(json.dumps({name: found.fingerprint for name, found in traced(*nodes).items()}))
"""


def test_equal_declarations_have_equal_fingerprints_in_another_process() -> None:
    def found(seed: str) -> dict[str, str]:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", SHOP]
        result = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
        assert result.returncode == 0, result.stderr
        fingerprints: dict[str, str] = json.loads(result.stdout)
        return fingerprints

    first, second = found("1"), found("2")
    assert first == second
    assert len(set(first.values())) == 4
