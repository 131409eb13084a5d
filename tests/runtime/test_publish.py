"""What a run publishes, what it leaves as it stands, and the reason it gives for each table."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from narwhals import col, lit

import assay
from assay.model.errors import WarehouseError
from tests.runtime.shop import LATER, ORDERS, Frame, Shop, bronze_order, define, keyed_and_plain, statuses

LINES = ("1,ann,10", "2,bob,20", "3,ann,5")
KEYED = {"write": assay.Merge(), "key": "id"}
Tables = dict[str, assay.Table]


def tables(**instead: assay.Table) -> Tables:
    """Orders through three layers, and customers beside them; a test replaces or adds what it is about."""
    return {
        "bronze_order": bronze_order(write=assay.Append()),
        "bronze_customer": define(lambda customers: customers, "bronze_customer", write=assay.Append()),
        "silver_order": define(lambda bronze_order: bronze_order, "silver_order", **KEYED),
        "gold_revenue": define(revenue, "gold_revenue", rows=assay.groups("customer", total="amount")),
    } | instead


def revenue(silver_order: Frame) -> Frame:
    return silver_order.group_by("customer").agg(col("amount").sum())


def doubled(bronze_order: Frame) -> Frame:
    return bronze_order.with_columns(amount=col("amount") * 2)


def refactored(bronze_order: Frame) -> Frame:
    return bronze_order.with_columns(amount=col("amount") + 7 - 7)


@pytest.fixture
def open_shop(shop: Shop) -> Shop:
    shop.orders(*LINES)
    shop.deliver("customers.csv", "name,city", "ann,Rome")
    assert shop.run(*tables().values()).state == "published"
    return shop


def computed(result: assay.RunResult) -> set[str]:
    return {name for name, node in result.tables.items() if node.attempts}


def test_a_first_run_publishes_every_table(shop: Shop) -> None:
    shop.orders(*LINES)
    shop.deliver("customers.csv", "name,city", "ann,Rome")
    result = shop.run(*tables().values())
    assert (result.run, result.state, result.problems) == (1, "published", ())
    assert {name: node.rows for name, node in result.tables.items()} == {
        "bronze_order": 3,
        "bronze_customer": 1,
        "silver_order": 3,
        "gold_revenue": 2,
    }
    assert {node.reason for node in result.tables.values()} == {"it has never been published"}
    assert shop.rows("from gold.revenue order by customer") == [("ann", 15), ("bob", 20)]
    assert shop.rows("from bronze.customer") == [("ann", "Rome")]


@pytest.mark.row("000-10")
def test_a_second_identical_run_is_unchanged_gives_its_reasons_and_leaves_no_trace(open_shop: Shop) -> None:
    before = open_shop.files(), open_shop.catalog(), open_shop.rows("from gold.revenue order by all")
    result = open_shop.run(*tables().values())
    assert (result.run, result.state) == (None, "unchanged")
    assert {(node.status, node.reason) for node in result.tables.values()} == {
        ("unchanged", "nothing it reads has changed since run 1")
    }
    assert result.nodes["orders"].reason == "its files are as they were"
    assert {name: node.rows for name, node in result.tables.items()}["silver_order"] == 3
    assert (open_shop.files(), open_shop.catalog(), open_shop.rows("from gold.revenue order by all")) == before
    assert len(assay.history(open_shop.lake)) == 1


@pytest.mark.row("000-10", "000-20")
def test_full_computes_everything_again_and_publishes_no_second_time_what_is_equal(open_shop: Shop) -> None:
    before = open_shop.files(), open_shop.pointers()
    result = open_shop.run(*tables().values(), full=True)
    assert (result.run, result.state) == (2, "unchanged")
    assert computed(result) == set(tables())
    assert {(node.status, node.reason) for node in result.tables.values()} == {
        ("unchanged", "its content is as published")
    }
    assert (open_shop.files(), open_shop.pointers()) == before
    assert open_shop.run(*tables().values()).run is None


def test_a_changed_function_recomputes_its_table_and_what_follows_only(open_shop: Shop) -> None:
    changed = tables(silver_order=define(doubled, "silver_order", **KEYED)).values()
    before = open_shop.pointers()
    assert open_shop.plan(*changed)["silver_order"] == ("run", "its function or declaration has changed")
    assert open_shop.plan(*changed)["gold_revenue"] == ("maybe", "silver_order may change")
    result = open_shop.run(*changed)
    assert statuses(result) == {
        "bronze_order": "unchanged",
        "bronze_customer": "unchanged",
        "silver_order": "written",
        "gold_revenue": "written",
    }
    assert computed(result) == {"silver_order", "gold_revenue"}
    assert open_shop.rows("from gold.revenue order by customer") == [("ann", 30), ("bob", 40)]
    moved = {name for name, place in open_shop.pointers().items() if place != before[name]}
    assert moved == {"silver_order", "gold_revenue"}


def test_a_refactored_function_of_equal_content_is_unchanged_and_computed_once(shop: Shop) -> None:
    follows = define(lambda silver_plain: silver_plain, "gold_plain")
    shop.orders(*LINES)
    shop.run(bronze_order(), *keyed_and_plain(lambda bronze_order: bronze_order), follows)
    before = shop.files(), shop.pointers()
    result = shop.run(bronze_order(), *keyed_and_plain(refactored), follows)
    assert (result.run, result.state) == (2, "unchanged")
    assert {name: node.reason for name, node in result.tables.items()} == {
        "bronze_order": "nothing it reads has changed since run 1",
        "silver_keyed": "its content is as published",
        "silver_plain": "its content is as published",
        "gold_plain": "what it reads turned out unchanged",
    }
    assert {name: node.ledger.returned for name, node in result.tables.items()} == {
        "bronze_order": 0,
        "silver_keyed": 3,
        "silver_plain": 3,
        "gold_plain": 0,
    }
    assert (shop.files(), shop.pointers()) == before
    assert shop.run(bronze_order(), *keyed_and_plain(refactored), follows).run is None


def test_a_table_that_is_added_later_is_computed_alone(open_shop: Shop) -> None:
    count = define(
        lambda bronze_order: bronze_order.filter(col("amount") > 5), "silver_large", rows=assay.free("large")
    )
    result = open_shop.run(*tables().values(), count)
    assert computed(result) == {"silver_large"}
    assert result.tables["silver_large"].reason == "it has never been published"
    assert open_shop.rows("select id from silver.large order by id") == [(1,), (2,)]


def dated(silver_order: Frame, run: assay.Run) -> Frame:
    return silver_order.with_columns(seen=lit(run.as_of))


def test_only_tables_that_use_the_runs_date_depend_on_it(open_shop: Shop) -> None:
    follows = define(lambda gold_seen: gold_seen.select("seen"), "gold_days")
    with_date = tables(gold_seen=define(dated, "gold_seen"), gold_days=follows)
    open_shop.run(*with_date.values())
    assert open_shop.run(*with_date.values()).run is None
    result = open_shop.run(*with_date.values(), as_of=LATER)
    assert computed(result) == {"gold_seen", "gold_days"}
    assert result.tables["gold_seen"].reason == "it depends on the run's date, which was 2024-12-01"
    assert open_shop.rows("select distinct seen from gold.days") == [(LATER,)]
    assert open_shop.run(*with_date.values(), as_of=LATER).run is None


def test_a_table_depends_on_the_date_also_where_only_its_view_uses_it(open_shop: Shop) -> None:
    @assay.view()
    def seen(bronze_order: Frame, run: assay.Run) -> Frame:
        return bronze_order.with_columns(seen=lit(run.as_of))

    silver = define(lambda seen: seen, "silver_seen")
    open_shop.run(*tables().values(), seen, silver)
    result = open_shop.run(*tables().values(), seen, silver, as_of=LATER)
    assert computed(result) == {"silver_seen"}
    assert open_shop.rows("select distinct seen from silver.seen") == [(LATER,)]


def test_the_table_of_another_pipeline_is_refused_and_stays_as_it_is(open_shop: Shop) -> None:
    other = open_shop.pipeline(
        define(lambda orders: orders.drop("amount"), "bronze_order"), name="other", sources={"orders": ORDERS}
    )
    before = open_shop.pointers()
    with pytest.raises(WarehouseError, match=r"bronze\.order is written by the pipeline 'shop'; 'other' cannot"):
        open_shop.run(other)
    assert (open_shop.pointers(), len(assay.history(open_shop.lake))) == (before, 1)
    assert open_shop.rows("select sum(amount) from bronze.order") == [(35,)]
    assert open_shop.run(*tables().values(), full=True).state == "unchanged"


def test_a_table_that_another_program_changed_is_refused_by_name(open_shop: Shop) -> None:
    with closing(sqlite3.connect(open_shop.lake / "catalog.db")) as catalog, catalog:
        catalog.execute("update iceberg_tables set metadata_location = 'elsewhere' where table_name = 'revenue'")
    for use in (lambda: open_shop.run(*tables().values()), lambda: open_shop.rows("select 1")):
        with pytest.raises(
            WarehouseError, match=r"gold\.revenue was changed by another program than assay since run 1"
        ):
            use()


def test_a_source_without_rows_gives_empty_tables_that_fill_later(shop: Shop) -> None:
    shop.orders()
    shop.deliver("customers.csv", "name,city")
    result = shop.run(*tables().values())
    assert (result.state, {node.rows for node in result.tables.values()}) == ("published", {0})
    assert shop.columns("gold.revenue") == [("customer", "VARCHAR"), ("amount", "BIGINT")]
    assert shop.rows("from gold.revenue") == []
    assert shop.run(*tables().values()).run is None
    shop.orders(*LINES, file="orders2.csv")
    assert shop.run(*tables().values()).tables["gold_revenue"].rows == 2
    assert shop.rows("from gold.revenue order by customer") == [("ann", 15), ("bob", 20)]
