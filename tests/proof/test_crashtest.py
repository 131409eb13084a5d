"""`assay crashtest`: processes are killed, and what they leave is judged; what should not hold is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.ride_bookings.generate import generate
from tests.conformance.processes import ROOT, call

FAULTS = pytest.mark.faults
UNSTEADY = '''
"""A pipeline that gives other numbers each time."""
from narwhals import LazyFrame
from assay import Pipeline, csv, sql, table

@table()
def bronze_order(orders: LazyFrame) -> LazyFrame:
    """Orders with a number that means nothing."""
    return sql("select id, random() as chance from o", o=orders)

unsteady = Pipeline("unsteady", tables=[bronze_order], sources={"orders": csv("orders.csv", columns={"id": "BIGINT"})})
'''

SAME = '''
"""A pipeline whose second run rejects the same row anew."""
from narwhals import LazyFrame
from assay import Pipeline, between, csv, sql, table

@table(checks=[between("amount", 0, 9, "reject")])
def bronze_order(orders: LazyFrame) -> LazyFrame:
    """Orders, of which each needs all others."""
    return sql("select id, amount from o qualify row_number() over (order by id) < 99", o=orders)

columns = {"id": "BIGINT", "amount": "BIGINT"}
same = Pipeline("same", tables=[bronze_order], sources={"orders": csv("orders.csv", columns=columns)})
'''


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline that has just been begun."""
    folder = tmp_path_factory.mktemp("begun")
    assert call("new", "shop", cwd=folder).returncode == 0
    return folder / "shop"


def crashtest(pipeline: str, *options: str, cwd: Path = ROOT, within: float = 600) -> dict[str, Any]:
    """Run the command to its end, which must be a good one, and return what it says."""
    ended = call("crashtest", pipeline, "--json", *options, cwd=cwd, within=within)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def kinds(report: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Count the kills by story and by what decided their moment."""
    found: dict[tuple[str, str], int] = {}
    for kill in report["kills"]:
        place = (kill["story"], kill["kind"])
        found[place] = found.get(place, 0) + 1
    return found


def test_a_new_pipeline_loses_nothing_at_some_points_and_times(shop: Path) -> None:
    report = crashtest("shop", "--points", "4", "--random", "2", cwd=shop)
    found = kinds(report)
    assert (found["first", "point"] + found["next", "point"], found["first", "time"], found["next", "time"]) == (
        4,
        1,
        1,
    )
    assert all(kill["violations"] == [] for kill in report["kills"])
    assert [kill["times"] for kill in report["kills"]] == [2, 2, 2, 2, 1, 1]
    assert report["points"]["first"] >= 2 * len(("begin", "record_plan", "prepare", "publish", "discard"))
    assert not list((shop / "lake").glob("*")), "the warehouse of the pipeline itself is left alone"


def test_it_is_told_to_people_in_a_table_with_a_last_line(shop: Path) -> None:
    ended = call("crashtest", "shop", "--points", "1", "--random", "1", cwd=shop)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "shop: killed and run again"
    assert lines[2].split() == ["run", "killed", "kills", "violations"]
    assert lines[-1].startswith("2 kills in ")
    assert lines[-1].endswith(": nothing was lost, doubled or half done")
    assert lines[-2].startswith("not covered: a loss of power")


def test_a_function_that_gives_other_rows_each_time_cannot_be_judged(tmp_path: Path) -> None:
    (tmp_path / "unsteady.py").write_text(UNSTEADY, encoding="utf-8")
    (tmp_path / "orders.csv").write_text("id\n1\n2\n3\n", encoding="utf-8")
    ended = call("crashtest", "unsteady:unsteady", "--random", "1", cwd=tmp_path)
    assert ended.returncode == 1
    assert "bronze_order" in ended.stderr
    assert "not the same" in ended.stderr


def test_a_pipeline_that_is_not_there_and_a_file_that_is_gone_are_told_at_once(shop: Path) -> None:
    ended = call("crashtest", "shoe", cwd=shop)
    assert (ended.returncode, "shop" in ended.stderr) == (2, True)
    ended = call("crashtest", "shop", "--source", "orders=nowhere.csv", cwd=shop)
    assert (ended.returncode, "nowhere.csv" in ended.stderr) == (2, True)


@FAULTS
def test_every_call_that_changes_the_warehouse_lies_under_a_point_and_is_on_the_disk_in_time(shop: Path) -> None:
    report = crashtest("shop", "--points", "0", "--random", "0", "--calls", "24", cwd=shop)
    assert report["uncovered"] == []
    assert report["unsynced"] == []
    assert report["calls"]["first"] > 100
    assert report["calls"]["next"] > 100
    assert kinds(report) == {("first", "call"): 12, ("next", "call"): 12}


@FAULTS
def test_rows_that_are_rejected_again_are_on_the_disk_too_though_they_change_no_table(tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text(SAME, encoding="utf-8")
    (tmp_path / "orders.csv").write_text("id,amount\n0,77\n" + "".join(f"{n},1\n" for n in range(1, 60)))
    report = crashtest("same:same", "--points", "0", "--random", "0", "--calls", "2", cwd=tmp_path)
    assert (report["uncovered"], report["unsynced"]) == ([], [])


@FAULTS
@pytest.mark.parametrize("on", ["postgresql", "shared-lake"])
def test_nothing_is_lost_though_the_server_is_struck_down_too(shop: Path, on: str, sweep: bool) -> None:
    points, times = (16, 8) if sweep else (6, 3)
    report = crashtest("shop", "--on", on, "--points", str(points), "--random", str(times), cwd=shop, within=600)
    assert [kill["violations"] for kill in report["kills"]] == [[]] * (points + times)
    assert [kill["struck"] for kill in report["kills"]] == [False, False, True] * ((points + times) // 3)
    assert report["not_covered"] == []


def test_calls_to_the_system_are_counted_in_lakes_alone(shop: Path) -> None:
    ended = call("crashtest", "shop", "--on", "postgresql", "--calls", "1", cwd=shop)
    assert (ended.returncode, "counted in lakes" in ended.stderr) == (2, True)


@FAULTS
def test_the_rides_lose_nothing_at_points_and_times(tmp_path: Path, sweep: bool) -> None:
    points, times = (16, 10) if sweep else (5, 2)
    bookings = generate(tmp_path, rows=5_000)["bookings"]
    source = f"bookings={bookings}"
    kills = ("--points", str(points), "--random", str(times))
    report = crashtest("ride_bookings", "--source", source, "--as-of", "2024-12-01", *kills, within=600)
    assert kinds(report)["first", "point"] + kinds(report)["next", "point"] == points
    # 21 tables, a view, a source and key maps: each written, recorded and told, before and after.
    assert report["points"]["first"] > 2 * 3 * 23


@FAULTS
def test_a_new_pipeline_loses_nothing_at_any_point(shop: Path, sweep: bool) -> None:
    report = crashtest("shop", "--random", "20" if sweep else "2", cwd=shop, within=900)
    assert all(kill["violations"] == [] for kill in report["kills"])
    points = {kill["at"] for kill in report["kills"] if kill["kind"] == "point"}
    for name in ("begin", "record_plan", "prepare", "publish", "discard"):
        assert {f"before {name}", f"after {name}"} <= points, points
