"""Runs that meet: one that was stopped and taken over, many at once, a catalog that others hold for long."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.conformance.processes import (
    SECONDS,
    Process,
    call,
    finished,
    has_run,
    has_staged,
    rows_of,
    seen,
    started,
    until,
)
from tests.conformance.project import ROWS
from tests.faults.disk import Disk

SLOW = """
import pathlib
import time
@table()
def gold_slow(silver_order):
    if calls:
        time.sleep(5)
        while pathlib.Path("hold").exists():
            time.sleep(0.05)
    calls.append(1)
    return silver_order
calls = []
slow = Pipeline("orders", tables=[*good, gold_slow], sources=sources)
"""
RUN = ("run", "shop_orders:slow", "--json")


@pytest.fixture
def project(folder: Path) -> Path:
    with (folder / "shop_orders.py").open("a") as module:
        module.write(SLOW)
    return folder


def stop_between_writes(process: Process, lake: Path) -> None:
    """Stop a process while it neither writes nor reads the catalog: all would wait for the lock of a stopped one."""
    for _ in range(100):
        process.send_signal(signal.SIGSTOP)
        # The signal is under way until it has stopped: it might still take the lock.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        try:
            with closing(sqlite3.connect(lake / "catalog.db", timeout=0)) as catalog:
                catalog.execute("begin exclusive")
            return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            time.sleep(0.01)
    raise AssertionError("it never let go of the catalog")


@pytest.mark.faults
def test_a_run_that_was_stopped_and_taken_over_publishes_nothing_when_it_goes_on(project: Path) -> None:
    lake = project / "lake"
    with started(*RUN, cwd=project, lease_seconds="2") as stopped:
        assert until(has_staged(3), lake, stopped)
        stop_between_writes(stopped, lake)
        # It still lives, so its lease must run out.
        other = call(*RUN, cwd=project, lease_seconds="2", when_busy="wait")
        assert (other.returncode, json.loads(other.stdout)["run"]) == (0, 2)
        after = seen(lake)
        stopped.send_signal(signal.SIGCONT)
        end = finished(stopped)
    assert (end.returncode, end.stdout) == (1, "")
    assert end.stderr == "assay: Run 1 was taken over by another run; it publishes nothing.\n"
    assert rows_of(lake, "select id, state from assay_run") == [(1, "failed"), (2, "published")]
    assert seen(lake) == after
    assert len(after) == 4


@pytest.mark.faults
def test_a_run_that_was_taken_over_by_one_still_at_work_is_refused(project: Path) -> None:
    lake = project / "lake"
    with ExitStack() as stack:
        stopped = stack.enter_context(started(*RUN, cwd=project, lease_seconds="2"))
        assert until(has_staged(3), lake, stopped)
        stop_between_writes(stopped, lake)
        other = stack.enter_context(started(*RUN, cwd=project, lease_seconds="60", when_busy="wait"))
        assert until(lambda lake: rows_of(lake, "select run from assay_lease") == [(2,)], lake, other)
        stop_between_writes(other, lake)
        stopped.send_signal(signal.SIGCONT)
        end = finished(stopped)
        assert (end.returncode, end.stdout) == (1, "")
        assert end.stderr == "assay: Run 1 was taken over by another run; it publishes nothing.\n"
        assert seen(lake) == {}
        other.send_signal(signal.SIGCONT)
        assert finished(other).returncode == 0
    assert rows_of(lake, "select id, state from assay_run") == [(1, "failed"), (2, "published")]


@pytest.mark.faults
def test_a_living_run_is_not_taken_over_however_long_it_takes(project: Path) -> None:
    with started(*RUN, cwd=project, lease_seconds="3") as long:
        assert until(has_run("staged"), project / "lake", long)
        other = call(*RUN, cwd=project, lease_seconds="3", when_busy="wait")
        end = finished(long)
    states = [json.loads(each.stdout)["state"] for each in (end, other)]
    assert states == ["published", "unchanged"], (end, other)
    assert [run for run in rows_of(project / "lake", "select id, state from assay_run") if run[1] == "failed"] == []


@pytest.mark.faults
def test_of_eight_runs_at_once_one_publishes_and_all_end_well(folder: Path) -> None:
    for _ in range(2):
        with ExitStack() as stack:
            crowd = [stack.enter_context(started("run", "orders", "--json", cwd=folder)) for _ in range(8)]
            ends = [finished(one) for one in crowd]
        assert [(end.returncode, end.stderr) for end in ends] == [(0, "")] * 8
        assert Counter(json.loads(end.stdout)["state"] for end in ends) == {"published": 1, "unchanged": 7}
        (folder / "data/b.csv").write_text(ROWS.replace("\n1,", "\n7,"))
    assert rows_of(folder / "lake", "select count(*) from assay_run where seq is not null") == [(2,)]
    assert rows_of(folder / "lake", "select count(*) from assay_run where state in ('staged', 'failed')") == [(0,)]
    assert [len(rows) for table, rows in seen(folder / "lake").items() if table == "silver_order"] == [4]


@pytest.mark.faults
def test_of_two_pipelines_that_make_one_table_at_once_the_later_publish_is_refused(project: Path) -> None:
    lake, hold = project / "lake", project / "hold"
    hold.touch()
    with started(*RUN, cwd=project) as slow:
        assert until(has_staged(3), lake, slow)
        # Another pipeline has another lease: only the publish can tell that the slow one read what is no more so.
        quick = call("run", "shop_orders:others", "--json", cwd=project)
        assert (quick.returncode, json.loads(quick.stdout)["state"]) == (0, "published")
        after = seen(lake)
        hold.unlink()
        end = finished(slow)
    assert (end.returncode, end.stdout) == (2, "")
    assert "is written by the pipeline 'others'; 'orders' cannot write it too." in end.stderr
    assert seen(lake) == after
    assert len(after) == 3
    states = rows_of(lake, "select pipeline, state from assay_run order by id")
    assert states == [("orders", "failed"), ("others", "published")]
    assert rows_of(lake, "select distinct pipeline from assay_dataset") == [("others",)]


@pytest.mark.faults
def test_an_undo_beside_a_run_waits_and_takes_back_what_that_published_too(project: Path) -> None:
    lake = project / "lake"
    assert call(*RUN, cwd=project).returncode == 0
    assert len(seen(lake)) == 4
    (project / "data/a.csv").write_text(ROWS.replace("5.00", "6.00"))
    with started(*RUN, cwd=project) as slow:
        assert until(has_run("staged"), lake, slow)
        undone = call("undo", "1", "--json", cwd=project)
        end = finished(slow)
    assert (end.returncode, json.loads(end.stdout)["state"]) == (0, "published")
    assert (undone.returncode, json.loads(undone.stdout)["undone"]) == (0, [1, 2])
    assert seen(lake) == {}
    states = rows_of(lake, "select id, state from assay_run order by id")
    assert states == [(1, "undone"), (2, "undone"), (3, "published")]


@pytest.mark.faults
@pytest.mark.parametrize("seconds", [1, 30])
def test_a_catalog_that_another_process_locks_so_long_is_waited_for(project: Path, seconds: int) -> None:
    assert call("run", "orders", "--layer", "bronze", cwd=project).returncode == 0
    with ExitStack() as stack:
        process = stack.enter_context(started(*RUN, cwd=project))
        assert until(has_run("staged"), project / "lake", process)
        holder = stack.enter_context(closing(sqlite3.connect(project / "lake/catalog.db", timeout=SECONDS)))
        holder.isolation_level = None
        holder.execute("begin exclusive")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)
        holder.execute("rollback")
        end = finished(process)
    assert (end.returncode, end.stderr) == (0, "")
    assert len(seen(project / "lake")) == 4


def test_many_readers_beside_a_writer_see_whole_runs_and_no_error(folder: Path, disk: Disk) -> None:
    assert disk.call("run", "orders", cwd=folder).code == 0
    before = seen(folder / "lake")
    (folder / "data/a.csv").write_text(ROWS.replace("5.00", "6.00"))
    found = []
    with started("run", "orders", "--json", cwd=folder) as process:
        while process.poll() is None:
            found.append(seen(folder / "lake"))
        assert process.returncode == 0
    after = seen(folder / "lake")
    assert before != after
    assert [state for state in found if state not in (before, after)] == []
    assert len(found) > 5
