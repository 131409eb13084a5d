"""Vacuum and undo beside readers, runs and each other, and killed: what stands is whole, and the next completes it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from random import Random
from typing import Any

import pytest

import assay
from assay.model.errors import UsageError, WarehouseError
from tests.conformance.deadly import changes, killed_at
from tests.conformance.processes import ROOT, SECONDS, environment
from tests.runtime.shop import SETTINGS, Shop, define
from tests.runtime.test_undo import stored, tables
from tests.runtime.test_vacuum import by_pyiceberg, deliver, referenced, states, vacuum

pytestmark = pytest.mark.faults

VACUUM = """
import assay
from assay.settings import Settings
assay.vacuum(folder, remove=True, settings=Settings(keep_runs=1, keep_days=0))
"""
UNDO = """
import assay
assay.undo(warehouse=folder)
"""
RUN = """
import assay
from tests.runtime.test_undo import tables
from tests.runtime.shop import ORDERS, SETTINGS
pipeline = assay.Pipeline("shop", tables=tables(), sources={"orders": ORDERS})
given = {"orders": sys.argv[3] + "/orders*.csv"}
assay.run(pipeline, warehouse=folder, sources=given, settings=SETTINGS)
"""
# Another process: it opens a lake, says so, and says what it reads of it whenever it is asked.
READER = """
import json, sys, assay
lake = assay.connect(sys.argv[1], at=int(sys.argv[2]) or None)
print("open", flush=True)
for _ in sys.stdin:
    query = "select (select count(*) from bronze.order), (select sum(amount)::int from gold.customer)"
    print(json.dumps(lake.execute(query).fetchone()), flush=True)
"""


class Reader:
    """A reader in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert self._said() == "open"

    def ask(self) -> list[int]:
        print("read", file=self.process.stdin, flush=True)
        found: list[int] = json.loads(self._said())
        return found

    def _said(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@contextmanager
def reader(shop: Shop, at: int = 0) -> Iterator[Reader]:
    command, pipe = [sys.executable, "-c", READER, str(shop.lake), str(at)], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, stdin=pipe, stdout=pipe) as process:
        try:
            yield Reader(process)
        finally:
            process.kill()


def assert_whole(shop: Shop) -> None:
    """Nothing referred to is missing, and after a vacuum nothing else is there."""
    assert referenced(shop) - shop.files() == set()
    assert vacuum(shop).removed
    assert {path for path in shop.files() if "/readers/" not in path} == referenced(shop)


def test_a_reader_in_another_process_goes_on_reading_its_state_and_lets_it_go_when_it_is_killed(shop: Shop) -> None:
    for number in range(3):
        deliver(shop, number)
    with reader(shop) as now, reader(shop, at=2) as past:
        seen = (now.ask(), past.ask())
        for number in range(3, 6):
            deliver(shop, number)
        done = vacuum(shop)
        assert (done.oldest, done.readers) == (2, (2, 3))
        assert (now.ask(), past.ask()) == seen
        past.process.kill()
        past.process.wait()
        assert (vacuum(shop).oldest, now.ask()) == (3, seen[0])
    assert (vacuum(shop).oldest, vacuum(shop).readers) == (5, ())
    assert_whole(shop)


def test_a_vacuum_killed_at_any_change_leaves_every_kept_state_and_the_next_completes_it(shop: Shop) -> None:
    for number in range(4):
        deliver(shop, number)
    before, iceberg = states(shop, 3, 4), by_pyiceberg(shop)
    shop.keep()
    count = changes(VACUUM, shop.lake)
    assert count > 15
    for number in sorted({1, 2, 3, *range(4, count, 3), count - 1, count}):
        shop.restore()
        assert killed_at(number, VACUUM, shop.lake), number
        assert states(shop, 3, 4) == before, number
        assert by_pyiceberg(shop) == iceberg, number
        assert_whole(shop)
        assert states(shop, 3, 4) == before, number


def test_an_undo_killed_at_any_change_has_done_all_or_nothing_and_is_done_by_the_next(shop: Shop) -> None:
    deliver(shop, 0)
    before = stored(shop)
    deliver(shop, 1)
    deliver(shop, 2)
    shop.undo()
    deliver(shop, 3)
    after, then = stored(shop), states(shop, 4)[4]
    # Metadata that comes back refers to what this removes, so that the undo must write some.
    vacuum(shop, keep=1)
    shop.keep()
    count = changes(UNDO, shop.lake)
    assert count >= 2
    assert stored(shop) == then != before
    for number in range(1, count + 1):
        shop.restore()
        assert killed_at(number, UNDO, shop.lake), number
        left = stored(shop)
        assert left in (after, then), number
        if left == after:
            assay.undo(warehouse=shop.lake)
        assert stored(shop) == then
        assert_whole(shop)


def test_runs_vacuums_and_readers_at_once_all_go_on(shop: Shop) -> None:
    deliver(shop, 0)
    vacuums = "import assay\nfrom assay.settings import Settings\nkept = Settings(keep_runs=1, keep_days=0)\n"
    vacuums += (
        "import sys\nwhile True: print(assay.vacuum(sys.argv[1], remove=True, settings=kept).removed, flush=True)"
    )
    command = [sys.executable, "-c", vacuums, str(shop.lake)]
    with ExitStack() as stack:
        others = [
            stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE)
            )
            for _ in range(2)
        ]
        for other in others:
            stack.callback(other.kill)
            assert other.stdout
            assert other.stdout.readline() == "True\n"
        opened = stack.enter_context(reader(shop))
        seen = opened.ask()
        for number in range(1, 9):
            deliver(shop, number)
            assert len(stored(shop)["bronze.order"]) == 2 * number + 2
            assert opened.ask() == seen
        assert [other.poll() for other in others] == [None, None]
    assert_whole(shop)


def test_of_two_undos_at_once_one_undoes_the_run_and_the_other_what_is_newest_then(shop: Shop) -> None:
    for number in range(3):
        deliver(shop, number)
    expected = states(shop, 2)[2]
    command = [sys.executable, "-c", "import sys, assay\nassay.undo(3, warehouse=sys.argv[1])", str(shop.lake)]
    both = [subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, stderr=subprocess.PIPE) for _ in range(2)]
    ends = sorted((process.communicate(timeout=SECONDS)[1], process.returncode) for process in both)
    assert [code for _, code in ends] == [0, 1]
    assert "Run 3 has published nothing that stands" in ends[1][0]
    assert stored(shop) == expected
    assert_whole(shop)


def test_a_run_and_an_undo_at_once_take_turns(shop: Shop) -> None:
    deliver(shop, 0)
    deliver(shop, 1)
    command = [sys.executable, "-c", "import sys, assay\nassay.undo(2, warehouse=sys.argv[1])", str(shop.lake)]
    with subprocess.Popen(command, cwd=ROOT, env=environment()) as process:
        deliver(shop, 2)
        assert process.wait(timeout=SECONDS) == 0
    files = {name for (name,) in shop.rows("select distinct name from meta.slice")}
    # What came with or after the run that was undone went with it; what came after the undo stays.
    assert files in ({"orders000.csv"}, {"orders000.csv", "orders002.csv"})
    assert len(stored(shop)["bronze.order"]) == 2 * len(files)
    assert_whole(shop)


def run(shop: Shop, *more: assay.Table) -> assay.RunResult:
    """Run the pipeline, also after processes whose accounts nobody has followed."""
    paths = {"orders": shop.inbox / "orders*.csv"}
    return assay.run(shop.pipeline(*tables(), *more), warehouse=shop.lake, sources=paths, redo=True, settings=SETTINGS)


def readable(shop: Shop) -> dict[int, Any]:
    """The newest published states that can be read."""
    found: dict[int, Any] = {}
    for past in assay.history(shop.lake, limit=5):
        with suppress(WarehouseError):
            found |= states(shop, past.id)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_any_history_leaves_kept_states_as_they_were_and_nothing_beside_them(shop: Shop, seed: int) -> None:
    dice, number = Random(seed), 0
    deliver(shop, number)
    failing = define(
        lambda bronze_order: bronze_order, "silver_other", checks=[assay.row_count(min=99, action="block")]
    )
    for _ in range(14):
        known = readable(shop)
        match dice.choice(("run", "run", "replace", "fail", "kill", "kill", "undo", "vacuum", "vacuum")):
            case "run" | "replace" as kind:
                number += kind == "run"
                shop.orders(f"{number},cat,{dice.randrange(99)}", file=f"orders{dice.randint(0, number):03}.csv")
                assert run(shop).ok
            case "fail":
                shop.orders("7,eve,7", f"8,eve,{dice.randrange(99)}", file="orders000.csv")
                assert run(shop, failing).state == "failed"
            case "kill":
                shop.orders(f"{dice.randrange(99)},dan,3", file="orders000.csv")
                killed_at(dice.randint(1, 60), RUN, shop.lake, shop.inbox)
            case "undo":
                with suppress(UsageError):
                    assay.undo(warehouse=shop.lake)
            case _:
                oldest = vacuum(shop, keep=dice.randint(1, 4)).oldest or 0
                after = readable(shop)
                assert after == {run: state for run, state in known.items() if run in after}
                assert set(after) >= {run for run in known if run >= oldest}
        assert referenced(shop) - shop.files() == set()
    shop.orders(f"{seed},end,1", file="orders999.csv")
    assert run(shop).ok
    assert_whole(shop)
