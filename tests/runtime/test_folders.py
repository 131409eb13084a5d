"""Folders may be called as they like: none is taken for a pattern, whose other matches would be read instead."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import assay
from assay.platform import connect_confined
from tests.runtime.shop import DAY, LATER, ORDERS, SETTINGS, Shop, define

SILVER = define(
    lambda orders: orders,
    "silver_order",
    write=assay.Merge(),
    key="id",
    keep=assay.latest("amount"),
    checks=[assay.not_null("customer", action="reject")],
)


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop in a folder whose name, as a pattern, matches that of its copy, which has broken files."""
    folder, match = tmp_path / "s[hx]op*?", tmp_path / "shop12"
    folder.mkdir()
    shop = Shop(folder)
    monkeypatch.chdir(shop.inbox)
    pipeline = assay.Pipeline("shop", tables=[SILVER], sources={"orders": ORDERS}, rejected_share=0.5)
    shop.orders("1,Ann,10", "2,Bob,20", "3,,30")
    assert assay.run(pipeline, warehouse=shop.lake, as_of=DAY, settings=SETTINGS).ok
    shop.orders("2,Bob,25", "4,Cid,40", file="orders2.csv")
    assert assay.run(pipeline, warehouse=shop.lake, as_of=LATER, settings=SETTINGS).ok
    shutil.copytree(folder, match)
    for file in match.rglob("*.parquet"):
        file.write_bytes(b"broken")
    return shop


def test_a_project_in_any_folder_reads_and_merges_what_is_its_own(odd: Shop) -> None:
    assert odd.rows("select id, customer, amount from silver.order order by id") == [
        (1, "Ann", 10),
        (2, "Bob", 25),
        (4, "Cid", 40),
    ]
    assert odd.rows('select distinct "row" from meta.quarantine') == [('{"id":3,"customer":null,"amount":30}',)]


def test_queries_that_may_open_nothing_else_may_open_it(odd: Shop) -> None:
    with connect_confined(odd.lake) as lake:
        assert lake.sql("select sum(amount) from silver.order").fetchall() == [(75,)]


def test_a_lake_in_any_folder_is_undone_and_told_whole(odd: Shop) -> None:
    assert assay.verify(odd.lake).damaged == ()
    odd.undo()
    assert odd.rows("select sum(amount) from silver.order") == [(30,)]
