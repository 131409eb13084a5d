"""The flows of the ride pipeline: layers, months, days and commands, each from the command line and from Python."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import assay
from benchmarks.golden import TABLES
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import HEADER, generate
from tests.conformance.processes import AS_OF, call, seen
from tests.conformance.project import document, told

Document = dict[str, Any]
Flow = Callable[..., Document]
BY_MONTH = {name for name in TABLES if name.startswith("bronze")} | {
    f"silver_{entity}" for entity in ("booking", "ride", "cancelled_ride", "incompleted_ride")
}
DAILY = "gold_daily_booking_summary"
DAY, MONTH = "2024-03-05", "2024-03"
DAY_ROW = f"({date.fromisoformat(DAY)!r}"
"""How a row of the daily summary begins."""
EMPTY_BRONZE = "2024-03-01,09:00:00,B1,No Driver Found,C1,Auto,Here,There" + ",null" * 13


def from_command_line(command: str, lake: Path, **options: Any) -> Document:
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return document(call(command, "ride_bookings", "--as-of", AS_OF, "--warehouse", str(lake), "--json", *words))


def from_python(command: str, lake: Path, **options: Any) -> Document:
    given: dict[str, Any] = {"warehouse": lake, "as_of": date.fromisoformat(AS_OF)}
    if command in ("bronze", "silver", "gold"):
        given["layers"] = [command]
    if command == "backfill":
        given["backfill"] = True
    if "source" in options:
        given["sources"] = dict([options["source"].split("=")])
    if "month" in options:
        given["month"] = options["month"]
    if "date" in options:
        given["date"] = date.fromisoformat(options["date"])
    return assay.run(ride_bookings, **given).to_json()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("data"), rows=500)["bookings"]


def of_month(rows: list[str]) -> list[str]:
    return [row for row in rows if f"'{MONTH}'" in row]


def written(found: Document) -> set[str]:
    return {name for name, table in found["tables"].items() if table["status"] == "written"}


@pytest.mark.row("000-12", "000-14", "000-15", "000-16", "000-18")
@pytest.mark.faults
@pytest.mark.parametrize("flow", [from_command_line, from_python], ids=["command line", "Python"])
def test_layers_months_and_days_are_flows_of_their_own(flow: Flow, file: Path, tmp_path: Path) -> None:
    lake, source = tmp_path / "lake", tmp_path / "bookings.csv.gz"
    source.write_bytes(file.read_bytes())
    whole = tmp_path / "whole"
    assert from_python("run", whole, source=f"bookings={source}")["state"] == "published"
    expected = seen(whole)
    assert written(flow("bronze", lake, source=f"bookings={source}")) == {t for t in TABLES if t.startswith("bronze")}
    source.unlink()
    # A month of what has never been computed is that month and no more.
    silver = flow("silver", lake, month=MONTH)
    assert written(silver) == {name for name in TABLES if name.startswith("silver")}
    found = seen(lake)
    for table in BY_MONTH & set(silver["tables"]) & {name for name in TABLES if name.startswith("silver")}:
        assert without_ids(found[table]) == without_ids(of_month(expected[table])) != [], table
    reason = silver["tables"]["silver_location"]["reason"]
    assert reason == f"it has never been published; ignores --month {MONTH}: no month in its partitions or key"
    flow("silver", lake)
    gold = flow("gold", lake, date=DAY)
    for table in ("gold_customer_analytics", "gold_location_analytics"):
        assert gold["tables"][table]["reason"].endswith(f"; ignores --date {DAY}: no day in its partitions or key")
    assert seen(lake)[DAILY] == [row for row in expected[DAILY] if row.startswith(DAY_ROW)] != []
    flow("gold", lake)
    assert seen(lake)[DAILY] == expected[DAILY]
    assert flow("backfill", lake)["state"] == "unchanged"
    assert flow("backfill", lake, month=MONTH)["state"] == "unchanged"


def without_ids(rows: list[str]) -> list[str]:
    """Rows of facts without their number, which says what was there first."""
    return sorted(row.partition(", ")[2] if row[1].isdigit() else row for row in rows)


@pytest.mark.row("000-15")
def test_a_day_of_gold_is_rebuilt_and_no_other_row_of_the_daily_summary(file: Path, tmp_path: Path) -> None:
    lake, source = tmp_path / "lake", tmp_path / "bookings.csv.gz"
    text = gzip.decompress(file.read_bytes()).decode()
    for content in (text, text.replace("Auto", "Rickshaw")):
        source.write_bytes(gzip.compress(content.encode()))
        if content == text:
            from_python("run", lake, source=f"bookings={source}")
            before = seen(lake)[DAILY]
        else:
            from_python("bronze", lake, source=f"bookings={source}")
            from_python("silver", lake)
    from_command_line("gold", lake, date=DAY)
    after = seen(lake)[DAILY]
    assert [row for row in after if not row.startswith(DAY_ROW)] == [
        row for row in before if not row.startswith(DAY_ROW)
    ]
    changed = {row.replace("Rickshaw", "Auto") for row in after if row.startswith(DAY_ROW)}
    assert changed == {row for row in before if row.startswith(DAY_ROW)}
    assert any("Rickshaw" in row for row in after) is any("Auto" in row for row in changed)


@pytest.mark.row("000-16", "000-17", "000-25", "000-38")
@pytest.mark.parametrize(
    "flow", [from_command_line, pytest.param(from_python, marks=pytest.mark.faults)], ids=["command line", "Python"]
)
def test_a_new_file_adds_only_its_rows_and_what_is_there_is_skipped_with_the_reason(
    flow: Flow, file: Path, tmp_path: Path
) -> None:
    inbox, lake = tmp_path / "inbox", tmp_path / "lake"
    inbox.mkdir()
    source = f"bookings={inbox}/*.csv.gz"
    header, *lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    for number, part in enumerate((lines[:300], lines[300:])):
        (inbox / f"{number}.csv.gz").write_bytes(gzip.compress("\n".join((header, *part, "")).encode()))
        found = flow("incremental", lake, source=source)
        assert found["steps"]["bookings"]["read"] == {f"{number}.csv.gz": len(part)}
    bronze = found["tables"]["bronze_booking"]
    assert (bronze["deleted"], bronze["updated"], bronze["inserted"] + bronze["deduplicated"]) == (0, 0, 200)
    again = flow("bronze", lake, source=source)
    assert (again["state"], again["run"]) == ("unchanged", None)
    assert again["tables"]["bronze_ride"]["reason"] == "nothing it reads has changed since run 2"
    assert again["steps"]["bookings"]["reason"] == "its files are as they were"


@pytest.mark.row("000-25", "000-39")
def test_an_empty_bronze_table_warns_and_a_setting_makes_it_block(tmp_path: Path) -> None:
    source = tmp_path / "bookings.csv"
    source.write_text(f"{HEADER}\n{EMPTY_BRONZE}\n")
    words = ["run", "ride_bookings", "--source", f"bookings={source}", "--warehouse", str(tmp_path / "lake"), "--json"]
    blocked = document(call(*words, warnings="block"), 1)
    empty = ["payment_method", "ride", "cancelled_ride", "incompleted_ride"]
    assert [problem for problem in blocked["problems"] if "row_count" in problem] == [
        f"bronze_{entity}: check row_count(min=1) is broken by 1 row" for entity in empty
    ]
    found = document(call(*words))
    assert found["state"] == "published"
    for name in (name for name in TABLES if name.startswith("bronze")):
        (check,) = (check for check in found["tables"][name]["checks"] if check["check"].startswith("row_count"))
        assert (check["action"], check["broken"]) == ("warn", int(name.removeprefix("bronze_") in empty))


@pytest.mark.row("000-27")
@pytest.mark.parametrize(
    "flow", [pytest.param(from_command_line, marks=pytest.mark.faults), from_python], ids=["command line", "Python"]
)
def test_one_table_of_the_ride_pipeline_runs_and_all_others_stay(flow: Flow, file: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    from_python("run", lake, source=f"bookings={file}")
    if flow is from_command_line:
        found = flow("run", lake, source=f"bookings={file}", select="silver_location+")
    else:
        select = ["silver_location+"]
        found = assay.run(ride_bookings, warehouse=lake, sources={"bookings": file}, select=select).to_json()
    ran = {name for name, table in found["tables"].items() if table["attempts"]}
    assert ran == {"silver_location", "silver_booking", *(name for name in TABLES if name.startswith("gold"))}
    assert {t["reason"] for name, t in found["tables"].items() if name not in ran} == {"not selected"}


@pytest.mark.row("000-18")
def test_commands_that_need_the_source_say_that_it_is_missing(file: Path, tmp_path: Path) -> None:
    lake, source = tmp_path / "lake", tmp_path / "gone.csv.gz"
    from_python("run", lake, source=f"bookings={file}")
    for command in ("run", "bronze", "incremental"):
        words = [command, "ride_bookings", "--source", f"bookings={source}", "--warehouse", str(lake)]
        told(call(*words), 2, f"{source}: No such file or directory")
