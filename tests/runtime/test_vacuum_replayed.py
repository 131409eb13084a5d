"""Mended lines that the lake keeps: a vacuum takes those that no state, run or replay needs any more, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.model.event import Event
from tests.runtime.shop import ORDERS, Shop, define
from tests.runtime.test_replay import LENIENT, delivered, mend, replay, silver, tables
from tests.runtime.test_vacuum import deliver, referenced, vacuum

__all__ = ["delivered"]


def kept(shop: Shop) -> list[str]:
    """The files of mended lines that lie in the lake."""
    return sorted(path for path in shop.files() if path.startswith("_assay/deliveries/"))


def mended(shop: Shop, **words: str) -> Path:
    file = shop.export(*tables())
    mend(file, **words)
    return file


def test_mended_lines_go_when_no_state_that_is_kept_holds_them(delivered: Shop) -> None:
    file = mended(delivered, two="2")
    assert replay(delivered, file).back == 1
    (first,) = kept(delivered)
    delivered.undo()
    # The state that holds them can still be read, and so can be undone to.
    assert vacuum(delivered, keep=2).removed
    assert kept(delivered) == [first]
    for number in range(6, 8):
        delivered.orders(f"{number},new,{number}", file=f"orders{number}.csv")
        assert delivered.run(*tables(), settings=LENIENT).state == "published"
    shown = vacuum(delivered, remove=False)
    assert kept(delivered) == [first]
    assert vacuum(delivered).kinds == shown.kinds
    assert (kept(delivered), delivered.files() - referenced(delivered)) == ([], set())
    # Mended again, they come in a file of their own.
    assert replay(delivered, mended(delivered, two="2")).back == 1
    assert silver(delivered) == [(1, 1), (2, 2), (4, 4), (6, 6), (7, 7)]


def test_mended_lines_that_stand_stay_and_are_read_again_whatever_was_vacuumed(delivered: Shop) -> None:
    assert replay(delivered, mended(delivered, two="2", five="5")).back == 2
    files = kept(delivered)
    for number in range(6, 9):
        delivered.orders(f"{number},new,{number}", file=f"orders{number}.csv")
        assert delivered.run(*tables(), settings=LENIENT).state == "published"
    assert vacuum(delivered).removed
    assert (len(files), kept(delivered)) == (2, files)
    sources = {"orders": replace(ORDERS, columns={**ORDERS.columns, "id": "VARCHAR"})}
    assert delivered.run(delivered.pipeline(*tables(), sources=sources), settings=LENIENT).state == "published"
    assert [amount for _, amount in silver(delivered)] == [1, 2, 4, 5, 6, 7, 8]


def test_a_vacuum_at_any_moment_of_a_replay_leaves_it_its_lines(delivered: Shop) -> None:
    file, done = mended(delivered, two="2"), []

    def observe(_: Event) -> None:
        done.append((vacuum(delivered).removed, len(kept(delivered))))

    paths = {"orders": str(delivered.inbox / "orders*.csv")}
    pipeline = delivered.pipeline(*tables()).reading(paths)
    found = assay.replay(pipeline, mended=file, warehouse=delivered.lake, settings=LENIENT, observers=[observe])
    assert (found.back, set(done), len(done) > 6) == (1, {(True, 1)}, True)
    assert vacuum(delivered).removed
    assert len(kept(delivered)) == 1


@pytest.mark.faults
def test_the_lines_of_a_replay_that_failed_stay_while_it_can_be_resumed(delivered: Shop) -> None:
    def checked(least: int) -> list[Any]:
        check = assay.row_count(min=least, action="block")
        return [*tables(), define(lambda silver_order: silver_order, "gold_order", checks=[check])]

    file = mended(delivered, two="2")
    assert replay(delivered, file, *checked(9)).back == 0
    assert vacuum(delivered).removed
    assert len(kept(delivered)) == 1
    assert delivered.resume(*checked(3), settings=LENIENT).state == "published"
    assert silver(delivered) == [(1, 1), (2, 2), (4, 4)]
    mend(file, **{"3,cat": "3,cat,3"})
    assert replay(delivered, file, *checked(9)).back == 0
    deliver(delivered, 7)
    # Another run has published since, so nobody can go on with the one that failed.
    assert vacuum(delivered).removed
    assert len(kept(delivered)) == 1


def test_what_a_replay_left_that_was_killed_before_its_run_goes(delivered: Shop) -> None:
    assert replay(delivered, mended(delivered, two="2")).back == 1
    (file,) = kept(delivered)
    left = delivered.lake / file.replace("orders1.csv", "orders2.csv")
    left.write_text("id,customer,am")
    stranger = left.with_name("notes.txt")
    stranger.write_text("somebody's")
    assert vacuum(delivered).kinds["leftover"].count == 1
    assert (left.exists(), stranger.exists(), len(kept(delivered))) == (False, True, 2)
