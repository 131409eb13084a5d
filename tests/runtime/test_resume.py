"""Resuming: what a failed run staged stands, what failed and what follows is computed, and all is published at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from narwhals import col

import assay
from assay import Append, Merge, between, first_in_source, position
from assay.model.errors import UsageError
from tests.runtime.shop import LATER, SETTINGS, Frame, Shop, define

LINES = ("1,ann,10", "2,bob,20", "3,ann,30", "4,cid,95")
KEPT = {"orders", "prepared", "bronze_order", "silver_customer", "silver_good", "gold_customer"}
AGAIN = {"silver_order", "gold_order", "gold_both"}


@assay.view()
def prepared(orders: Frame) -> Frame:
    return orders.select("id", "customer", "amount", position())


def tables(
    silver_order: Callable[..., Any] | None = None, gold_customer: Callable[..., Any] | None = None, limit: int = 1000
) -> list[Any]:
    """silver_order is what a test is about: gold_order and gold_both follow from it, the others do not."""
    customers = {"write": Merge(surrogate="customer_id", stamps=True), "key": "customer", "keep": first_in_source()}
    return [
        prepared,
        define(lambda prepared: prepared, "bronze_order", write=Append()),
        define(lambda bronze_order: bronze_order.select("customer", position()), "silver_customer", **customers),
        define(
            lambda bronze_order: bronze_order.select("id", "amount"),
            "silver_good",
            checks=[between("amount", 0, 90, action="reject")],
        ),
        define(silver_order or good, "silver_order", write=Merge(stamps=True), key="id"),
        define(gold_customer or (lambda silver_customer: silver_customer.select("customer")), "gold_customer"),
        define(lambda silver_order: silver_order.select("id"), "gold_order"),
        define(
            lambda silver_order, silver_customer: silver_order.join(silver_customer, on="customer", how="left"),
            "gold_both",
            rows=assay.lookup("silver_customer"),
        ),
    ]


def good(bronze_order: Frame) -> Frame:
    return bronze_order.select("id", "customer", "amount")


def bad(bronze_order: Frame) -> Any:
    """Well declared, and failing on the first name that is no number."""
    query = "select id, customer, amount + 0 * cast(customer as bigint) as amount from b"
    return assay.sql(query, b=bronze_order)


SHARE = replace(SETTINGS, rejected_share=0.5)


@pytest.fixture
def failed(shop: Shop) -> Shop:
    """A shop whose first run failed in silver_order."""
    shop.orders(*LINES)
    result = shop.run(*tables(bad), settings=SHARE)
    assert result.state == "failed"
    return shop


def times(result: assay.RunResult) -> dict[str, Any]:
    return {name: (node.started_at, node.ended_at, node.attempts) for name, node in result.nodes.items()}


def everything(shop: Shop) -> list[Any]:
    queries = (
        "from bronze.order order by all",
        "from silver.customer order by all",
        "from silver.good order by all",
        "from silver.order order by all",
        "from gold.customer order by all",
        "from gold.order order by all",
        "from gold.both order by all",
        "select node, line, name, row_count from meta.ledger where run = (select max(id) from meta.run) order by all",
        'select node, name, action, broken from meta."check" where run = (select max(id) from meta.run) order by all',
        "select node, line, row, reasons from meta.quarantine where run = (select max(id) from meta.run) order by all",
    )
    return [shop.rows(query) for query in queries]


def undisturbed(shop: Shop, folder: Path, **arguments: Any) -> list[Any]:
    """What one good run leaves."""
    other = Shop(folder)
    other.inbox = shop.inbox
    assert other.run(*tables(), settings=SHARE, **arguments).ok
    return everything(other)


def test_a_failing_table_blocks_only_what_follows_and_resuming_computes_just_that(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = shop.orders(*LINES)
    first = shop.run(*tables(bad), settings=SHARE, as_of=LATER)
    assert {name for name, node in first.nodes.items() if node.status in ("failed", "blocked")} == AGAIN
    assert first.tables["gold_order"].reason == "silver_order failed"
    assert {name for name, node in first.nodes.items() if node.status in ("written", "computed")} == KEPT
    whole = undisturbed(shop, tmp_path_factory.mktemp("other"), as_of=LATER)
    source.unlink()
    result = shop.resume(*tables(), settings=SHARE)
    assert (result.state, result.run, result.as_of) == ("published", first.run, LATER)
    before, after = times(first), times(result)
    assert {name for name in before if before[name] == after[name]} == KEPT
    assert {name: after[name][2] for name in AGAIN} == dict.fromkeys(AGAIN, 1)
    assert everything(shop) == whole
    (past,) = assay.history(shop.lake)
    assert (past.state, past.problems, past.published) == ("published", (), 1)
    assert set(past.tables) == set(result.tables)
    source.write_text("id,customer,amount\n" + "".join(f"{line}\n" for line in LINES))
    assert shop.run(*tables(), settings=SHARE).run is None
    assert shop.run(*tables(), settings=SHARE, full=True).state == "unchanged"


def test_resuming_before_the_cause_is_mended_fails_again_and_leaves_it_to_the_next(
    failed: Shop, tmp_path: Path
) -> None:
    counts = []
    for _ in range(2):
        assert failed.resume(*tables(bad), settings=SHARE).state == "failed"
        counts.append(
            [
                failed.rows(f"select count(*) from meta.{name}")
                for name in ("ledger", '"check"', "quarantine", "run", "quarantine_file")
            ]
        )
    assert counts[0] == counts[1]
    assert counts[0][2:] == [[(1,)], [(1,)], [(1,)]]
    assert failed.resume(*tables(), settings=SHARE).state == "published"
    (tmp_path / "other").mkdir()
    assert everything(failed) == undisturbed(failed, tmp_path / "other")


def test_a_delivery_onto_published_tables_is_resumed_with_what_is_new_alone(shop: Shop, tmp_path: Path) -> None:
    shop.orders(*LINES)
    assert shop.run(*tables(), settings=SHARE).ok
    shop.orders("5,eve,50", "6,ann,60", file="orders3.csv")
    assert shop.run(*tables(bad), settings=SHARE).state == "failed"
    shop.orders("7,fay,70", file="orders4.csv")
    result = shop.resume(*tables(), settings=SHARE)
    assert (result.state, result.run) == ("published", 2)
    assert shop.rows("select id from gold.order order by id") == [(n,) for n in range(1, 7)]
    rest = shop.run(*tables(), settings=SHARE)
    assert rest.nodes["orders"].reason == "new delivery orders4.csv"
    assert shop.rows("select customer, customer_id from silver.customer order by 2")[-2:] == [("eve", 4), ("fay", 5)]


def refused(shop: Shop, *given: Any) -> str:
    with pytest.raises(UsageError) as error:
        shop.resume(*given, settings=SHARE)
    assert error.value.exit_code == 2
    return str(error.value)


def test_without_a_failed_run_there_is_nothing_to_resume(shop: Shop) -> None:
    shop.orders(*LINES)
    assert refused(shop, *tables()) == "shop has made no run here yet; there is nothing to resume."
    shop.run(*tables(), settings=SHARE)
    assert refused(shop, *tables()) == "Run 1, the newest of shop, is published; there is nothing to resume."


AFTERWARDS = ". Run the pipeline again; nothing is lost but time."


def test_a_kept_table_whose_function_changed_is_refused(failed: Shop) -> None:
    changed = tables(gold_customer=lambda silver_customer: silver_customer.select(col("customer").str.to_uppercase()))
    why = "gold_customer was computed before its function or declaration changed"
    assert refused(failed, *changed) == f"Run 1 cannot be resumed: {why}{AFTERWARDS}"
    assert failed.resume(*tables(), settings=SHARE).state == "published"


@pytest.mark.parametrize("more", [True, False], ids=["added", "removed"])
def test_a_table_that_was_added_or_removed_is_refused(failed: Shop, more: bool) -> None:
    extra = define(lambda silver_customer: silver_customer, "gold_extra")
    given = [*tables(), extra] if more else [t for t in tables() if t.name != "gold_order"]
    why = f"gold_{'extra' if more else 'order'} is not declared as it was when it was planned"
    assert refused(failed, *given) == f"Run 1 cannot be resumed: {why}{AFTERWARDS}"


def test_a_later_run_is_the_one_that_counts(failed: Shop) -> None:
    assert failed.run(*tables(), settings=SHARE).run == 2
    assert refused(failed, *tables()) == "Run 2, the newest of shop, is published; there is nothing to resume."


@pytest.mark.parametrize("harm", ["cut off", pytest.param("removed", marks=pytest.mark.faults)])
def test_a_table_whose_staged_file_is_no_longer_whole_is_computed_again(
    failed: Shop, tmp_path: Path, harm: str
) -> None:
    (file,) = (path for path in (failed.lake / "silver/good/data").rglob("*.parquet"))
    if harm == "removed":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-9])
    result = failed.resume(*tables(), settings=SHARE)
    assert (result.state, result.tables["silver_good"].attempts) == ("published", 1)
    (tmp_path / "other").mkdir()
    assert everything(failed) == undisturbed(failed, tmp_path / "other")


def test_a_run_that_was_blocked_for_its_rejected_rows_is_resumed_once_the_setting_lets_it(shop: Shop) -> None:
    shop.orders(*LINES)
    first = shop.run(*tables())
    assert "silver_good: 1 of 4 rows (25.0%) were rejected" in first.problems[0]
    again = shop.resume(*tables())
    assert (again.state, again.problems) == ("failed", first.problems)
    result = shop.resume(*tables(), settings=SHARE)
    assert result.state == "published"
    assert {n for n, old in times(again).items() if times(result)[n] == old} == KEPT | AGAIN
    assert shop.rows("select count(*) from meta.quarantine") == [(1,)]


def test_a_run_stopped_by_a_check_is_resumed_with_the_check_mended(shop: Shop) -> None:
    shop.orders(*LINES)

    def checked(check: Any) -> list[Any]:
        return [replace(t, checks=(check,)) if t.name == "gold_both" else t for t in tables()]

    few = checked(assay.row_count(min=5, action="block"))
    assert shop.run(*few, settings=SHARE).state == "failed"
    result = shop.resume(*checked(assay.row_count(min=4, action="block")), settings=SHARE)
    assert (result.state, result.tables["gold_both"].rows) == ("published", 4)
    assert shop.rows("""select broken from meta."check" where name like 'row_count%'""") == [(0,)]


def test_a_check_between_tables_that_stopped_a_run_can_be_mended_too(shop: Shop) -> None:
    shop.orders(*LINES)

    def checked(other: str) -> list[Any]:
        check = assay.reconciles("amount", other)
        return [replace(t, checks=(check,)) if t.name == "silver_order" else t for t in tables()]

    assert shop.run(*checked("silver_good.amount"), settings=SHARE).state == "failed"
    assert shop.resume(*checked("bronze_order.amount"), settings=SHARE).state == "published"
