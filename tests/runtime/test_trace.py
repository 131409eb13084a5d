"""What cannot work is told when a pipeline is loaded: which table, what it names, and which columns there are."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pytest
from narwhals import col, lit

from assay import (
    DeclarationError,
    Merge,
    Overwrite,
    accepted,
    between,
    csv,
    fails_when,
    first_in_source,
    fresh_within,
    groups,
    latest,
    not_null,
    position,
    reconciles,
    references,
    sql,
    stack,
    table,
    unique,
    view,
)
from assay.model.source import SYSTEM_COLUMNS
from assay.model.table import Node
from tests.runtime.tracing import ORDERS, declared, small_engine, traced

COLUMNS = "order_id, customer, amount, ordered_on"


@table()
def bronze_order(orders: Any) -> Any:
    return orders


def silver(function: Any, **declaration: Any) -> Node:
    return declared("silver_order", function, **declaration).named("silver_order", orders="bronze_order")


def refusal(*nodes: Node, **sources: Any) -> str:
    with pytest.raises(DeclarationError) as error:
        traced(*nodes, sources=sources or None)
    return str(error.value)


FUNCTIONS: dict[str, Any] = {
    "select": lambda orders: orders.select("amuont"),
    "filter": lambda orders: orders.filter(col("amuont") > 1),
    "with_columns": lambda orders: orders.with_columns(double=col("amuont") * 2),
    "group_by": lambda orders: orders.group_by("amuont").agg(n=nw.len()),
    "agg": lambda orders: orders.group_by("customer").agg(total=col("amuont").sum()),
    "sort": lambda orders: orders.sort("amuont"),
    "join": lambda orders: orders.join(orders, on="amuont"),
    "drop": lambda orders: orders.drop("amuont"),
    "unique": lambda orders: orders.unique(subset=["amuont"], keep="first", order_by=["order_id"]),
    "sql": lambda orders: sql("select amuont from o", o=orders),
}


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_a_function_that_uses_a_column_its_input_lacks_names_all_that_is_needed(verb: str) -> None:
    message = refusal(bronze_order, silver(FUNCTIONS[verb]))
    assert message.startswith("The table silver_order fails on the columns of its inputs: ")
    assert "amuont" in message.splitlines()[0]
    assert message.splitlines()[1].startswith(f"  bronze_order has: {COLUMNS}")


def test_the_columns_of_every_input_are_told() -> None:
    @view()
    def priced(orders: Any, prices: Any) -> Any:
        return orders.join(prices, on="order_id").select("order_id", "prize")

    prices = csv("prices.csv", columns={"order_id": "BIGINT", "price": "DOUBLE"})
    lines = refusal(bronze_order, priced, orders=ORDERS, prices=prices).splitlines()
    assert lines[0].startswith("The view priced fails on the columns of its inputs: ")
    assert lines[1].startswith(f"  orders has: {COLUMNS}")
    assert lines[2].startswith("  prices has: order_id, price")


def test_what_a_table_no_longer_returns_is_told_by_the_table_that_needs_it() -> None:
    fewer = declared("bronze_order", lambda orders: orders.select("order_id", "customer"))
    assert traced(bronze_order, silver(lambda orders: orders.select("amount")))["silver_order"].schema.names == (
        "amount",
    )
    message = refusal(fewer, silver(lambda orders: orders.select("amount")))
    assert message.startswith("The table silver_order fails on the columns of its inputs: ")
    assert message.endswith("\n  bronze_order has: order_id, customer")


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda orders: None, "silver_order returned NoneType; a table returns a narwhals LazyFrame"),
        (lambda orders: orders.collect(), "silver_order returned DataFrame; a table returns a narwhals LazyFrame"),
        (lambda orders: [orders], "silver_order returned list; a table returns a narwhals LazyFrame"),
        (lambda orders: 1 / 0, "division by zero"),
        (lambda orders: sql("select order_id as a, customer as A from o", o=orders), "two columns named 'A'"),
        (lambda orders: sql("select [order_id] as ids from o", o=orders), "'BIGINT[]' is not a column type"),
        (lambda orders: sql("select * from orders", o=orders), "orders does not exist"),
        (lambda orders: stack(*[orders] * 33), "stack() takes at most 32 frames."),
    ],
)
def test_a_result_that_is_no_table_is_told(function: Any, what: str) -> None:
    message = refusal(bronze_order, silver(function))
    assert "silver_order" in message
    assert what in message


@pytest.mark.parametrize(
    ("declaration", "what"),
    [
        ({"key": "order_ids"}, "key names 'order_ids'"),
        ({"key": ["customer", "order_ids"]}, "key names 'order_ids'"),
        ({"partition_by": "order_ids"}, "partition_by names 'order_ids'"),
        ({"key": "customer", "keep": latest("order_ids")}, "keep names 'order_ids'"),
        ({"checks": [unique("order_ids")]}, "check unique(order_ids) names 'order_ids'"),
        ({"checks": [fresh_within("order_ids", days=1)]}, "check fresh_within(order_ids, 1 days) names 'order_ids'"),
        ({"checks": [not_null("order_ids")]}, "check not_null(order_ids) names 'order_ids'"),
        ({"checks": [between("order_ids", 1, 2)]}, "check between(order_ids, 1, 2) names 'order_ids'"),
        ({"checks": [accepted("order_ids", [1])]}, "check accepted(order_ids: 1) names 'order_ids'"),
        (
            {"checks": [references("order_ids", "bronze_order.order_id")]},
            "check references(order_ids, bronze_order.order_id) names 'order_ids'",
        ),
        (
            {"checks": [reconciles("order_ids", "bronze_order.order_id")]},
            "check reconciles(order_ids, bronze_order.order_id) names 'order_ids'",
        ),
    ],
    ids=lambda value: value.partition(" names")[0] if isinstance(value, str) else "",
)
def test_a_declaration_that_names_a_missing_column_tells_the_near_miss(declaration: dict[str, Any], what: str) -> None:
    message = refusal(bronze_order, silver(lambda orders: orders, **declaration))
    assert message.startswith(f"silver_order: {what}, which the function does not return. Did you mean 'order_id'?")
    assert f"It returns: {COLUMNS}" in message


@pytest.mark.parametrize(
    ("declaration", "what"),
    [
        ({"rows": groups("custmer", total="amount")}, "names 'custmer', which the function does not return. Did you"),
        ({"rows": groups("customer", total="amuont")}, "names 'amuont', which the function does not return. Did you"),
        (
            {"rows": groups("customer", total={"amount": "amuont"})},
            "reads 'amuont', which bronze_order does not have. Did you mean 'amount'?",
        ),
        ({"rows": groups("customer", count="n")}, "names 'n', which the function does not return."),
        (
            {"checks": [references("customer", "bronze_order.custmer")]},
            "looks at 'custmer', which bronze_order does not have. Did you mean 'customer'?",
        ),
        (
            {"checks": [reconciles("amount", "bronze_order.amuont")]},
            "looks at 'amuont', which bronze_order does not have. Did you mean 'amount'?",
        ),
        ({"checks": [fails_when("mine", col("amuont") > 1)]}, "amuont"),
        ({"checks": [between("customer", 1, 2)]}, "check 'between(customer, 1, 2)' cannot be judged: "),
        ({"key": "customer", "keep": first_in_source()}, "keep=first_in_source() needs the rows' position"),
    ],
)
def test_a_declaration_that_does_not_fit_is_told(declaration: dict[str, Any], what: str) -> None:
    by_customer = silver(lambda orders: orders.group_by("customer").agg(amount=col("amount").sum()), **declaration)
    message = refusal(bronze_order, by_customer)
    assert message.startswith("silver_order: ")
    assert what in message


@pytest.mark.parametrize(
    ("write", "column"),
    [
        (Merge(surrogate="customer"), "customer"),
        (Merge(surrogate="CUSTOMER"), "CUSTOMER"),
        (Merge(stamps=True), "created_at"),
        (Merge(stamps=True), "updated_at"),
        (Merge(stamps=True), "Updated_At"),
        (Overwrite(stamps=True), "created_at"),
        (Merge(surrogate="created_at", stamps=True), "created_at"),
    ],
    ids=str,
)
def test_a_column_that_assay_would_add_twice_is_told(write: Any, column: str) -> None:
    def function(orders: Any) -> Any:
        own = orders.select("order_id", "customer")
        return own if getattr(write, "surrogate", None) else own.with_columns(lit(1).alias(column))

    message = refusal(bronze_order, silver(function, write=write, key="order_id"))
    assert message.startswith("silver_order: assay adds the column ")
    assert column.lower() in message.lower()


def test_what_assay_adds_is_stored_and_only_the_surrogate_is_seen_downstream() -> None:
    numbered = silver(
        lambda orders: orders.select("customer", position()),
        write=Merge(surrogate="customer_id", stamps=True),
        key="customer",
    )
    found = traced(bronze_order, numbered)["silver_order"]
    assert found.schema.names == ("customer", "_assay_position")
    assert [(c.name, c.type) for c in found.stored] == [
        ("customer_id", "BIGINT"),
        ("customer", "VARCHAR"),
        ("_assay_position", "BIGINT"),
        ("created_at", "TIMESTAMP"),
        ("updated_at", "TIMESTAMP"),
    ]
    assert found.seen.names == ("customer_id", "customer", "_assay_position")


def test_schemas_follow_the_functions_and_the_source_numbers_its_rows() -> None:
    by_day = silver(lambda orders: orders.group_by("ordered_on").agg(n=nw.len(), amount=col("amount").sum()))
    found = traced(bronze_order, by_day)
    assert [(c.name, c.type) for c in found["bronze_order"].schema] == [
        *ORDERS.columns.items(),
        *SYSTEM_COLUMNS.items(),
    ]
    assert [(c.name, c.type) for c in found["silver_order"].schema] == [
        ("ordered_on", "DATE"),
        ("n", "BIGINT"),
        ("amount", "DECIMAL(38,2)"),
    ]


def test_sql_must_be_given_what_it_reads_whatever_other_tables_were_given() -> None:
    first = declared("bronze_first", lambda orders: sql("select * from o", o=orders))
    second = declared("bronze_second", lambda orders: sql("select p.* from p join o using (order_id)", p=orders))
    assert "bronze_second" in refusal(second)
    assert "bronze_second" in refusal(first, second)


def test_sql_in_an_engine_gives_what_it_gives_in_a_unit_test() -> None:
    def function(numbers: Any) -> Any:
        one = sql("select x from n where x < 3", n=numbers.filter(col("x") > 1))
        other = sql("with m as (select x from n) select x from m", n=numbers.filter(col("x") == 7))
        return sql("select a.x as one, b.x as other from a, b", a=one, b=other)

    with small_engine() as engine, engine.session() as session:
        numbers = session.resolve(sql("select i as x from range(10) r(i)"), "numbers")
        in_a_run = session.fetch(session.resolve(function(numbers), "silver_pair"))
        alone = function(session.hold(numbers)).evaluate().collect("pyarrow").rows()
    assert in_a_run == alone == [(2, 7)]


def test_an_input_of_sql_may_have_the_name_of_what_it_was_made_of() -> None:
    nested = silver(lambda orders: sql("select * from o", o=sql("select order_id from o", o=orders)))
    assert traced(bronze_order, nested)["silver_order"].schema.names == ("order_id",)
