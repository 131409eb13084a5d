"""No row is lost or multiplied without a declaration: what each grain forgives, what it blocks, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import narwhals as nw
import pytest
from narwhals import col, concat

import assay
from tests.runtime.shop import Frame, Shop, bronze_order, define

LINES = ("1,ann,10", "2,bob,20", "3,ann,5", "4,,7")
CITIES = ("ann,Rome", "bob,Oslo")
REMEDY = "without a declaration (drop rows by drop_where(frame, reason, expr), or declare the grain by rows=)"


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    shop.orders(*LINES)
    shop.deliver("customers.csv", "name,city", *CITIES)
    return shop


def bronze_customer(**declaration: Any) -> assay.Table:
    return define(lambda customers: customers, "bronze_customer", **declaration)


def joined(how: Any) -> Callable[[Frame, Frame], Frame]:
    def silver_order(bronze_order: Frame, bronze_customer: Frame) -> Frame:
        known = bronze_customer.select(col("name").alias("customer"), "city")
        return bronze_order.join(known, on="customer", how=how)

    return silver_order


def large(bronze_order: Frame) -> Frame:
    return bronze_order.filter(col("amount") > 5)


def doubled(bronze_order: Frame) -> Frame:
    return concat([bronze_order, bronze_order.filter(col("amount") > 5)])


LOSSES = {
    "an inner join": (joined("inner"), assay.lookup("bronze_customer"), "read 4 rows, returned 3", "1 lost"),
    "a filter": (large, assay.same(), "read 4 rows, returned 3", "1 lost"),
    "a union": (doubled, assay.same(), "read 4 rows, returned 7", "3 gained"),
    "times, and a filter": (doubled, assay.times(2), "read 4 rows, 2 for each are 8, returned 7", "1 lost"),
    "a join nobody declared": (joined("left"), assay.same(), "read 6 rows, returned 4", "2 lost"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_lost_or_gained_without_a_declaration_stop_the_publish_of_the_whole_run(stocked: Shop, loss: str) -> None:
    function, grain, account, sentence = LOSSES[loss]
    result = stocked.run(bronze_order(), bronze_customer(), define(function, "silver_order", rows=grain))
    assert (result.state, result.ok) == ("failed", False)
    assert result.problems == (f"silver_order: it {account} and filtered 0: {sentence} {REMEDY}",)
    assert stocked.pointers() == {}
    assert [past.state for past in assay.history(stocked.lake)] == ["failed"]


def test_what_was_published_stays_when_a_later_run_loses_a_row(stocked: Shop) -> None:
    silver = define(joined("inner"), "silver_order", rows=assay.lookup("bronze_customer"))
    stocked.orders(*LINES[:3])
    assert stocked.run(bronze_order(), bronze_customer(), silver).ok
    before = stocked.pointers(), stocked.rows("from silver.order order by all")
    stocked.orders(*LINES)
    result = stocked.run(bronze_order(), bronze_customer(), silver)
    assert "1 lost" in result.problems[0]
    assert result.tables["bronze_order"].status == "written"
    assert (stocked.pointers(), stocked.rows("from silver.order order by all")) == before
    assert stocked.rows("select count(*) from bronze.order") == [(3,)]


def test_a_lookup_that_multiplies_rows_stops_the_publish(stocked: Shop) -> None:
    stocked.deliver("customers.csv", "name,city", *CITIES, "ann,Bari")
    silver = define(joined("left"), "silver_order", rows=assay.lookup("bronze_customer"))
    result = stocked.run(bronze_order(), bronze_customer(), silver)
    assert result.problems == (f"silver_order: it read 4 rows, returned 6 and filtered 0: 2 gained {REMEDY}",)


def test_a_lookup_that_keeps_the_number_of_rows_is_published(stocked: Shop) -> None:
    silver = define(joined("left"), "silver_order", rows=assay.lookup("bronze_customer"))
    result = stocked.run(bronze_order(), bronze_customer(), silver)
    assert result.tables["silver_order"].ledger.read == {"bronze_order": 4, "bronze_customer": 2}
    assert stocked.rows("select id, city from silver.order order by id") == [
        (1, "Rome"),
        (2, "Oslo"),
        (3, "Rome"),
        (4, None),
    ]


def test_rows_dropped_by_name_are_counted_by_reason_and_null_drops_nothing(stocked: Shop) -> None:
    def silver_order(bronze_order: Frame) -> Frame:
        kept = assay.drop_where(bronze_order, "small", col("amount") < 6)
        kept = assay.drop_where(kept, "bob's", col("customer") == "bob")
        return assay.drop_where(kept, "small", col("amount") < 8)

    result = stocked.run(bronze_order(), define(silver_order, "silver_order"))
    assert result.tables["silver_order"].ledger.filtered == {"small": 2, "bob's": 1}
    shown = result.to_json()["tables"]["silver_order"]
    assert (shown["read"], shown["filtered"], shown["filtered_by"], shown["returned"]) == (
        {"bronze_order": 4},
        3,
        {"small": 2, "bob's": 1},
        1,
    )
    assert stocked.rows("select id from silver.order") == [(1,)]
    lines = "select name, row_count from meta.ledger where node = 'silver_order' and line = 'filtered' order by 1"
    assert stocked.rows(lines) == [("bob's", 1), ("small", 2)]


def test_a_view_has_a_ledger_of_its_own_and_blocks_too(stocked: Shop) -> None:
    @assay.view()
    def known(bronze_order: Frame) -> Frame:
        return assay.drop_where(bronze_order, "nobody's", col("customer").is_null())

    @assay.view(rows=assay.times(2))
    def twice(known: Frame) -> Frame:
        return assay.stack(known, known).filter(col("id") > 1)

    good = stocked.run(bronze_order(), known, define(lambda known: known, "silver_order"))
    assert good.nodes["known"].ledger.filtered == {"nobody's": 1}
    assert good.tables["silver_order"].ledger.read == {"known": 3}
    bad = stocked.run(bronze_order(), known, twice, define(lambda twice: twice, "silver_order"))
    assert bad.problems == (f"twice: it read 3 rows, 2 for each are 6, returned 4 and filtered 0: 2 lost {REMEDY}",)


def test_a_view_that_loses_a_row_of_new_data_stops_the_publish_though_it_is_as_it_was(stocked: Shop) -> None:
    step = assay.View(
        "step",
        joined("inner"),
        {n: n for n in ("bronze_order", "bronze_customer")},
        rows=assay.lookup("bronze_customer"),
    )
    tables = bronze_order(), bronze_customer(), step, define(lambda step: step, "silver_order")
    stocked.orders(*LINES[:3])
    assert stocked.run(*tables).ok
    stocked.orders(*LINES)
    assert stocked.plan(*tables)["step"] == ("maybe", "silver_order may read it")
    result = stocked.run(*tables)
    assert result.problems == (f"step: it read 4 rows, returned 3 and filtered 0: 1 lost {REMEDY}",)
    assert stocked.rows("select count(*) from silver.order") == [(3,)]


def test_a_view_shows_what_it_filtered_also_where_it_was_only_found_to_be_needed(stocked: Shop) -> None:
    @assay.view()
    def known(bronze_order: Frame) -> Frame:
        return assay.drop_where(bronze_order, "nobody's", col("customer").is_null())

    tables = bronze_order(), known, define(lambda known: known, "silver_order")
    stocked.run(*tables)
    stocked.orders(*LINES, "5,,1")
    result = stocked.run(*tables)
    assert result.nodes["known"].ledger.filtered == {"nobody's": 2}
    assert stocked.rows("select row_count from meta.ledger where line = 'filtered' order by run") == [(1,), (2,)]


def test_times_forgives_what_is_dropped_by_name_after_multiplying(stocked: Shop) -> None:
    def silver_end(bronze_order: Frame) -> Frame:
        return assay.drop_where(assay.stack(bronze_order, bronze_order), "small", col("amount") < 6)

    result = stocked.run(bronze_order(), define(silver_end, "silver_end", rows=assay.times(2)))
    ledger = result.tables["silver_end"].ledger
    assert (result.ok, ledger.read, ledger.filtered, ledger.returned) == (True, {"bronze_order": 4}, {"small": 2}, 6)


def totals(bronze_order: Frame) -> Frame:
    return bronze_order.group_by("customer").agg(revenue=col("amount").sum(), orders=nw.len())


def rows_dropped(bronze_order: Frame) -> Frame:
    return totals(assay.drop_where(bronze_order, "small", col("amount") < 6))


def groups_dropped(bronze_order: Frame) -> Frame:
    return assay.drop_where(totals(bronze_order), "ann's", col("customer") == "ann")


GROUPS = {
    "all rows": (totals, 42, 4, {}),
    "rows dropped by name": (rows_dropped, 37, 3, {"small": 1}),
    "groups dropped by name": (groups_dropped, 27, 2, {"ann's": 1}),
}
GRAINS = {
    "a sum": assay.groups("customer", total={"revenue": "amount"}),
    "a count": assay.groups("customer", count="orders"),
}


@pytest.mark.parametrize("case", GROUPS)
@pytest.mark.parametrize("grain", GRAINS)
def test_groups_whose_control_total_comes_out_are_published(stocked: Shop, case: str, grain: str) -> None:
    function, amount, orders, filtered = GROUPS[case]
    result = stocked.run(bronze_order(), define(function, "gold_total", rows=GRAINS[grain]))
    assert result.problems == ()
    assert stocked.rows("select sum(revenue), sum(orders) from gold.total") == [(amount, orders)]
    (total,) = result.tables["gold_total"].ledger.totals
    comes_out = orders if grain == "a count" else amount
    assert (total.went_in, total.came_out, total.agrees) == (comes_out, comes_out, True)
    assert result.tables["gold_total"].ledger.filtered == filtered


def rows_dropped_by_groups(bronze_order: Frame) -> Frame:
    known = totals(bronze_order).select("customer", bought=col("orders"))
    kept = assay.drop_where(bronze_order.join(known, on="customer"), "many", col("bought") > 1)
    return totals(kept)


def groups_with_largest_dropped(bronze_order: Frame) -> Frame:
    grouped = bronze_order.group_by("customer").agg(
        revenue=col("amount").sum(), orders=nw.len(), amount=col("amount").max()
    )
    return assay.drop_where(grouped, "ann's", col("customer") == "ann")


NAMESAKES = {
    "numbers": {"revenue": col("amount") * 100, "orders": col("id") + 6},
    "texts": {"revenue": col("customer"), "orders": col("customer")},
}
DROPPED: dict[str, tuple[Callable[[Frame], Frame], int, int]] = {
    "nothing": (totals, 42, 4),
    "rows": (rows_dropped, 37, 3),
    "rows, by what their groups have": (rows_dropped_by_groups, 27, 2),
    "groups": (groups_dropped, 27, 2),
    "groups, beside a column of the name that is read": (groups_with_largest_dropped, 27, 2),
}


@pytest.mark.parametrize("what", NAMESAKES)
@pytest.mark.parametrize("case", DROPPED)
@pytest.mark.parametrize("grain", GRAINS)
def test_a_control_total_comes_out_though_the_input_has_columns_of_the_names_of_the_result(
    stocked: Shop, case: str, grain: str, what: str
) -> None:
    function, amount, orders = DROPPED[case]
    stocked.orders("1,ann,10", "2,bob,20", "3,ann,5", "4,cat,7")
    wider = define(lambda orders: orders.with_columns(**NAMESAKES[what]))
    result = stocked.run(wider, define(function, "gold_total", rows=GRAINS[grain]))
    assert result.problems == ()
    assert stocked.rows("select sum(revenue), sum(orders) from gold.total") == [(amount, orders)]
    (total,) = result.tables["gold_total"].ledger.totals
    assert total.went_in == total.came_out == (orders if grain == "a count" else amount)


def test_a_total_of_a_column_that_has_its_name_in_the_input_alone_is_what_the_named_one_was(stocked: Shop) -> None:
    def renamed(silver_order: Frame) -> Frame:
        named = silver_order.select("customer", revenue=col("amount"))
        kept = assay.drop_where(named, "small", col("revenue") < 6)
        return kept.group_by("customer").agg(col("revenue").sum())

    wider = define(lambda bronze_order: bronze_order.with_columns(revenue=col("amount") * 100), "silver_order")
    result = stocked.run(bronze_order(), wider, define(renamed, "gold_total", rows=GRAINS["a sum"]))
    assert (result.problems, stocked.rows("select sum(revenue) from gold.total")) == ((), [(37,)])


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (assay.groups("customer", total={"revenue": "amount"}), "revenue went in as 42 and came out as 37"),
        (assay.groups("customer", count="orders"), "orders went in as 4 and came out as 3"),
        (assay.groups("customer", total={"euro": "amount"}), "euro went in as 42 and came out as 37.0"),
    ],
)
def test_groups_whose_control_total_does_not_come_out_stop_the_publish(stocked: Shop, rows: Any, sentence: str) -> None:
    def lossy(bronze_order: Frame) -> Frame:
        return totals(bronze_order.filter(col("amount") > 5)).with_columns(euro=col("revenue").cast(nw.Float64()))

    result = stocked.run(bronze_order(), define(lossy, "gold_total", rows=rows))
    assert result.problems == (f"gold_total: the control total {sentence}",)
    assert stocked.pointers() == {}


def test_groups_that_give_one_key_two_rows_stop_the_publish(stocked: Shop) -> None:
    def by_id(bronze_order: Frame) -> Frame:
        return bronze_order.group_by("customer", "id").agg(col("amount").sum())

    result = stocked.run(bronze_order(), define(by_id, "gold_total", rows=assay.groups("customer", total="amount")))
    assert result.problems == ("gold_total: check unique(customer) is broken by 1 row",)


def test_a_decimal_control_total_keeps_every_digit(stocked: Shop) -> None:
    def dear(bronze_order: Frame) -> Frame:
        return bronze_order.with_columns(amount=col("amount").cast(nw.Decimal(38, 2)) * 1_000_000_000_000_000)

    def gold_total(silver_order: Frame) -> Frame:
        return totals(silver_order)

    gold = define(gold_total, "gold_total", rows=assay.groups("customer", total={"revenue": "amount"}))
    result = stocked.run(bronze_order(), define(dear, "silver_order"), gold)
    (total,) = result.tables["gold_total"].ledger.totals
    assert (total.went_in, total.came_out) == ("42000000000000000.00", "42000000000000000.00")


WEIGHTS = assay.csv("orders*.csv", columns={"id": "BIGINT", "customer": "VARCHAR", "amount": "DOUBLE"})
WEIGHED = {
    "what cancels out": ("1,ann,1e9", "2,bob,-1e9", "3,ann,0.1", "4,bob,1e9", "5,cat,-1e9"),
    "what is dropped for the most part": ("1,ann,0.1", "2,bob,1e9", "3,ann,0.2"),
    "what is small": ("1,ann,1e-10", "2,bob,2e-10", "3,ann,3e-10"),
    "infinity": ("1,ann,inf", "2,bob,1"),
    "no number": ("1,ann,nan", "2,bob,1"),
}


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("what", WEIGHED)
def test_a_control_total_of_doubles_comes_out_whatever_was_summed(shop: Shop, what: str, *, drops: bool) -> None:
    def gold_total(bronze_order: Frame) -> Frame:
        kept = assay.drop_where(bronze_order, "bob's", col("customer") == "bob") if drops else bronze_order
        return totals(kept)

    shop.orders(*WEIGHED[what])
    grain = assay.groups("customer", total={"revenue": "amount"})
    check = assay.reconciles("revenue", "silver_order.amount")
    tables = [
        bronze_order(),
        define(
            lambda bronze_order: bronze_order.filter(col("customer") != "bob"), "silver_order", rows=assay.free("x")
        ),
        define(gold_total, "gold_total", rows=grain, checks=[check] if drops else []),
    ]
    result = shop.run(shop.pipeline(*tables, sources={"orders": WEIGHTS}))
    assert (result.state, result.problems) == ("published", ())


def test_a_small_control_total_that_does_not_come_out_stops_the_publish(shop: Shop) -> None:
    def gold_total(bronze_order: Frame) -> Frame:
        return totals(bronze_order.filter(col("customer") == "ann"))

    shop.orders(*WEIGHED["what is small"])
    gold = define(gold_total, "gold_total", rows=assay.groups("customer", total={"revenue": "amount"}))
    result = shop.run(shop.pipeline(bronze_order(), gold, sources={"orders": WEIGHTS}))
    (problem,) = result.problems
    assert problem.startswith("gold_total: the control total revenue went in as 6")


def test_rows_that_are_free_by_declaration_are_published_and_shown_as_unaccounted(stocked: Shop) -> None:
    result = stocked.run(bronze_order(), define(large, "silver_order", rows=assay.free("samples")))
    assert result.ok
    assert result.tables["silver_order"].ledger.unaccounted(assay.free("samples")) == 1
    assert result.to_json()["tables"]["silver_order"]["unaccounted"] == 1


def test_ledger_and_checks_of_a_failed_run_can_be_read_and_are_told_apart(stocked: Shop) -> None:
    checks = [assay.between("amount", 6, 100), assay.row_count(max=2, action="block")]
    result = stocked.run(bronze_order(checks=checks), define(large, "silver_order"))
    assert result.state == "failed"
    assert stocked.pointers() == {}
    assert stocked.rows("select id, state, seq from meta.run") == [(1, "failed", None)]
    lines = "select line, name, row_count from meta.ledger where run = 1 and node = 'silver_order' and row_count > 0"
    assert sorted(stocked.rows(lines)) == [
        ("inserted", "", 3),
        ("read", "bronze_order", 4),
        ("returned", "", 3),
        ("written", "", 3),
    ]
    assert stocked.rows("select node, name, action, broken from meta.check where run = 1 order by name") == [
        ("bronze_order", "between(amount, 6, 100)", "warn", 1),
        ("bronze_order", "row_count(max=2)", "block", 1),
    ]
