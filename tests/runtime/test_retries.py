"""Tables that fail: those that pass when tried again, those that never do, and how tables wait for each other."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.model.errors import TableError
from assay.settings import Settings
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.runtime.shop import DAY, SETTINGS, Frame, Shop, bronze_order, define

LINES = ("1,ann,10", "2,bob,20")


def flaky(folder: Path, failures: int, error: Callable[[int], Exception]) -> Callable[[Frame], Frame]:
    """A function that fails so many times in a row; its first call, on empty frames, only tells its columns."""
    counter = folder / "calls"
    counter.write_text("")

    def silver_order(bronze_order: Frame) -> Frame:
        calls = len(counter.read_text())
        counter.write_text("x" * (calls + 1))
        if 1 <= calls <= failures:
            raise error(calls)
        return bronze_order

    return silver_order


def lost(attempt: int) -> Exception:
    return ConnectionError(f"connection {attempt} was lost\nand more of it")


def shopful(function: Callable[[Frame], Frame]) -> list[assay.Table]:
    """silver_order is what a test is about; gold_order follows from it, silver_other does not."""
    return [
        bronze_order(write=assay.Append()),
        define(function, "silver_order"),
        define(lambda bronze_order: bronze_order, "silver_other"),
        define(lambda silver_order: silver_order, "gold_order"),
        define(lambda gold_order: gold_order, "gold_last"),
    ]


@pytest.mark.row("000-07")
def test_a_table_that_fails_twice_succeeds_at_the_third_attempt(shop: Shop, tmp_path: Path) -> None:
    shop.orders(*LINES)
    result = shop.run(*shopful(flaky(tmp_path, 2, lost)))
    node = result.tables["silver_order"]
    assert (result.state, node.status, node.attempts) == ("published", "written", 3)
    errors = ("ConnectionError: connection 1 was lost", "ConnectionError: connection 2 was lost")
    assert node.retried == errors
    shown = result.to_json()["tables"]["silver_order"]
    assert (shown["attempts"], shown["retried"], shown["error"]) == (3, list(errors), None)
    assert {name: n.attempts for name, n in result.tables.items() if name != "silver_order"} == {
        "bronze_order": 1,
        "silver_other": 1,
        "gold_order": 1,
        "gold_last": 1,
    }
    for table in ("silver.order", "gold.last"):
        assert shop.rows(f"select id from {table} order by id") == [(1,), (2,)]
    assert shop.run(*shopful(lambda bronze_order: bronze_order)).run is None


@pytest.mark.row("000-07")
def test_by_default_a_table_is_tried_twice_again_a_second_apart() -> None:
    assert (Settings().retries, Settings().retry_seconds) == (2, 1.0)


@pytest.mark.row("000-07")
def test_a_table_waits_before_it_is_tried_again(shop: Shop, tmp_path: Path) -> None:
    shop.orders(*LINES)
    result = shop.run(*shopful(flaky(tmp_path, 2, lost)), settings=replace(SETTINGS, retry_seconds=0.1))
    assert result.tables["silver_order"].attempts == 3
    assert result.tables["silver_order"].seconds >= 0.2


@pytest.mark.row("000-07")
@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_table_that_always_fails_stops_the_publish_and_only_what_follows_from_it(
    shop: Shop, tmp_path: Path, retries: int
) -> None:
    shop.orders(*LINES)
    result = shop.run(*shopful(flaky(tmp_path, 99, lost)), settings=replace(SETTINGS, retries=retries))
    assert (result.state, result.ok, shop.pointers()) == ("failed", False, {})
    last = f"ConnectionError: connection {retries + 1} was lost"
    tries = "" if retries == 0 else f" after {retries + 1} attempts"
    assert result.problems == (f"silver_order failed{tries}: {last}",)
    assert {name: (node.status, node.reason) for name, node in result.tables.items()} == {
        "bronze_order": ("written", "it has never been published"),
        "silver_order": ("failed", "it has never been published"),
        "silver_other": ("written", "it has never been published"),
        "gold_order": ("blocked", "silver_order failed"),
        "gold_last": ("blocked", "silver_order failed"),
    }
    node = result.tables["silver_order"]
    assert (node.attempts, len(node.retried), node.error) == (retries + 1, retries, last)
    staged = "select node from meta.ledger where run = 1 and line = 'written' and row_count = 2 order by node"
    assert shop.rows(staged) == [("bronze_order",), ("orders",), ("silver_other",)]
    (past,) = assay.history(shop.lake)
    assert (past.state, past.published, past.problems) == ("failed", None, result.problems)


def test_a_failing_table_leaves_what_was_published(shop: Shop, tmp_path: Path) -> None:
    shop.orders(*LINES)
    shop.run(*shopful(lambda bronze_order: bronze_order))
    before = shop.pointers()
    shop.orders("3,cat,30", file="orders2.csv")
    assert shop.run(*shopful(flaky(tmp_path, 99, lost))).state == "failed"
    assert shop.pointers() == before
    assert shop.rows("select count(*) from bronze.order") == [(2,)]
    result = shop.run(*shopful(lambda bronze_order: bronze_order))
    assert result.state == "published"
    assert shop.rows("select count(*) from gold.last") == [(3,)]


def test_each_of_several_failures_is_told(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shop.orders(*LINES)
    tables = shopful(flaky(tmp_path, 99, lost))
    tables[2] = define(flaky(tmp_path / "other", 99, ValueError), "silver_other")
    result = shop.run(*tables)
    assert set(result.problems) == {
        "silver_order failed after 3 attempts: ConnectionError: connection 3 was lost",
        "silver_other failed after 3 attempts: ValueError: 3",
    }


def test_what_assay_itself_refuses_is_not_tried_again(shop: Shop, tmp_path: Path) -> None:
    shop.orders(*LINES)
    result = shop.run(*shopful(flaky(tmp_path, 1, lambda attempt: TableError("no such thing"))))
    node = result.tables["silver_order"]
    assert (node.status, node.attempts, node.retried, node.error) == ("failed", 1, (), "no such thing")
    assert result.problems == ("silver_order failed: no such thing",)


def test_a_value_that_cannot_be_converted_fails_by_its_name(shop: Shop) -> None:
    shop.orders("1,ann,10", "2,bob,20")
    text = define(
        lambda bronze_order: assay.sql("select cast(customer as int) c from b", b=bronze_order), "silver_order"
    )
    result = shop.run(bronze_order(), text, settings=replace(SETTINGS, retries=0))
    assert result.problems[0].startswith("silver_order failed: ConversionException: ")
    assert "ann" in result.problems[0]


@pytest.mark.parametrize("known", [False, True], ids=["planned", "found to be needed"])
def test_a_view_that_fails_once_is_tried_again_for_those_that_read_it(shop: Shop, tmp_path: Path, known: bool) -> None:
    def run(function: Callable[[Frame], Frame]) -> assay.RunResult:
        step = assay.View("step", function, {"bronze_order": "bronze_order"})
        readers = [define(lambda step: step, f"silver_{name}") for name in ("one", "two")]
        return shop.run(bronze_order(), step, *readers, settings=replace(SETTINGS, workers=1))

    shop.orders(*LINES)
    if known:
        run(lambda bronze_order: bronze_order)
        shop.orders(*LINES, "3,cat,30")
    result = run(flaky(tmp_path, 1, lost))
    assert result.state == "published"
    retried = [error for node in result.nodes.values() for error in node.retried]
    assert retried == ["ConnectionError: connection 1 was lost"]
    expected = [(1,), (2,), (3,)] if known else [(1,), (2,)]
    for table in ("silver.one", "silver.two"):
        assert shop.rows(f"select id from {table} order by id") == expected


def meeting(barrier: threading.Barrier) -> Any:
    """A function that waits until another one is at work too, but for its first call, which only tells its columns."""
    calls = itertools.count()

    def meet(bronze_order: Frame) -> Frame:
        if next(calls):
            barrier.wait(timeout=20)
        return bronze_order

    return meet


@pytest.mark.row("000-08")
def test_tables_that_do_not_depend_on_each_other_are_computed_at_the_same_time(shop: Shop) -> None:
    shop.orders(*LINES)
    barrier = threading.Barrier(2)
    pair = [define(meeting(barrier), f"silver_{name}") for name in ("one", "two")]
    result = shop.run(bronze_order(), *pair, settings=replace(SETTINGS, retries=0))
    assert result.problems == ()
    shown = result.to_json()["tables"]
    assert shown["silver_one"]["started_at"] < shown["silver_two"]["ended_at"]
    assert shown["silver_two"]["started_at"] < shown["silver_one"]["ended_at"]


@pytest.mark.row("000-08")
def test_one_worker_computes_one_table_after_the_other(shop: Shop) -> None:
    shop.orders(*LINES)
    tables = [define(lambda orders: orders, f"bronze_{name}") for name in ("one", "two", "three")]
    result = shop.run(*tables, settings=replace(SETTINGS, workers=1))
    spans = sorted((node.started_at, node.ended_at) for node in result.nodes.values())
    assert len(spans) == 4
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))


@pytest.mark.row("000-09")
def test_every_table_of_the_rides_waits_for_all_that_it_reads(tmp_path: Path) -> None:
    file = generate(tmp_path, rows=150)["bookings"]
    result = assay.run(
        ride_bookings, warehouse=tmp_path / "lake", sources={"bookings": file}, as_of=DAY, settings=SETTINGS
    )
    assert result.ok, result.problems
    waits = {
        (name, read): (result.nodes[name].started_at, result.nodes[read].ended_at)
        for name, node in ride_bookings.nodes.items()
        for read in node.upstream
    }
    facts = {read for name, read in waits if name == "silver_booking"}
    assert facts >= {"silver_vehicle_type", "silver_location", "silver_booking_status", "silver_payment_method"}
    assert [edge for edge, (started, ended) in waits.items() if not started or not ended or started < ended] == []
