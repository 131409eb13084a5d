"""Runs of some tables: what is chosen, what the others must have been before, and what a later run makes good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from narwhals import col

import assay
from assay.model.dbt import DBT, DbtProject, Model
from assay.model.run import RunOptions
from assay.orchestrators.outline import outline_of
from assay.runtime.planning.select import mirrored, modelled, selected
from tests.runtime.shop import DAY, ORDERS, Frame, Shop, bronze_order, define

LINES = ("1,ann,10", "2,bob,20")


def tables(factor: int = 1) -> list[Any]:
    """bronze_order to silver_order to gold_total and gold_count; silver_customer beside them; a view between."""

    @assay.view()
    def large(bronze_order: Frame) -> Frame:
        return bronze_order.with_columns(amount=col("amount") * factor)

    return [
        bronze_order(write=assay.Append()),
        large,
        define(lambda large: large, "silver_order", write=assay.Merge(), key="id"),
        define(lambda large: large.select("customer"), "silver_customer"),
        define(lambda silver_order: silver_order.select("amount"), "gold_total"),
        define(lambda silver_order: silver_order.select("id"), "gold_count"),
    ]


@pytest.fixture
def open_shop(shop: Shop) -> Shop:
    shop.orders(*LINES)
    assert shop.run(*tables()).state == "published"
    return shop


def computed(result: assay.RunResult) -> set[str]:
    return {name for name, node in result.tables.items() if node.attempts}


CHOICES: Mapping[str, tuple[dict[str, list[str]], set[str]]] = {
    "one table": ({"select": ["silver_order"]}, {"silver_order"}),
    "with what it reads": ({"select": ["+silver_order"]}, {"bronze_order", "silver_order"}),
    "with what follows": ({"select": ["silver_order+"]}, {"silver_order", "gold_total", "gold_count"}),
    "with both": ({"select": ["+gold_total+"]}, {"bronze_order", "silver_order", "gold_total"}),
    "two tables": ({"select": ["gold_total", "gold_count"]}, {"gold_total", "gold_count"}),
    "what follows from a view": (
        {"select": ["large+"]},
        {"silver_order", "silver_customer", "gold_total", "gold_count"},
    ),
    "a layer": ({"layers": ["silver"]}, {"silver_order", "silver_customer"}),
    "a layer and a table": (
        {"layers": ["gold"], "select": ["bronze_order"]},
        {"bronze_order", "gold_total", "gold_count"},
    ),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_full_run_computes_the_tables_that_are_chosen_and_no_others(open_shop: Shop, choice: str) -> None:
    arguments, expected = CHOICES[choice]
    result = open_shop.run(*tables(), **arguments, full=True)
    assert computed(result) == expected
    others = [node for name, node in result.tables.items() if name not in expected]
    assert {(node.status, node.reason, node.attempts) for node in others} == {("skipped", "not selected", 0)}
    assert result.ok


def test_a_table_selected_by_name_is_computed_though_nothing_has_changed(open_shop: Shop) -> None:
    assert open_shop.plan(*tables(), select=["silver_order+"])["silver_order"] == ("run", "it was selected by name")
    result = open_shop.run(*tables(), select=["silver_order+"])
    assert (result.state, computed(result)) == ("unchanged", {"silver_order", "gold_total", "gold_count"})
    assert result.tables["gold_total"].reason == "what it reads turned out unchanged"


@pytest.mark.parametrize(
    ("select", "read"),
    [("silver_order", "bronze_order"), ("gold_total", "silver_order"), ("silver_order+", "bronze_order")],
)
def test_a_selection_that_lacks_what_was_never_published_is_refused_and_told_the_remedy(
    shop: Shop, select: str, read: str
) -> None:
    shop.orders(*LINES)
    name = select.strip("+")
    with pytest.raises(assay.DeclarationError) as refused:
        shop.run(*tables(), select=[select])
    assert str(refused.value) == (f"{name} reads {read}, which has never been published; run it too: --select +{name}")
    assert not shop.lake.exists()
    assert shop.run(*tables(), select=[f"+{name}"]).state == "published"


def test_a_selection_that_lacks_a_table_with_new_columns_is_refused_and_told_the_remedy(open_shop: Shop) -> None:
    wider = define(lambda large: large.with_columns(vat=col("amount")), "silver_order", write=assay.Merge(), key="id")
    vat = define(lambda silver_order: silver_order.select("vat"), "gold_total")
    changed = [wider if t.name == "silver_order" else vat if t.name == "gold_total" else t for t in tables()]
    with pytest.raises(assay.DeclarationError, match=r"whose published columns are older .* --select \+gold_total"):
        open_shop.run(*changed, select=["gold_total"])
    assert open_shop.run(*changed, select=["+gold_total"]).state == "published"
    assert open_shop.rows("from gold.total order by vat") == [(10,), (20,)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"select": ["silver_ordr"]}, "shop has no table 'silver_ordr'. Did you mean 'silver_order'?"),
        ({"layers": ["sliver"]}, "shop has no layer 'sliver'. Did you mean 'silver'?"),
    ],
)
def test_a_slip_of_the_pen_is_refused_with_the_near_miss(
    shop: Shop, arguments: dict[str, list[str]], sentence: str
) -> None:
    shop.orders(*LINES)
    with pytest.raises(assay.DeclarationError) as refused:
        shop.run(*tables(), **arguments)
    assert str(refused.value).startswith(sentence)


def test_what_a_selection_left_out_is_made_good_by_the_next_run(open_shop: Shop) -> None:
    open_shop.orders("3,cat,30", file="orders2.csv")
    first = open_shop.run(*tables(), layers=["bronze"])
    assert (first.state, computed(first)) == ("published", {"bronze_order"})
    assert open_shop.rows("select count(*) from silver.order") == [(2,)]
    assert open_shop.plan(*tables())["silver_order"] == ("run", "bronze_order was published by run 2 since")
    second = open_shop.run(*tables())
    assert computed(second) == {"silver_order", "silver_customer", "gold_total", "gold_count"}
    assert open_shop.rows("select amount from gold.total order by amount") == [(10,), (20,), (30,)]
    assert open_shop.run(*tables()).run is None


def test_a_changed_view_computes_its_readers_again_but_not_the_tables_it_reads(open_shop: Shop) -> None:
    result = open_shop.run(*tables(factor=3))
    assert computed(result) == {"silver_order", "silver_customer", "gold_total", "gold_count"}
    assert result.tables["silver_customer"].reason == "its content is as published"
    assert open_shop.rows("select amount from gold.total order by amount") == [(30,), (60,)]


def with_models() -> assay.Pipeline:
    """The same tables and a published source, of which a dbt project as it was read makes three models."""
    columns = {"id": "BIGINT", "name": "VARCHAR"}
    customers = assay.relation("customers", columns=columns, key="id", publish=True)
    database = assay.postgres("env:NONE", mode="full", tables={"bronze_customer": customers})
    declared = assay.Pipeline("shop", tables=[*tables(), assay.dbt("marts")], sources={"orders": ORDERS, **database})
    reads = {"rev": ("silver_order",), "people": ("bronze_customer",), "both": ("bronze_customer", "silver_customer")}
    models = [Model(n, n, "gold", n, "table", reads=reads[n], fingerprint=n) for n in reads]
    return declared.building(DbtProject("marts", {model.name: model for model in models}))


MODELS = {"gold_rev", "gold_people", "gold_both"}
READ = {"bronze_order", "large", "silver_order"}
FOLLOW = {"silver_order", "silver_customer", "gold_total", "gold_count"}
WITH_MODELS: Mapping[str, tuple[set[str], set[str], set[str]]] = {
    "gold_rev": (set(), set(), MODELS),
    "+gold_rev": (READ, set(), MODELS),
    "+gold_people": (set(), {"bronze_customer"}, MODELS),
    "+gold_both": ({"bronze_order", "large", "silver_customer"}, {"bronze_customer"}, MODELS),
    "bronze_order+": ({"bronze_order", "large", *FOLLOW}, set(), MODELS),
    "silver_order+": ({"large", "silver_order", "gold_total", "gold_count"}, set(), MODELS),
    "large+": ({"large", *FOLLOW}, set(), MODELS),
    "bronze_customer+": (set(), {"bronze_customer"}, MODELS),
    "silver_order": ({"large", "silver_order"}, set(), set()),
    "+silver_order": (READ, set(), set()),
    "gold_total+": ({"gold_total"}, set(), set()),
}


@pytest.mark.parametrize("text", WITH_MODELS)
def test_a_model_is_chosen_with_what_it_reads_and_after_what_it_reads(text: str) -> None:
    pipeline, options = with_models(), RunOptions(DAY, select=(text,))
    found = selected(pipeline, options)[0], mirrored(pipeline, options), modelled(pipeline, options)
    assert found == WITH_MODELS[text]


@pytest.mark.parametrize(("text", "builds"), [("bronze_order+", True), ("bronze_order", False)])
def test_an_orchestrator_is_told_of_models_that_may_follow_before_their_project_was_read(
    text: str, *, builds: bool
) -> None:
    declared = assay.Pipeline("shop", tables=[*tables(), assay.dbt("marts")], sources={"orders": ORDERS})
    steps = {stage.step: stage.after for stage in outline_of(declared, RunOptions(DAY, select=(text,)))}
    assert (DBT in steps) is builds
    assert not builds or set(steps[DBT]) == steps.keys() - {DBT}
