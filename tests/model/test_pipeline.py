"""A pipeline refuses a declaration that contradicts itself, and says what is wrong, where, and what was meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay import (
    Append,
    DeclarationError,
    Merge,
    Overwrite,
    Pipeline,
    csv,
    first_in_source,
    free,
    groups,
    latest,
    lookup,
    not_null,
    reconciles,
    references,
    table,
    times,
    view,
)
from assay.model.source import Source
from assay.model.table import Node, Table

ORDERS = csv("data/orders/*.csv", columns={"order_id": "BIGINT"})
NO_TABLE = "which is no table of this pipeline."
NO_NAME = "is no name: use lower case letters, digits and underscores."


def bronze_order(orders: Any) -> Any:
    """Every order as delivered."""
    return orders


def pipeline(
    *nodes: Node | ModuleType,
    name: str = "shop",
    sources: Mapping[str, Source] | None = None,
    layers: Sequence[str] = ("bronze", "silver", "gold"),
) -> Pipeline:
    return Pipeline(name, tables=nodes, sources={"orders": ORDERS} if sources is None else sources, layers=layers)


def order(**declaration: Any) -> Table:
    return table(**declaration)(bronze_order)


def refusal(declare: Callable[[], Any]) -> str:
    with pytest.raises(DeclarationError) as error:
        declare()
    return str(error.value)


def test_tables_views_and_sources_are_known_by_name_in_order() -> None:
    @view()
    def cleaned(bronze_order: Any) -> Any:
        return bronze_order

    @table()
    def silver_order(cleaned: Any) -> Any:
        return cleaned

    shop = pipeline(silver_order, cleaned, order())
    assert list(shop.nodes) == ["bronze_order", "cleaned", "silver_order"]
    assert list(shop.tables) == ["bronze_order", "silver_order"]
    assert list(shop.views) == ["cleaned"]
    assert (shop.name, dict(shop.sources), shop.layers) == ("shop", {"orders": ORDERS}, ("bronze", "silver", "gold"))


def test_a_pipeline_may_name_its_own_layers() -> None:
    raw, prod = order().named("raw_order"), order().named("prod_order", orders="raw_order")
    assert list(pipeline(prod, raw, layers=["raw", "prod"]).tables) == ["raw_order", "prod_order"]
    assert refusal(lambda: pipeline(prod, raw, layers=["prod", "raw"])) == (
        "prod_order reads raw_order, but data flows prod -> raw: a prod table cannot read a raw table."
    )


def module(name: str, **names: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(names)
    return made


@table()
def silver_order(bronze_order: Any) -> Any:
    return bronze_order


@view()
def cleaned(bronze_order: Any) -> Any:
    return bronze_order


@pytest.mark.row("000-28")
def test_a_module_stands_for_its_tables_and_views_and_for_nothing_else() -> None:
    bronze = module("bronze", orders=ORDERS, number=1, bronze_order=order(), _template=order())
    silver = module("silver", silver_order=silver_order, cleaned=cleaned)
    shop = pipeline(silver, bronze, order().named("bronze_other"))
    assert list(shop.nodes) == ["bronze_order", "bronze_other", "silver_order", "cleaned"]
    vars(bronze)["bronze_third"] = order().named("bronze_third")
    assert "bronze_third" not in shop.nodes
    assert "bronze_third" in pipeline(bronze).nodes


def test_a_table_that_two_modules_know_is_one_table_and_two_of_one_name_are_refused() -> None:
    first = module("first", bronze_order=order(), same="")
    second = module("second", silver_order=silver_order, bronze_order=first.bronze_order)
    assert list(pipeline(first, second).tables) == ["bronze_order", "silver_order"]
    vars(second)["bronze_order"] = order()
    assert refusal(lambda: pipeline(first, second)) == (
        "Two tables are named 'bronze_order'; a name stands for one table."
    )


def test_a_module_without_tables_is_refused_by_name() -> None:
    empty = module("shop.gold", orders=ORDERS, bronze_order=bronze_order)
    assert refusal(lambda: pipeline(empty)) == (
        "The module shop.gold has no table: write @table(...) above its functions."
    )


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ({"keep": latest("updated_at")}, "keep= chooses between rows of one key, so it needs key=."),
        ({"keep": first_in_source()}, "keep= chooses between rows of one key, so it needs key=."),
        ({"write": Merge()}, "Merge() updates by key, so it needs key=."),
        ({"write": Merge(surrogate="order_key", stamps=True)}, "Merge() updates by key, so it needs key=."),
        ({"write": Overwrite(stamps=True)}, "stamps follow a row by its key, so they need key=."),
        ({"write": Append(stamps=True)}, "stamps follow a row by its key, so they need key=."),
        (
            {"write": Append(stamps=True), "key": "order_id"},
            "appended rows are not updated; leave stamps out.",
        ),
        ({"rows": lookup("ordrs")}, "'ordrs' is looked up in, but not read. Did you mean 'orders'?"),
        (
            {"rows": groups("order_id", count="n", lookup=("silver_customer",))},
            "'silver_customer' is looked up in, but not read.",
        ),
        (
            {"rows": groups("order_id", count="n", lookup=("orders",))},
            "groups() counts the rows of one input; name the others in lookup=(...).",
        ),
        (
            {"checks": [references("id", "bronze_ordre.id")]},
            f"check 'references(id, bronze_ordre.id)' looks at 'bronze_ordre', {NO_TABLE} Did you mean 'bronze_order'?",
        ),
        (
            {"checks": [not_null("order_id"), reconciles("amount", "silver_zzz.amount")]},
            f"check 'reconciles(amount, silver_zzz.amount)' looks at 'silver_zzz', {NO_TABLE}",
        ),
        (
            {"checks": [references("order_id", "orders.order_id")]},
            f"check 'references(order_id, orders.order_id)' looks at 'orders', {NO_TABLE}",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_contradicts_itself_is_told(declaration: dict[str, Any], message: str) -> None:
    assert refusal(lambda: pipeline(order(**declaration))) == f"bronze_order: {message}"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            groups("order_id", count="n"),
            "pairs: groups() counts the rows of one input; name the others in lookup=(...).",
        ),
        (lookup("bronze_ordr"), "pairs: 'bronze_ordr' is looked up in, but not read. Did you mean 'bronze_order'?"),
    ],
    ids=["groups", "lookup"],
)
def test_the_grain_of_a_view_is_held_to_the_same_rules(rows: Any, message: str) -> None:
    @view(rows=rows)
    def pairs(bronze_order: Any, orders: Any) -> Any:
        return bronze_order

    assert refusal(lambda: pipeline(order(), pairs)) == message


@pytest.mark.parametrize(
    "declaration",
    [
        {"write": Merge, "key": "order_id"},
        {"write": "merge", "key": "order_id"},
        {"keep": "updated_at", "key": "order_id"},
        {"keep": latest, "key": "order_id"},
        {"rows": times},
        {"checks": not_null("order_id")},
        {"checks": ["order_id"]},
    ],
    ids=["Merge", "'merge'", "'updated_at'", "latest", "times", "not_null", "'order_id'"],
)
def test_what_is_no_write_keep_grain_or_check_is_refused_by_name(declaration: dict[str, Any]) -> None:
    wrong = next(iter(declaration))
    message = refusal(lambda: pipeline(order(**declaration)))
    assert message.startswith("bronze_order: ")
    assert f"{wrong}=" in message


def test_a_decorator_without_parentheses_is_told() -> None:
    assert "@table()" in refusal(lambda: table(bronze_order))


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (
            lambda: groups("day"),
            "groups('day') needs a control total: total='amount' for a sum, count='orders' for a number of rows.",
        ),
        (lambda: groups(total="amount"), "groups() needs the columns that are grouped by."),
        (lookup, "lookup() names the inputs that are only looked up in."),
        (lambda: times(0), "times(0): a table returns at least one row for each row read."),
        (lambda: free(" "), "free() needs the reason why rows cannot be counted."),
        (
            lambda: table()(lambda *orders: orders),
            "<lambda>: *orders names no upstream; each parameter is a table, view or source.",
        ),
        (lambda: order().named("bronze_x", oders="orders"), "bronze_order has no parameter 'oders' to bind."),
    ],
)
def test_what_a_part_lacks_is_told_before_there_is_a_pipeline(declare: Callable[[], Any], message: str) -> None:
    assert refusal(declare) == message


def test_groups_with_a_total_or_a_count_or_both_is_enough() -> None:
    assert groups("day", total="amount").totals == {"amount": "amount"}
    assert groups("day", total={"revenue": "amount"}).totals == {"revenue": "amount"}
    assert (groups("day", count="orders").totals, groups("day", count="orders").count) == ({}, "orders")


BAD_NAMES = ["it's", 'a"b', "../etc", "a/b", "größe", "Orders", "a b", "a.b", "a-b", "a\n", "a;drop", "x" * 64]


@pytest.mark.parametrize("bad", [*BAD_NAMES, "", "1a", "_a"])
def test_a_pipeline_source_or_layer_with_a_bad_name_is_refused(bad: str) -> None:
    for declare in (
        lambda: pipeline(order(), name=bad),
        lambda: pipeline(order(), sources={"orders": ORDERS, bad: ORDERS}),
        lambda: pipeline(order(), layers=["bronze", bad]),
    ):
        assert refusal(declare) == f"{bad!r} {NO_NAME}"


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_a_table_with_a_bad_name_is_refused(bad: str) -> None:
    # A name becomes a folder, a part of SQL and a word on the command line.
    name = f"bronze_{bad}"
    assert refusal(lambda: pipeline(order().named(name))).startswith(repr(name))


@given(st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True).filter(lambda name: name not in ("orders", "run")))
def test_every_other_name_is_accepted(name: str) -> None:
    sources = {"orders": ORDERS, name: ORDERS}
    assert pipeline(order(), name=name, sources=sources).name == name
    assert list(pipeline(order().named(f"bronze_{name[:40]}")).tables) == [f"bronze_{name[:40]}"]


def test_a_source_named_run_is_refused() -> None:
    assert "'run'" in refusal(lambda: pipeline(order(), sources={"orders": ORDERS, "run": ORDERS}))


@pytest.mark.parametrize("layer", ["raw_data", "meta"])
def test_a_layer_that_no_table_can_live_in_is_refused(layer: str) -> None:
    # An underscore ends the layer's part of a name; "meta" is where readers find runs and quarantine.
    assert repr(layer) in refusal(lambda: pipeline(layers=["bronze", layer]))


def test_reading_other_paths_changes_those_sources_and_nothing_else() -> None:
    customers = csv("customers.csv", columns={"id": "BIGINT"}, delimiter=";")
    shop = pipeline(order(), sources={"orders": ORDERS, "customers": customers})
    other = shop.reading({"customers": "/elsewhere/c.csv"})
    assert other.sources["customers"] == csv("/elsewhere/c.csv", columns={"id": "BIGINT"}, delimiter=";")
    assert other.sources["orders"] == ORDERS
    assert (other.name, other.nodes, other.layers) == (shop.name, shop.nodes, shop.layers)
    assert shop.sources["customers"].path == "customers.csv"


def test_reading_an_unknown_source_names_the_near_miss_and_all_that_there_are() -> None:
    shop = pipeline(order(), sources={"orders": ORDERS, "customers": ORDERS})
    message = "shop has no source 'ordrs'. Did you mean 'orders'? Its sources: orders, customers."
    assert refusal(lambda: shop.reading({"ordrs": "x.csv"})) == message
