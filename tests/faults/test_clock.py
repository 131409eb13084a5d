"""A clock that is set back and forth while a run is at work: it publishes, and nobody takes it for dead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import assay
from tests.conformance.processes import call, has_staged, rows_of, seen, until
from tests.conformance.project import ROWS
from tests.faults.disk import Disk, End, faulty_disk

DAY = 86_400
LEASE = {"lease_seconds": "2"}
"""Renewed every half second, while the jumping table takes three seconds for each setting of the clock."""
JUMPING = """
import ctypes, os, time
@table()
def gold_jump(silver_order):
    for seconds in os.environ.get("CLOCKS", "").split() if calls else ():
        ctypes.CDLL(None).set_clock(ctypes.c_long(int(seconds)))
        time.sleep(3)
    calls.append(1)
    return silver_order
calls = []
jumping = Pipeline("orders", tables=[*good, gold_jump], sources=sources)
"""
RUN = ("run", "shop_orders:jumping", "--json")

pytestmark = pytest.mark.faults


@pytest.fixture
def project(folder: Path) -> Path:
    with (folder / "shop_orders.py").open("a") as module:
        module.write(JUMPING)
    return folder


@contextmanager
def at_work(disk: Disk, project: Path, *clocks: int) -> Iterator[Future[End]]:
    """A run that goes on beside what the block does, and whose process has its clock set meanwhile."""
    variables = {"CLOCKS": " ".join(map(str, clocks))}
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(lambda: disk.call(*RUN, cwd=project, variables=variables, **LEASE))
        assert until(has_staged(4), project / "lake")
        yield run


def published(end: End, tables: int = 4) -> dict[str, Any]:
    """Return what a run says of itself, which has published these tables with every row accounted for."""
    assert end.code == 0, end
    document: dict[str, Any] = json.loads(end.out)
    assert (document["state"], len(document["tables"])) == ("published", tables)
    for name, table in document["tables"].items():
        assert table["returned"] == table["written"] + table["rejected"] + table["deduplicated"], name
    nodes = [*document["tables"].values(), *document["steps"].values()]
    assert [node["seconds"] for node in nodes if not 0 <= node["seconds"] < 60] == []
    assert 6 < document["seconds"] < 60
    return document


@pytest.mark.parametrize("clocks", [(-DAY, DAY), (DAY, -DAY)], ids=["back and forth", "forth and back"])
def test_a_run_whose_clock_jumps_publishes_and_one_beside_it_waits(
    project: Path, disk: Disk, clocks: tuple[int, int]
) -> None:
    lake = project / "lake"
    with at_work(disk, project, *clocks) as run:
        waited = call(*RUN, cwd=project, **LEASE)
        document = published(run.result())
    assert (document["run"], waited.returncode, json.loads(waited.stdout)["state"]) == (1, 0, "unchanged")
    assert rows_of(lake, "select id, state from assay_run where state <> 'unchanged'") == [(1, "published")]
    with assay.connect(lake, at=1) as reader:
        assert reader.sql("select count(*), count(distinct created_at) from silver.order").fetchall() == [(3, 1)]
    # What comes next is next, though it ends a day before the run before it, or a day behind it.
    (project / "data/b.csv").write_text(ROWS.replace("\n1,", "\n11,"))
    assert call("run", "shop_orders:jumping", cwd=project).returncode == 0
    newest, *_ = assay.history(lake)
    assert (newest.state, newest.published) == ("published", 2)
    assert len(seen(lake)["silver_order"]) == 4
    with assay.connect(lake, at=1) as reader:
        assert reader.sql("select count(*) from silver.order").fetchall() == [(3,)]


@pytest.mark.parametrize("ahead", [DAY, -DAY], ids=["ahead", "behind"])
def test_a_run_at_work_is_not_taken_over_by_one_whose_clock_is_wrong(
    project: Path, disk: Disk, ahead: int, tmp_path: Path
) -> None:
    with faulty_disk(tmp_path) as wrong, at_work(disk, project, 0, 0) as run:
        refused = wrong.call(*RUN, cwd=project, clock=ahead, when_busy="stop", **LEASE)
        vacuumed = wrong.call("vacuum", "--yes", cwd=project, clock=ahead, keep_runs="1", keep_days="0")
        assert not run.done()
        published(run.result())
    assert (refused.code, "Run 1 of orders is still at work" in refused.err, vacuumed.code) == (1, True, 0)
    assert rows_of(project / "lake", "select id, state from assay_run") == [(1, "published")]
