"""What stands rejected: by the newest computation of each row, as an undo and the past have it, with its line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import assay
from assay.observe.summary import summary
from tests.runtime.shop import SETTINGS, Shop, define

LENIENT = replace(SETTINGS, rejected_share=1)
Row = tuple[str, str, int | None, str]


def tables(largest: int = 100) -> list[assay.Table]:
    within = assay.between("amount", 0, largest, action="reject")
    return [
        define(lambda orders: orders, write=assay.Append()),
        define(lambda bronze_order: bronze_order, "silver_new", key="id", checks=[within]),
        define(
            lambda bronze_order: bronze_order,
            "silver_order",
            write=assay.Merge(),
            key="id",
            keep=assay.latest("amount"),
            checks=[within],
        ),
    ]


def many(*others: str) -> tuple[str, ...]:
    """Enough rows that a delivery of a few is computed in part."""
    return (*(f"{n},ann,{n}" for n in range(1, 21)), *others)


def standing(shop: Shop, *, at: int | None = None) -> dict[str, list[tuple[Any, ...]]]:
    query = "select node, source_file, line, coalesce(raw, row->>'id') from meta.quarantine where stands order by all"
    found: dict[str, list[tuple[Any, ...]]] = {}
    for node, *rest in shop.rows(query, at=at):
        found.setdefault(node, []).append(tuple(rest))
    return found


def test_what_stands_follows_each_way_of_computing_a_table(shop: Shop) -> None:
    shop.orders(*many("21,bob,500", "22,bob,x"), file="orders1.csv")
    shop.run(*tables(), settings=LENIENT)
    first = {
        "orders": [("orders1.csv", 23, "22,bob,x")],
        "silver_new": [("orders1.csv", 22, "21")],
        "silver_order": [("orders1.csv", 22, "21")],
    }
    assert standing(shop) == first
    # A new row that is rejected stands beside those of rows that were not computed again.
    shop.orders("30,cat,900", file="orders2.csv")
    shop.run(*tables(), settings=LENIENT)
    both = [("orders1.csv", 22, "21"), ("orders2.csv", 2, "30")]
    assert standing(shop) == {**first, "silver_new": both, "silver_order": both}
    # The row of an affected key is judged again; it stands once, and is in the log of both runs.
    shop.orders("30,cat,90", "21,bob,700", file="orders3.csv")
    again = shop.run(*tables()[:1], tables()[2], settings=LENIENT)
    assert again.tables["silver_order"].ledger.rejected == 3
    three = [("orders1.csv", 22, "21"), ("orders2.csv", 2, "30"), ("orders3.csv", 3, "21")]
    assert standing(shop)["silver_order"] == three
    log = "select run, count(*) from meta.quarantine where node = 'silver_order' group by all order by all"
    assert shop.rows(log) == [(1, 1), (2, 1), (3, 3)]
    # All computed anew with equal rejects: nothing moves.
    assert shop.run(*tables()[:1], tables()[2], settings=LENIENT, full=True).state == "unchanged"
    assert standing(shop)["silver_order"] == three
    # A mended rule gives the rows back, and nothing of them stands.
    shop.run(*tables()[:1], tables(1000)[2], settings=LENIENT)
    assert "silver_order" not in standing(shop)
    assert standing(shop, at=1) == first
    # By an undo they stand as they did.
    shop.undo(2)
    assert standing(shop) == first


def test_a_file_that_comes_again_brings_its_own_bad_lines(shop: Shop) -> None:
    shop.orders(*many("22,bob,x"))
    shop.run(*tables(), settings=LENIENT)
    shop.orders(*many("22,bob,22", "23,bob"))
    shop.run(*tables(), settings=LENIENT)
    assert standing(shop)["orders"] == [("orders.csv", 23, "23,bob")]
    shop.orders(*many("22,bob,22", "23,bob,23"))
    shop.run(*tables(), settings=LENIENT)
    assert standing(shop) == {}
    assert len(shop.rows("select * from meta.quarantine")) == 2


def test_what_a_failed_run_rejected_stands_nowhere(shop: Shop) -> None:
    shop.orders(*many())
    shop.run(*tables())
    shop.orders("40,dan,999", "41,dan", file="orders2.csv")
    assert shop.run(*tables()).state == "failed"
    assert standing(shop) == {}
    assert shop.rows("select count(*) from meta.quarantine where run = 2 and not stands")[0][0] > 0


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["1,ann,500", "2,bob,2"], 2, id="every line a record"),
        pytest.param(['1,"ann\nof","500"', "2,bob,2", "3,bob,x"], 2, id="line by line, a record of two lines"),
        pytest.param(
            ['0,"a\nb\nc",5', "", "1,ann,500", "2,bob,2,"], 6, id="line by line, behind a long one and a blank"
        ),
        pytest.param(['0,"a\nb",5', "1,ann,500"], None, id="read as it is, with lines that are no records"),
    ],
)
def test_the_line_of_a_rejected_row_is_told_where_it_is_known(
    shop: Shop, lines: list[str], expected: int | None
) -> None:
    shop.orders(*lines)
    shop.run(*tables(), settings=LENIENT)
    assert [line for _, line, _ in standing(shop)["silver_order"]] == [expected]


def test_a_run_that_changes_only_what_is_rejected_is_published_and_can_be_undone(shop: Shop) -> None:
    def newest(*checks: Any) -> assay.Table:
        return define(lambda orders: orders, key="id", keep=assay.latest("amount"), checks=checks)

    shop.orders("1,ann,5", "1,bob,-3")
    shop.run(newest(assay.between("amount", 0, 100, action="reject")), settings=LENIENT)
    stood = {"bronze_order": [("orders.csv", 3, "1")]}
    assert standing(shop) == stood
    # Without its rule the row is another of its key: the table stays as it is.
    mended = shop.run(newest())
    assert (mended.state, mended.tables["bronze_order"].status) == ("published", "unchanged")
    assert summary(mended).splitlines()[-1].startswith("published: no table has changed, but what was delivered or ")
    assert standing(shop) == {}
    assert [(past.state, past.published) for past in assay.history(shop.lake)] == [("published", 2), ("published", 1)]
    assert shop.run(newest()).state == "unchanged"
    assert shop.undo().undone == (2,)
    assert standing(shop) == stood
