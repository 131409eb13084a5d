"""Months and days: a run that is asked for one rebuilds just that, and says which tables do not know it."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from narwhals import col

import assay
from assay.model.errors import UsageError
from tests.runtime.sales import (
    BY_DAY,
    BY_MONTH,
    EVERY,
    FIRST,
    SECOND,
    SOURCES,
    TABLES,
    deliver,
    gold_day,
    gold_month,
    month_of_row,
    silver_sale,
    stored,
)
from tests.runtime.shop import DAY as TODAY
from tests.runtime.shop import LATER, SETTINGS, Shop, define

Rows = dict[str, list[tuple[Any, ...]]]
DAY = dt.date(2024, 2, 5)


def run(shop: Shop, *tables: Any, ok: bool = True, **arguments: Any) -> assay.RunResult:
    result = shop.run(shop.pipeline(*(tables or TABLES), sources=SOURCES), **arguments)
    assert result.ok is ok, result.problems
    return result


def plan(shop: Shop, **arguments: Any) -> dict[str, tuple[str, str]]:
    return shop.plan(shop.pipeline(*TABLES, sources=SOURCES), **arguments)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A lake with the first delivery; whoever changes it asks for `mine`."""
    shop = Shop(tmp_path_factory.mktemp("first"))
    deliver(shop, 1, FIRST)
    run(shop)
    shop.keep()
    return shop


@pytest.fixture
def mine(first: Shop) -> Iterator[Shop]:
    yield first
    first.restore()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """What both deliveries leave where no period was ever asked for."""
    shop = Shop(tmp_path_factory.mktemp("whole"))
    deliver(shop, 1, FIRST)
    deliver(shop, 2, SECOND)
    run(shop)
    return stored(shop)


@pytest.fixture
def grown(mine: Shop) -> Shop:
    """The lake, and a second delivery waiting that brings rows of three months, one of them new."""
    deliver(mine, 2, SECOND)
    return mine


def within(rows: Rows, table: str, period: str) -> list[tuple[Any, ...]]:
    return [row for row in rows[table] if period in (month_of_row(row), str(row[0]))]


def beyond(rows: Rows, table: str, period: str) -> list[tuple[Any, ...]]:
    return [row for row in rows[table] if row not in within(rows, table, period)]


@pytest.mark.parametrize(
    ("period", "tables"),
    [
        pytest.param("2024-02", BY_MONTH, marks=pytest.mark.faults),
        ("2024-04", BY_MONTH),
        ("2024-02-05", BY_DAY),
        pytest.param("2024-04-01", BY_DAY, marks=pytest.mark.faults),
    ],
)
def test_a_period_is_replaced_with_no_other_row_and_the_next_run_brings_what_it_left_out(
    grown: Shop, whole: Rows, period: str, tables: set[str]
) -> None:
    before = stored(grown, stamps=True)
    asked = {"month": period} if len(period) == 7 else {"date": dt.date.fromisoformat(period)}
    result = run(grown, as_of=LATER, **asked)
    after, plain = stored(grown, stamps=True), stored(grown)
    for table in tables:
        assert beyond(after, table, period) == beyond(before, table, period), table
        assert within(plain, table, period) == within(whole, table, period) != [], table
        assert result.tables[table].status == "written"
    if "month" in asked:
        # What has no months is made of the others as they stand now.
        assert {shop for shop, *_ in plain["silver_shop"]} == {row[2] for row in plain["bronze_first"]}
    else:
        assert {name: plain[name] for name in EVERY - tables} == {name: whole[name] for name in EVERY - tables}
    rest = run(grown)
    assert stored(grown) == whole
    assert {rest.tables[table].reason for table in tables & {"bronze_sale"}} <= {"sales was published by run 2 since"}


def test_stamps_of_a_rebuilt_month_move_only_where_a_row_changed(grown: Shop) -> None:
    run(grown, month="2024-01", as_of=LATER)
    old, new = (dt.datetime.combine(day, dt.time()) for day in (TODAY, LATER))
    found = grown.rows("select id, created_at, updated_at from silver.sale order by id")
    assert found == [*((n, old, old) for n in range(1, 6)), (6, new, new)]
    assert grown.rows("select * from gold.month where updated_at > created_at") == [("2024-01", 31, old, new)]
    assert grown.rows("select count(distinct sale_id), max(sale_id) from silver.sale") == [(6, 6)]


def test_files_of_other_months_are_not_written_anew(grown: Shop) -> None:
    ledger = run(grown, month="2024-02").tables["bronze_sale"].ledger
    with closing(sqlite3.connect(grown.lake / "catalog.db")) as catalog:
        moved = "select partition ->> 'sale_month', removed_seq from assay_file where dataset = 'bronze.sale'"
        files = catalog.execute(f"{moved} and (added_seq = 2 or removed_seq = 2) order by 2").fetchall()
    assert files == [("2024-02", None), ("2024-02", 2)]
    assert (ledger.written, ledger.inserted - ledger.deleted) == (5, 3)


def test_totals_that_must_agree_are_compared_within_the_period(grown: Shop) -> None:
    result = run(grown, date=DAY)
    assert [(v.check, v.broken, v.detail) for v in result.tables["gold_day"].verdicts if "reconciles" in v.check] == [
        ("reconciles(amount, bronze_first.amount)", 0, "32")
    ]
    short = replace(gold_day, function=_one_less, rows=assay.free("for a test"))
    tables = [short if table is gold_day else table for table in TABLES]
    result = run(grown, *tables, date=DAY, ok=False)
    assert [problem.split("(", 1)[1] for problem in result.problems] == [
        "amount, bronze_first.amount) is broken by 1 row (30 here, 32 there)"
    ]


def _one_less(bronze_first: Any) -> Any:
    return gold_day.function(bronze_first).with_columns(col("amount") - 1)


@pytest.mark.parametrize("behind", [False, True])
def test_totals_of_a_table_without_the_period_are_compared_whole(mine: Shop, behind: bool) -> None:
    """Comparing a month of one side with all of the other would never agree."""
    bare = define(lambda silver_sale: silver_sale.select("id", "amount"), "gold_bare")
    month = replace(gold_month, checks=(assay.reconciles("amount", "gold_bare.amount"),))
    tables = [bare, *(month if table is gold_month else table for table in TABLES)]
    run(mine, *tables)
    deliver(mine, 2, SECOND if behind else SECOND[1:3])
    result = run(mine, *tables, layers=["bronze", "silver"])
    result = run(mine, *tables, layers=["gold"], month="2024-02", ok=not behind)
    told = ["gold_month: check reconciles(amount, gold_bare.amount) is broken by 1 row (155 here, 161 there)"]
    assert list(result.problems) == (told if behind else [])


@pytest.mark.parametrize(
    ("asked", "table", "reason"),
    [
        ({"month": "2024-02"}, "silver_sale", "--month 2024-02: sale_month 2024-02"),
        ({"month": "2024-02"}, "gold_day", "--month 2024-02: day 2024-02-01 to 2024-02-29"),
        ({"date": DAY}, "gold_day", "--date 2024-02-05: day 2024-02-05"),
    ],
)
def test_the_plan_says_what_is_rebuilt(first: Shop, asked: dict[str, Any], table: str, reason: str) -> None:
    assert plan(first, **asked)[table] == ("run", reason)


@pytest.mark.row("000-15")
@pytest.mark.parametrize(
    ("asked", "ignoring"),
    [
        (
            {"month": "2024-02"},
            {
                "silver_shop": "no month in its partitions or key",
                "gold_rank": "its function, or a check, does not keep the months apart",
                "gold_last": "its function, or a check, does not keep the months apart",
            },
        ),
        ({"date": DAY}, dict.fromkeys(EVERY - BY_DAY, "no day in its partitions or key")),
    ],
    ids=["month", "day"],
)
def test_the_plan_names_every_table_that_ignores_the_period_and_why(
    first: Shop, asked: dict[str, Any], ignoring: dict[str, str]
) -> None:
    option = "--month 2024-02" if "month" in asked else f"--date {DAY}"
    told = {n: reason.partition("; ")[2] for n, (_, reason) in plan(first, **asked).items() if "ignores" in reason}
    assert told == {name: f"ignores {option}: {why}" for name, why in ignoring.items()}


def test_tables_never_published_hold_just_the_month_until_a_run_completes_them(shop: Shop, whole: Rows) -> None:
    deliver(shop, 1, FIRST)
    deliver(shop, 2, SECOND)
    run(shop, month="2024-02")
    for table in BY_MONTH:
        assert stored(shop)[table] == within(whole, table, "2024-02"), table
    assert plan(shop)["bronze_sale"] == ("run", "only a part of it has been computed")
    run(shop, month="2024-04")
    for table in BY_MONTH:
        assert stored(shop)[table] == sorted(
            within(whole, table, "2024-02") + within(whole, table, "2024-04"), key=repr
        ), table
    run(shop)
    assert stored(shop) == whole
    assert run(shop).run is None


def test_a_changed_function_is_used_for_the_month_alone_until_the_next_run(mine: Shop) -> None:
    doubled = define(
        lambda bronze_sale: bronze_sale.with_columns(amount=col("amount") * 2),
        "silver_sale",
        **{name: getattr(silver_sale, name) for name in ("write", "key", "keep", "checks")},
    )
    tables = [doubled if table is silver_sale else table for table in TABLES]
    run(mine, *tables, month="2024-02")
    amounts = "select id, amount from silver.sale order by id"
    assert mine.rows(amounts) == [(1, 10), (2, 20), (3, 60), (4, 80), (5, 50)]
    result = run(mine, *tables, settings=replace(SETTINGS, rejected_share=1))
    assert result.tables["silver_sale"].reason == "its function or declaration has changed"
    assert mine.rows(amounts) == [(1, 20), (2, 40), (3, 60), (4, 80)]


def test_new_columns_cannot_be_rebuilt_for_a_month_alone(first: Shop) -> None:
    tables = [replace(gold_month, function=_wider) if table is gold_month else table for table in TABLES]
    found = first.plan(first.pipeline(*tables, sources=SOURCES), month="2024-02")["gold_month"]
    assert found[1].endswith("; ignores --month 2024-02: its columns or partitions have changed")


def _wider(silver_sale: Any) -> Any:
    return gold_month.function(silver_sale).with_columns(more=col("amount"))


def test_both_periods_at_once_are_refused(first: Shop) -> None:
    with pytest.raises(UsageError, match="Give --month or --date, not both"):
        run(first, month="2024-02", date=DAY)


@pytest.mark.parametrize("month", ["2024-13", "2024", "2024-2", "february", ""])
def test_a_month_that_is_none_is_refused(first: Shop, month: str) -> None:
    with pytest.raises(UsageError, match="write it as 2024-12"):
        plan(first, month=month)


@pytest.mark.parametrize("asked", [{"month": "2024-02"}, {"date": dt.date(2024, 2, 29)}], ids=["month", "day"])
def test_an_input_whose_column_of_that_name_has_times_is_read_whole(shop: Shop, asked: dict[str, Any]) -> None:
    sources = {
        "days": assay.csv("days.csv", columns={"day": "DATE", "open": "BOOLEAN"}),
        "notes": assay.csv("notes.csv", columns={"day": "TIMESTAMP", "note": "VARCHAR"}),
    }

    def gold_day(days: Any, notes: Any) -> Any:
        return assay.sql("select d.day, open, note from d left join n on d.day = n.day", d=days, n=notes)

    tables = shop.pipeline(define(gold_day, "gold_day", key="day", rows=assay.lookup("notes")), sources=sources)
    shop.deliver("days.csv", "day,open", "2024-02-29,true", "2024-03-01,true")
    shop.deliver("notes.csv", "day,note", "2024-02-29 00:00:00,leap", "2024-02-29 12:00:00,noon")
    assert shop.run(tables).ok
    shop.deliver("days.csv", "day,open", "2024-02-29,false", "2024-03-01,false")
    result = shop.run(tables, **asked)
    assert result.problems == ()
    assert result.tables["gold_day"].ledger.read == {"days": 1, "notes": 2}
    assert shop.rows("from gold.day order by day") == [
        (dt.date(2024, 2, 29), False, "leap"),
        (dt.date(2024, 3, 1), True, None),
    ]


def test_rejected_rows_of_a_month_are_kept_and_counted(mine: Shop) -> None:
    deliver(mine, 2, [(10, "2024-02-01", "north", 99), (11, "2024-03-01", "north", 98), (12, "2024-02-01", "east", 1)])
    result = run(mine, month="2024-02", settings=replace(SETTINGS, rejected_share=1))
    ledger = result.tables["silver_sale"].ledger
    assert (ledger.read, ledger.returned, ledger.rejected, ledger.written) == ({"bronze_sale": 4}, 4, 1, 3)
    assert mine.rows("select run, json_extract(row, '$.id')::int from meta.quarantine") == [(2, 10)]
