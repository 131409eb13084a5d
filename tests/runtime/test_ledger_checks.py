"""Checks in a run: what warns, is rejected into the quarantine, or stops the publish, and when each is judged."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from narwhals import col

import assay
from assay.model.check import Check
from tests.runtime.shop import DAY, LATER, SETTINGS, Frame, Shop, bronze_order, define

LENIENT = replace(SETTINGS, rejected_share=1.0)
LINES = ("1,ann,10", "2,,-5", "3,ann,30")


def bronze_customer(**declaration: Any) -> assay.Table:
    return define(lambda customers: customers, "bronze_customer", **declaration)


def silver_order(*checks: Check, **declaration: Any) -> assay.Table:
    return define(lambda bronze_order: bronze_order, "silver_order", checks=checks, **declaration)


def verdicts(result: assay.RunResult, table: str) -> dict[str, tuple[str, int, str]]:
    return {v.check: (v.action, v.broken, v.detail) for v in result.tables[table].verdicts}


def test_a_rejected_row_is_kept_whole_with_all_of_its_reasons_and_its_place(shop: Shop) -> None:
    shop.orders(*LINES)
    checks = [
        assay.not_null("customer", action="reject"),
        assay.between("amount", 0, 100, action="reject"),
        assay.fails_when("is three", col("id") == 3, "warn"),
    ]
    result = shop.run(bronze_order(checks=checks), settings=LENIENT)
    assert (result.tables["bronze_order"].ledger.returned, result.tables["bronze_order"].ledger.rejected) == (3, 1)
    assert shop.rows("select id from bronze.order order by id") == [(1,), (3,)]
    (kept,) = shop.rows("select run, node, position, source_file, line, raw, row, reasons from meta.quarantine")
    assert kept[:6] == (1, "bronze_order", (1 << 41) + 2, "orders.csv", 3, None)
    row = json.loads(kept[6])
    assert (row["id"], row["customer"], row["amount"]) == (2, None, -5)
    assert json.loads(kept[7]) == ["not_null(customer)", "between(amount, 0, 100)"]
    assert verdicts(result, "bronze_order") == {
        "not_null(customer)": ("reject", 1, ""),
        "between(amount, 0, 100)": ("reject", 1, ""),
        "is three": ("warn", 1, ""),
    }


def test_a_line_that_does_not_fit_is_kept_as_it_is_in_the_file(shop: Shop) -> None:
    shop.orders("1,ann,10", "two,bob,20", "3,ann,30")
    result = shop.run(bronze_order(), settings=LENIENT)
    source = result.nodes["orders"].ledger
    assert (source.returned, source.rejected, source.written) == (3, 1, 2)
    assert shop.rows("select id from bronze.order order by id") == [(1,), (3,)]
    ((node, line, raw, reasons),) = shop.rows("select node, line, raw, reasons from meta.quarantine")
    assert (node, line, raw) == ("orders", 3, "two,bob,20")
    assert "two" in json.loads(reasons)[0]
    blocked = shop.run(bronze_order(), full=True)
    assert blocked.problems == ("orders: 1 of 3 rows (33.3%) were rejected, more than 5.0% (setting rejected_share)",)


def test_a_rejected_row_leaves_its_place_to_the_next_best_of_its_key(shop: Shop) -> None:
    shop.orders("1,ann,10", "1,ann,20", "1,,90")
    table = silver_order(assay.not_null("customer", action="reject"), key="id", keep=assay.latest("amount"))
    result = shop.run(bronze_order(), table, settings=LENIENT)
    ledger = result.tables["silver_order"].ledger
    assert (ledger.returned, ledger.rejected, ledger.deduplicated, ledger.written) == (3, 1, 1, 1)
    assert shop.rows("select amount from silver.order") == [(20,)]


@pytest.mark.parametrize(("share", "ok"), [(0.32, False), (1 / 3, True), (1.0, True), (0.0, False)])
def test_a_share_of_rejected_rows_above_the_setting_stops_the_publish(shop: Shop, share: float, ok: bool) -> None:
    shop.orders(*LINES)
    table = bronze_order(checks=[assay.not_null("customer", action="reject")])
    result = shop.run(table, settings=replace(SETTINGS, rejected_share=share))
    assert result.ok is ok
    said = f"bronze_order: 1 of 3 rows (33.3%) were rejected, more than {share:.1%} (setting rejected_share)"
    assert result.problems == (() if ok else (said,))
    assert shop.rows("select node, row_count from meta.ledger where line = 'rejected' and row_count > 0") == [
        ("bronze_order", 1)
    ]
    assert shop.rows("select count(*) from meta.quarantine") == [(1,)]
    assert bool(shop.pointers()) is ok


@pytest.mark.parametrize("action", ["warn", "reject", "block"])
@pytest.mark.parametrize(
    "check",
    [
        assay.not_null("customer"),
        assay.between("amount", 0, 50),
        assay.accepted("amount", [10, 30]),
        assay.fails_when("a debt", col("amount") < 0),
    ],
    ids=lambda check: check.name,
)
def test_a_row_check_warns_rejects_or_blocks(shop: Shop, check: Any, action: str) -> None:
    shop.orders(*LINES, "4,dan,")
    result = shop.run(bronze_order(checks=[replace(check, action=action)]), settings=LENIENT)
    assert verdicts(result, "bronze_order") == {check.name: (action, 1, "")}
    assert result.to_json()["tables"]["bronze_order"]["checks"] == [
        {"check": check.name, "action": action, "broken": 1, "detail": ""}
    ]
    problem = f"bronze_order: check {check.name} is broken by 1 row"
    assert result.problems == ((problem,) if action == "block" else ())
    assert shop.rows("select name, action, broken from meta.check") == [(check.name, action, 1)]
    assert result.tables["bronze_order"].rows == (3 if action == "reject" else 4)


DAYS = assay.csv("days*.csv", columns={"id": "BIGINT", "day": "DATE"})
TABLE_CHECKS: dict[str, tuple[Any, list[str], list[str], int]] = {
    "unique": (assay.unique("id"), ["1,2024-12-01", ",2024-12-01", ",2024-12-01"], ["1,2024-12-01"] * 3, 2),
    "unique of two": (assay.unique("id", "day"), ["1,2024-11-01", "1,2024-12-01"], ["1,2024-12-01"] * 2, 1),
    "row_count min": (assay.row_count(min=2), ["1,2024-12-01", "2,2024-12-01"], ["1,2024-12-01"], 1),
    "row_count max": (assay.row_count(max=1), ["1,2024-12-01"], ["1,2024-12-01", "2,2024-12-01"], 1),
    "row_count of none": (assay.row_count(min=1), ["1,2024-12-01"], ["9,2024-12-01"], 1),
    "fresh_within": (assay.fresh_within("day", days=7), ["1,2020-01-01", "2,2024-11-24"], ["1,2024-11-23"], 1),
    "fresh_within of none": (assay.fresh_within("day", days=7), ["1,2024-12-09"], ["1,"], 1),
}


@pytest.mark.parametrize("action", ["warn", "block"])
@pytest.mark.parametrize("case", TABLE_CHECKS)
def test_a_check_of_a_table_passes_and_fails(shop: Shop, case: str, action: str) -> None:
    check, good, bad, broken = TABLE_CHECKS[case]

    def bronze_day(days: Frame) -> Frame:
        return assay.drop_where(days, "nines", col("id") == 9)

    table = define(bronze_day, "bronze_day", checks=[replace(check, action=action)])
    pipeline = shop.pipeline(table, sources={"days": DAYS})
    shop.deliver("days.csv", "id,day", *good)
    result = shop.run(pipeline)
    assert (result.state, verdicts(result, "bronze_day")) == ("published", {check.name: (action, 0, "")})
    shop.deliver("days.csv", "id,day", *bad)
    result = shop.run(pipeline)
    assert verdicts(result, "bronze_day") == {check.name: (action, broken, "")}
    rows = f"{broken} {'row' if broken == 1 else 'rows'}"
    said = f"bronze_day: check {check.name} is broken by {rows}"
    assert result.problems == ((said,) if action == "block" else ())
    stands = good if action == "block" else [line for line in bad if not line.startswith("9")]
    assert shop.rows("select count(*) from bronze.day") == [(len(stands),)]


def test_freshness_is_judged_again_on_a_later_date_though_nothing_was_delivered(shop: Shop) -> None:
    check = assay.fresh_within("day", days=7, action="block")
    pipeline = shop.pipeline(define(lambda days: days, "bronze_day", checks=[check]), sources={"days": DAYS})
    shop.deliver("days.csv", "id,day", "1,2024-12-01")
    assert shop.run(pipeline, as_of=DAY + dt.timedelta(days=7)).ok
    result = shop.run(pipeline, as_of=DAY + dt.timedelta(days=8))
    assert result.problems == ("bronze_day: check fresh_within(day, 7 days) is broken by 1 row",)


@pytest.mark.parametrize("action", ["warn", "block"])
def test_references_pass_for_known_and_null_values_and_count_the_rows_of_the_unknown(shop: Shop, action: Any) -> None:
    check = assay.references("customer", "bronze_customer.name", action=action)
    tables = bronze_order(), bronze_customer(), silver_order(check)
    shop.orders("1,ann,10", "2,bob,20", "3,,30")
    shop.deliver("customers.csv", "name,city", "ann,Rome", "bob,Oslo", "bob,Bari")
    result = shop.run(*tables)
    assert (result.state, verdicts(result, "silver_order")) == ("published", {check.name: (action, 0, "")})
    shop.orders("1,ann,10", "2,cat,20", "3,cat,30", "4,dan,40")
    result = shop.run(*tables)
    assert verdicts(result, "silver_order") == {check.name: (action, 3, "")}
    said = "silver_order: check references(customer, bronze_customer.name) is broken by 3 rows"
    assert result.problems == ((said,) if action == "block" else ())


@pytest.mark.parametrize("action", ["warn", "block"])
@pytest.mark.parametrize(
    ("check", "lines", "detail"),
    [
        (assay.reconciles("amount", "bronze_order.amount"), ("1,ann,6", "2,bob,4"), ("10", "10 here, 15 there")),
        (
            assay.reconciles("amount", "bronze_order.customer", count=True),
            ("1,ann,1", "2,,0"),
            ("1", "1 here, 2 there"),
        ),
        (assay.reconciles("amount", "bronze_order"), ("1,ann,1", "2,,1"), ("2", "2 here, 3 there")),
    ],
    ids=["a sum", "a count", "the rows"],
)
def test_reconciles_compares_a_sum_with_a_sum_a_count_or_the_rows(
    shop: Shop, check: Any, action: Any, lines: tuple[str, ...], detail: tuple[str, str]
) -> None:
    def gold_total(bronze_order: Frame) -> Frame:
        return bronze_order.filter(col("id") < 9)

    judged = define(gold_total, "gold_total", checks=[replace(check, action=action)], rows=assay.free("a sample"))
    shop.orders(*lines)
    result = shop.run(bronze_order(), judged)
    assert (result.state, verdicts(result, "gold_total")) == ("published", {check.name: (action, 0, detail[0])})
    shop.orders(*lines, "9,cat,5")
    result = shop.run(bronze_order(), judged)
    assert verdicts(result, "gold_total") == {check.name: (action, 1, detail[1])}
    said = f"gold_total: check {check.name} is broken by 1 row ({detail[1]})"
    assert result.problems == ((said,) if action == "block" else ())


def test_references_are_judged_again_where_only_the_other_side_changed(shop: Shop) -> None:
    check = assay.references("customer", "bronze_customer.name")
    tables = bronze_order(), bronze_customer(), silver_order(check)
    shop.orders("1,ann,10", "2,bob,20")
    shop.deliver("customers.csv", "name,city", "ann,Rome", "bob,Oslo")
    assert shop.run(*tables).ok
    shop.deliver("customers.csv", "name,city", "ann,Rome", "eve,Oslo")
    result = shop.run(*tables)
    assert (result.tables["silver_order"].status, result.tables["silver_order"].attempts) == ("unchanged", 0)
    assert verdicts(result, "silver_order") == {check.name: ("block", 1, "")}
    assert result.problems == (f"silver_order: check {check.name} is broken by 1 row",)
    assert shop.rows("select name from bronze.customer order by name") == [("ann",), ("bob",)]
    result = shop.run(*tables, select=["bronze_customer"])
    assert result.problems == (f"silver_order: check {check.name} is broken by 1 row",)


def test_a_selection_that_is_checked_against_what_was_never_published_is_refused(shop: Shop) -> None:
    check = assay.references("customer", "bronze_customer.name")
    shop.orders("1,ann,10")
    shop.deliver("customers.csv", "name,city", "ann,Rome")
    tables = bronze_order(), bronze_customer(), silver_order(check)
    with pytest.raises(assay.DeclarationError, match=r"bronze_customer.*never been published"):
        shop.run(*tables, select=["+silver_order"])
    assert shop.run(*tables, select=["+silver_order", "bronze_customer"]).ok


@pytest.mark.parametrize("table", ["run", "table_version", "ledger", "check", "slice", "quarantine", "quarantine_file"])
def test_the_tables_of_a_run_have_their_columns_also_while_they_are_empty(shop: Shop, table: str) -> None:
    shop.orders("1,ann,10")
    shop.run(bronze_order())
    columns = {"run": "id", "slice": "dataset"}
    assert shop.rows(f"select {columns.get(table, 'run')} from meta.{table} limit 0") == []


def test_checks_of_a_table_that_stands_are_not_judged_again(shop: Shop) -> None:
    tables = bronze_order(), bronze_customer(), silver_order(assay.references("id", "bronze_order.id"))
    shop.orders("1,ann,10")
    shop.deliver("customers.csv", "name,city", "ann,Rome")
    shop.run(*tables)
    shop.deliver("customers2.csv", "name,city", "eve,Oslo")
    result = shop.run(*tables, as_of=LATER)
    assert result.state == "published"
    assert result.tables["silver_order"].verdicts == ()


@pytest.mark.parametrize(
    ("lines", "problem", "own"),
    [
        (("1,ann,10", "1,ann,10", "1,bob,2"), "unique(id) is broken by 2 rows", assay.unique("id", action="warn")),
        (("1,ann,10", ",bob,20"), "not_null(id) is broken by 1 row", assay.not_null("id", action="warn")),
    ],
    ids=["shared", "null"],
)
@pytest.mark.parametrize("warned", [False, True], ids=["", "and only warned of"])
def test_a_key_that_is_shared_or_null_stops_the_publish(
    shop: Shop, lines: tuple[str, ...], problem: str, own: Check, warned: bool
) -> None:
    shop.orders(*lines)
    result = shop.run(bronze_order(key="id", checks=[own] if warned else []))
    assert result.problems == (f"bronze_order: check {problem}",)
    assert shop.pointers() == {}


def test_a_null_key_can_be_rejected_instead(shop: Shop) -> None:
    shop.orders("1,ann,10", ",bob,20", "1,bob,20")
    table = bronze_order(
        key="id", keep=assay.first_in_source(), checks=[assay.not_null("id", action="reject")], write=assay.Merge()
    )
    result = shop.run(table, settings=LENIENT)
    ledger = result.tables["bronze_order"].ledger
    assert (ledger.returned, ledger.rejected, ledger.deduplicated, ledger.written) == (3, 1, 1, 1)
    assert shop.rows("select customer from bronze.order") == [("ann",)]


@pytest.mark.parametrize("action", ["reject", "block"])
@pytest.mark.parametrize("keep", [None, assay.latest("amount"), assay.first_in_source()], ids=["", "latest", "first"])
def test_a_row_without_a_key_is_told_also_when_a_later_delivery_brings_it(shop: Shop, keep: Any, action: Any) -> None:
    table = silver_order(assay.not_null("id", action=action), key="id", keep=keep, write=assay.Merge())
    shop.orders(*(f"{number},ann,{number}" for number in range(1, 21)), file="orders1.csv")
    shop.run(bronze_order(), table)
    shop.orders("21,bob,21", ",cat,22", file="orders2.csv")
    result = shop.run(bronze_order(), table, settings=LENIENT)
    assert verdicts(result, "silver_order")["not_null(id)"] == (action, 1, "")
    assert result.problems == (() if action == "reject" else ("silver_order: check not_null(id) is broken by 1 row",))
    kept = [json.loads(row)["customer"] for (row,) in shop.rows("select row from meta.quarantine")]
    assert kept == (["cat"] if action == "reject" else [])
