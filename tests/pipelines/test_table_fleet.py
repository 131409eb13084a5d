"""The fleet: looked at, loaded, cleaned up behind and reported on in phases; one table that fails, and its resume."""

from __future__ import annotations

import datetime as dt
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import assay
from assay import RunResult, WorkflowResult
from assay.settings import Settings
from pipelines.table_fleet import final_etl, main_etl, pre_etl, sub_etl, table_fleet
from pipelines.table_fleet.generate import change, locked, make
from pipelines.table_fleet.tables import TABLES
from tests.conformance.processes import call, finished, started

DAY = dt.date(2026, 3, 1)
QUICK = Settings(workers=2, retries=2, retry_seconds=0.01)
ROWS = 20

Source = psycopg.Connection[Any]


@pytest.fixture
def source(logical_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """The fleet's database, with some rows in each table, at the address that the pipeline looks for."""
    url = logical_url.replace("+psycopg", "")
    monkeypatch.setenv("FLEET_URL", url)
    with psycopg.connect(url, autocommit=True) as connection:
        make(connection, rows=ROWS, seed=1, lock_timeout="50ms")
        yield connection


def steps(result: WorkflowResult) -> dict[str, str]:
    """How each step ended, with those of the workflows in it."""
    found: dict[str, str] = {}
    for name, unit in result.units.items():
        found[name] = unit.status
        if isinstance(unit.result, WorkflowResult):
            found |= steps(unit.result)
    return found


def inner(result: WorkflowResult, *names: str) -> Any:
    """The result of a step of a workflow in a workflow."""
    found: Any = result
    for name in names:
        found = found.units[name].result
    return found


@pytest.mark.row("001-01", "001-02", "001-03", "001-05", "001-06", "001-19")
def test_everything_is_looked_at_loaded_cleaned_up_and_reported(source: Source, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    result = assay.run_workflow(main_etl, warehouse=lake, as_of=DAY, settings=QUICK)
    assert (result.ok, set(steps(result).values()), result.problems) == (True, {"done"}, ())
    pre, sub, final = (result.units[name] for name in ("pre_etl", "sub_etl", "final_etl"))
    assert None not in (pre.started_at, sub.started_at, final.started_at, pre.ended_at, sub.ended_at)
    assert max(pre.started_at, sub.started_at) < min(pre.ended_at, sub.ended_at)
    assert final.started_at >= max(pre.ended_at, sub.ended_at)
    looked = inner(result, "pre_etl").units["sources_validated"].value
    assert (looked["status"], looked["sources_validated"]) == ("pre_etl_complete", True)
    assert (looked["source_rights"], looked["source_columns"]) == ({"tables": 20}, {"columns": 80})
    assert looked["source_fresh"] == {"fresh": 20, "unread": []}
    told = inner(result, "final_etl").units
    assert told["target_equals_source"].value == {"tables": 20, "rows": 20 * ROWS}
    assert told["reports_generated"].value == {"status": "final_etl_complete", "reports_generated": True}
    report = Path(told["report"].value["report"]).read_text()
    assert report.count(f"| {ROWS} |") == 20
    totals = inner(result, "final_etl", "totals")
    assert {(node.status, node.attempts) for name, node in totals.tables.items() if name.startswith("bronze")} == {
        ("unchanged", 0)
    }, "the totals are of what was loaded, and the source is not read for them"
    cleaned = inner(result, "sub_etl").units
    assert [cleaned[name].value["removed"] for name in ("clean_leftovers", "clean_expired")] == [True, True]


@pytest.mark.faults
@pytest.mark.row("001-04")
def test_one_table_that_fails_is_tried_again_publishes_nothing_and_is_resumed_alone(
    source: Source, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    given: dict[str, Any] = {"warehouse": lake, "settings": QUICK}
    assert assay.run_workflow(main_etl, as_of=DAY, **given).ok
    with assay.connect(lake) as before:
        published = before.execute("from gold.totals order by 1").fetchall()
    change(source, rows=4, seed=2)
    with psycopg.connect(source.info.dsn, autocommit=True) as other, locked(other, 7):
        failed = assay.run_workflow(main_etl, as_of=DAY, **given)
    assert {name: unit.status for name, unit in failed.units.items()} == {
        "pre_etl": "done",
        "sub_etl": "failed",
        "final_etl": "blocked",
    }
    tables: RunResult = inner(failed, "sub_etl", "process_tables")
    assert {name: (node.status, node.attempts) for name, node in tables.tables.items() if name != "gold_totals"} == {
        f"bronze_{name}": ("failed", 3) if name == "table_07" else ("written", 1) for name in TABLES
    }
    assert tables.nodes["bronze_table_07"].retried == ("LockNotAvailable: canceling statement due to lock timeout",) * 2
    with assay.connect(lake) as after:
        assert after.execute("from gold.totals order by 1").fetchall() == published
        assert after.execute("select count(*) from bronze.table_00").fetchone() == (ROWS,)
    source.execute("insert into fleet.table_00 values (999, 'late', 1)")
    resumed = assay.resume_workflow(main_etl, **given)
    read: RunResult = inner(resumed, "sub_etl", "process_tables")
    assert read.run == tables.run
    with assay.connect(lake) as after:
        counts = {name: after.execute(f"select count(*) from bronze.{name}").fetchone() for name in TABLES}
    assert counts == dict.fromkeys(TABLES, (ROWS - 2,)), "a table that had not failed was read again"
    assert resumed.problems == (
        "final_etl failed: target_equals_source failed: ValueError: not as in the source: table_00",
    )


@pytest.mark.faults
@pytest.mark.row("001-13", "001-15", "001-19")
def test_each_workflow_runs_by_itself_and_a_failure_is_told_by_the_exit_code(source: Source, tmp_path: Path) -> None:
    where = ("--warehouse", str(tmp_path / "lake"))
    for name in ("pre_etl", "sub_etl", "final_etl"):
        ended = call("run", name, "--json", *where)
        assert (ended.returncode, json.loads(ended.stdout)["state"]) == (0, "done"), ended.stdout + ended.stderr
    source.execute("alter table fleet.table_03 drop column name")
    ended = call("run", "main_etl", *where)
    assert ended.returncode == 1
    assert "pre_etl failed: source_columns failed: ValueError: table_03.name is missing" in ended.stdout
    assert "failed because of pre_etl" in ended.stdout


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_one_that_is_stopped_while_it_reads_ends_at_once_and_goes_on(
    source: Source, tmp_path: Path, number: signal.Signals
) -> None:
    make(source, rows=ROWS, seed=1, lock_timeout="0")
    where = ("--warehouse", str(tmp_path / "lake"))
    waits = "select 1 from pg_stat_activity where application_name = 'assay' and wait_event_type = 'Lock'"
    reads = f"{waits} and query ilike 'copy%'"
    with (
        psycopg.connect(source.info.dsn, autocommit=True) as other,
        locked(other, 7),
        started("run", "main_etl", "--workers", "2", *where) as process,
    ):
        until(lambda: bool(source.execute(reads).fetchall()))
        process.send_signal(number)
        ended = finished(process, 20)
    assert ended.returncode == (-number if number == signal.SIGKILL else 128 + number), ended.stderr
    until(lambda: not source.execute(waits).fetchall())
    resumed = call("resume", "main_etl", "--json", *where)
    document = json.loads(resumed.stdout)
    assert (resumed.returncode, document["problems"], document["run"]) == (0, [], 1), ended.stderr + resumed.stderr
    told = document["phases"]["finish"]["units"]["final_etl"]["result"]["phases"]["report"]["units"]
    assert told["target_equals_source"]["value"] == {"tables": 20, "rows": 20 * ROWS}
    failed = [run.id for run in assay.history(tmp_path / "lake") if run.state not in ("done", "published")]
    assert failed == [], "a run was made anew where one could be resumed"


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.row("001-15")
def test_the_workflows_are_what_they_are_said_to_be() -> None:
    assert (pre_etl.name, sub_etl.name, final_etl.name) == ("pre_etl", "sub_etl", "final_etl")
    assert main_etl.shape == {"load": ["pre_etl", "sub_etl"], "finish": ["final_etl"]}
    assert [*table_fleet.mirrors] == [f"bronze_{name}" for name in TABLES]
