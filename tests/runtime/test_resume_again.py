"""Resuming after more than one failing table: a month, a file that was broken, whatever fails one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from narwhals import col

import assay
from assay import Append, Merge
from assay.model.errors import LeaseError, SourceError, UsageError
from assay.model.event import Event, NodeStarted, RunStarted
from tests.runtime import sales
from tests.runtime.shop import SETTINGS, Frame, Shop, bronze_order, define

ONCE = replace(SETTINGS, retries=0)


def failing(table: assay.Table) -> assay.Table:
    """The same table, well declared, with a function that fails on its first row."""

    def function(**inputs: Any) -> Any:
        frame = table.function(**inputs)
        return assay.sql("select * from t where error('it is meant to fail') is null", t=frame)

    return replace(table, function=function)


def doubled(bronze_sale: Frame) -> Frame:
    return bronze_sale.with_columns(amount=col("amount") * 2)


def test_a_month_of_a_changed_function_is_resumed_and_only_with_that_function(shop: Shop) -> None:
    few = [sales.prepared, sales.bronze_sale, sales.silver_sale, sales.gold_month]
    new = replace(sales.silver_sale, function=doubled)

    def pipeline(*tables: Any) -> assay.Pipeline:
        return shop.pipeline(*tables, sources=sales.SOURCES)

    sales.deliver(shop, 1, sales.FIRST[:2])
    shop.run(pipeline(*few))
    broken = pipeline(*few[:2], new, failing(sales.gold_month))
    assert shop.run(broken, month="2024-01", settings=ONCE).state == "failed"
    with pytest.raises(UsageError, match="silver_sale was computed before its function or declaration changed"):
        shop.resume(pipeline(*few))
    result = shop.resume(pipeline(*few[:2], new, sales.gold_month))
    assert result.state == "published"
    assert shop.rows("from (select sale_month, amount from gold.month)") == [("2024-01", 60)]


def interrupt_at(name: str) -> Callable[[Event], None]:
    """An observer that presses Ctrl-C as soon as a node starts."""

    def observer(event: Event) -> None:
        if isinstance(event, NodeStarted) and event.name == name:
            raise KeyboardInterrupt

    return observer


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (RunStarted, "Run 1 has no plan: it failed, or is at work, before it. Run shop again."),
        (NodeStarted, "Run 1 of shop is still at work in "),
    ],
    ids=["before its plan", "with its plan"],
)
def test_a_run_at_work_is_not_resumed(shop: Shop, moment: type[Event], told: str) -> None:
    shop.orders("1,ann,10")
    found: list[str] = []

    def observer(event: Event) -> None:
        if isinstance(event, moment) and not found:
            found.append("")
            with pytest.raises((UsageError, LeaseError)) as refused:
                shop.resume(bronze_order(), settings=replace(SETTINGS, when_busy="stop"))
            found.append(str(refused.value))

    assert shop.run(bronze_order(), observers=[observer]).state == "published"
    assert found[1].startswith(told)


def test_a_file_that_cannot_be_read_makes_no_run_and_so_leaves_nothing_to_resume(shop: Shop) -> None:
    file = shop.orders("1,ann,10")
    file.write_text("id,customer\n1,ann\n")
    with pytest.raises(SourceError, match="has no column 'amount'"):
        shop.run(bronze_order())
    with pytest.raises(UsageError, match="has made no run here yet"):
        shop.resume(bronze_order())
    shop.orders("1,ann,10")
    assert shop.run(bronze_order()).run == 1


def test_a_source_that_was_not_read_to_its_end_is_looked_at_again_however_often_a_resume_is_stopped(
    shop: Shop,
) -> None:
    tables = [sales.prepared, sales.bronze_sale, sales.silver_sale]
    pipeline = shop.pipeline(*tables, sources=sales.SOURCES)
    sales.deliver(shop, 1, sales.FIRST)
    shop.run(pipeline)
    sales.deliver(shop, 2, sales.SECOND)
    with pytest.raises(KeyboardInterrupt):
        shop.run(pipeline, observers=[interrupt_at("sales")])
    # What the run had planned was one more file; now the first has new content too.
    sales.deliver(shop, 1, sales.FIRST[1:])
    for node in ("sales", "prepared", "bronze_sale", "silver_sale"):
        with pytest.raises(KeyboardInterrupt):
            shop.resume(pipeline, observers=[interrupt_at(node)])
    result = shop.resume(pipeline)
    assert (result.state, result.run) == ("published", 2)
    expected = sorted((number, amount) for number, _, _, amount in (*sales.FIRST[1:], *sales.SECOND))
    assert shop.rows("select id, amount from bronze.sale order by all") == expected
    assert [(past.id, past.state) for past in assay.history(shop.lake)] == [(2, "published"), (1, "published")]
    assert shop.run(pipeline, full=True).state == "unchanged"


@assay.view()
def middle(silver_order: Frame) -> Frame:
    return silver_order


def stumbling(middle: Frame) -> Any:
    """Fails on the customer that comes with the second delivery."""
    return assay.sql("select customer from m where customer <> 'cid' or error('cid') is null", m=middle)


def test_a_view_that_was_computed_by_the_first_table_in_need_of_it_is_kept_too(shop: Shop) -> None:
    def tables(function: Callable[..., Any]) -> list[Any]:
        silver = define(lambda bronze_order: bronze_order, "silver_order", write=Merge(stamps=True), key="id")
        first = define(lambda middle: middle.select("id"), "gold_id")
        return [bronze_order(write=Append()), silver, middle, first, define(function, "gold_customer")]

    shop.orders("1,ann,10", "2,bob,20")
    shop.run(*tables(stumbling))
    shop.orders("3,cid,30", file="orders2.csv")
    failed = shop.run(*tables(stumbling), settings=ONCE)
    assert (failed.nodes["middle"].reason, failed.nodes["middle"].status) == ("gold_id may read it", "computed")
    result = shop.resume(*tables(lambda middle: middle.select("customer")))
    moved = {name for name, node in result.nodes.items() if node.started_at != failed.nodes[name].started_at}
    assert (result.state, moved) == ("published", {"gold_customer"})
    assert shop.rows("select customer from gold.customer order by 1") == [("ann",), ("bob",), ("cid",)]


def graph(broken: set[str]) -> list[Any]:
    tables = [
        bronze_order(write=Append()),
        define(lambda bronze_order: bronze_order, "silver_order", write=Merge(surrogate="n", stamps=True), key="id"),
        define(lambda bronze_order: bronze_order.select("customer"), "silver_customer"),
        define(lambda silver_order: silver_order.select("id", "n"), "gold_number"),
        define(lambda silver_customer: silver_customer, "gold_customer"),
    ]
    return [failing(t) if t.name in broken else t for t in tables]


NAMES = ("bronze_order", "silver_order", "silver_customer", "gold_number", "gold_customer")


def left(shop: Shop) -> list[Any]:
    queries = [f"from {name.replace('_', '.', 1)} order by all" for name in NAMES]
    account = (
        "select node, line, name, row_count from meta.ledger where run = (select max(id) from meta.run) order by all"
    )
    return [shop.rows(query) for query in (*queries, account)]


@settings(max_examples=3, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(rounds=st.lists(st.sets(st.sampled_from(NAMES), min_size=1), min_size=1, max_size=2))
def test_however_often_whatever_fails_it_ends_as_one_good_run(rounds: Sequence[set[str]]) -> None:
    with TemporaryDirectory() as folder:
        shop = Shop(Path(folder))
        shop.orders("1,ann,10", "2,bob,20", "3,ann,30")
        first, *later = rounds
        assert shop.run(*graph(first), settings=ONCE).state == "failed"
        for other in later:
            # What was kept may not change: only tables that failed, or waited for one, may fail now.
            still = {name for name in other if _waits(name, first)}
            if still:
                assert shop.resume(*graph(still), settings=ONCE).state == "failed"
                first = still
        assert shop.resume(*graph(set()), settings=ONCE).state == "published"
        once = Shop(Path(folder, "lake"))
        once.inbox = shop.inbox
        once.run(*graph(set()), settings=ONCE)
        assert left(shop) == left(once)


def _waits(name: str, broken: set[str]) -> bool:
    reads = {read for table in graph(set()) if table.name == name for read in table.upstream if read in NAMES}
    return name in broken or any(_waits(read, broken) for read in reads)
