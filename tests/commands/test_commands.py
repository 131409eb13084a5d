"""Commands beside `run`: layers, incremental, backfill, resume, quarantine and profile, and what each option does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.processes import AS_OF, call, has_staged, rows_of, started, stop_at
from tests.conformance.project import MODULE, ROWS, SETTINGS, document, make, told

STRANGE = """id,note,ordered_on,amount,changed_at
4,d,2024-11-03,4000.00,2024-11-03 08:00:00
5,e,2024-11-03,50.00,2024-11-03 08:00:00
6,f,2024-12-01,6000.00,2024-12-01 08:00:00
"""
MONTHS = MODULE.replace("@table(rows=groups", '@table(key="ordered_on", rows=groups')


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own, nothing run yet."""
    folder = make(tmp_path / "project")
    (folder / "shop_orders.py").write_text(MONTHS)
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two published runs that rejected rows, only read by tests."""
    folder = make(tmp_path_factory.mktemp("shop") / "project")
    run(folder, "run", rejected_share="1")
    (folder / "data/b.csv").write_text(STRANGE)
    run(folder, "run", rejected_share="1")
    (folder / "data/c.csv").write_text(
        ROWS.replace("\n2,b", "\n7,g\x01").replace("3,it's", "x,it's").replace("1,a", "9,a")
    )
    run(folder, "run", rejected_share="1")
    return folder


def run(folder: Path, command: str, *more: str, code: int = 0, **settings: str) -> Any:
    return document(call(command, "orders", "--json", *more, cwd=folder, **settings), code)


def revenue(folder: Path) -> dict[str, float]:
    rows = document(call("sql", "select ordered_on, amount from gold.revenue", "--json", cwd=folder))
    return {row["ordered_on"]: row["amount"] for row in rows}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # What is rejected again by a later run stands once, and is in the log for each.
        ((), [(3, "orders", "c.csv"), *[(2, "silver_order", "")] * 2]),
        (("--all",), [(3, "orders", "c.csv"), *((number, "silver_order", "") for number in (3, 3, 2, 2))]),
        (("--run", "2"), [(2, "silver_order", "")] * 2),
        (("--table", "orders"), [(3, "orders", "c.csv")]),
        (("--limit", "1"), [(3, "orders", "c.csv")]),
        (("--run", "1"), []),
    ],
)
def test_rejected_rows_are_listed_newest_first_by_run_by_table_and_so_many(
    shop: Path, options: tuple[str, ...], expected: list[tuple[int, str, str]]
) -> None:
    rows = document(call("quarantine", "list", "--json", *options, cwd=shop))
    assert [(row["run"], row["table"]) for row in rows] == [(number, table) for number, table, _ in expected]
    for row in rows:
        assert row["state"] == "published"
        if row["table"] == "silver_order":
            assert row["reasons"] == ["between(amount, 0, 1000)"]
            assert json.loads(row["row"])["amount"] in ("4000.00", "6000.00")
        else:
            assert (row["row"][:2], row["source_file"], row["line"]) == ("x,", "c.csv", 4)


def test_rejected_rows_for_people_stand_in_columns(shop: Path) -> None:
    lines = call("quarantine", "list", "--table", "silver_order", "--run", "2", cwd=shop).stdout.splitlines()
    columns = ["table", "source_file", "line", "reasons", "row", "encoding"]
    assert lines[0].split() == ["run", "state", "stands", "replayed_by", *columns]
    assert len(lines) == 3
    now = call("quarantine", "list", "--table", "silver_order", cwd=shop).stdout.splitlines()
    assert now[0].split() == ["run", *columns]
    assert call("quarantine", "list", "--table", "bronze_order", cwd=shop).stdout == (
        "No row of bronze_order stands rejected.\n"
    )


def test_a_profile_says_what_the_columns_hold_and_a_near_miss_is_offered(shop: Path) -> None:
    found = {row["column"]: row for row in document(call("profile", "bronze_order", "--json", cwd=shop))}
    assert {column: found["amount"][column] for column in ("type", "rows", "nulls", "distinct", "lowest")} == {
        "type": "DECIMAL(12,2)",
        "rows": 8,
        "nulls": 0,
        "distinct": 6,
        "lowest": "0.20",
    }
    assert (found["id"]["highest"], found["ordered_on"]["most_frequent"]) == ("9", "2024-11-01")
    assert call("profile", "bronze.order", cwd=shop).stdout.splitlines()[0].startswith("column")
    told(call("profile", "bronze_ordr", cwd=shop), 2, "no published table 'bronze_ordr'. Did you mean 'bronze_order'?")


@pytest.mark.row("000-16", "000-18")
def test_what_computes_from_stored_rows_needs_no_source_and_what_loads_says_that_it_is_missing(project: Path) -> None:
    for command in ("silver", "gold", "backfill"):
        told(call(command, "orders", cwd=project), 2, "never")
    run(project, "bronze")
    shutil.rmtree(project / "data")
    assert written(run(project, "silver", "--as-of", AS_OF)) == {"silver_order"}
    assert written(run(project, "gold")) == {"gold_revenue"}
    (project / "shop_orders.py").write_text(MONTHS.replace("LIMIT = 1000", "LIMIT = 9"))
    for command in ("run", "bronze", "incremental"):
        told(call(command, "orders", cwd=project), 2, "No file matches data/*.csv")
    found = run(project, "backfill", rejected_share="1")
    assert (written(found), found["tables"]["bronze_order"]["reason"]) == (
        {"silver_order", "gold_revenue"},
        "not selected",
    )
    assert revenue(project) == {"2024-11-01": 0.2, "2024-11-02": 5}


def written(found: dict[str, Any]) -> set[str]:
    return {name for name, table in found["tables"].items() if table["status"] == "written"}


@pytest.mark.faults
@pytest.mark.row("000-16")
def test_options_of_the_commands_have_their_effect(project: Path) -> None:
    (project / "more.csv").write_text(STRANGE.replace("000.00", ".00"))
    lake = ("--warehouse", "elsewhere")
    first = run(project, "incremental", *lake, "--source", "orders=more.csv", "--as-of", AS_OF, "--workers", "1")
    assert (first["as_of"], first["steps"]["orders"]["rows"]) == (AS_OF, 3)
    assert not (project / "lake").exists()
    (project / "more.csv").write_text(STRANGE.replace("000.00", "0.00"))
    run(project, "bronze", *lake, "--source", "orders=more.csv")
    silver = run(project, "silver", *lake, "--select", "gold_revenue", "--month", "2024-12")
    assert {name for name, table in silver["tables"].items() if table["attempts"]} == {"silver_order", "gold_revenue"}
    report = "select ordered_on, amount from gold.revenue order by 1"
    rows = document(call("sql", report, "--json", *lake, cwd=project))
    assert [row["amount"] for row in rows] == [54, 60]
    gold = run(project, "gold", *lake, "--date", "2024-11-03")
    assert gold["tables"]["gold_revenue"]["reason"] == "--date 2024-11-03: ordered_on 2024-11-03"
    assert [row["amount"] for row in document(call("sql", report, "--json", *lake, cwd=project))] == [90, 60]
    assert run(project, "gold", *lake, "--full")["tables"]["gold_revenue"]["attempts"] == 1
    backfilled = run(project, "backfill", *lake, "--layer", "gold", "--as-of", AS_OF)
    assert {name for name, table in backfilled["tables"].items() if table["attempts"]} == {"gold_revenue"}
    shutil.copy(project / "more.csv", project / "data/more.csv")
    shutil.copy(project / "more.csv", project / "data/again.csv")
    told(call("incremental", "orders", cwd=project), 2, "--allow-duplicates")
    assert run(project, "incremental", "--allow-duplicates")["tables"]["bronze_order"]["rows"] == 9
    (project / "data/a.csv").write_text(ROWS.splitlines()[0] + "\n")
    told(call("bronze", "orders", cwd=project), 2, "--allow-empty")
    assert run(project, "bronze", "--allow-empty")["tables"]["bronze_order"]["rows"] == 6


@pytest.mark.parametrize("command", ["run", "backfill"])
def test_a_month_and_a_day_together_or_a_month_that_is_none_are_refused(shop: Path, command: str) -> None:
    both = ("--month", "2024-11", "--date", "2024-11-01")
    told(call(command, "orders", *both, cwd=shop), 2, "Give --month or --date, not both.")
    if command == "run":
        told(call(command, "orders", "--month", "2024-13", cwd=shop), 2, "'2024-13' is no month; write it as 2024-12.")


@pytest.mark.row("000-26")
def test_an_old_name_in_the_settings_delegates_to_the_new_pipeline(project: Path) -> None:
    (project / "assay.toml").write_text(f'{SETTINGS}old_orders = "shop_orders:orders"\n')
    found = document(call("run", "old_orders", "--json", cwd=project))
    assert (found["pipeline"], found["state"]) == ("orders", "published")
    again = run(project, "run")
    assert (again["state"], again["run"]) == ("unchanged", None)


def test_a_failed_run_says_how_to_go_on_and_going_on_computes_only_what_failed(project: Path) -> None:
    told(call("resume", "broken", cwd=project), 2, "broken has made no run here yet; there is nothing to resume.")
    end = call("run", "broken", "--as-of", AS_OF, "--warehouse", "my lake", cwd=project, retries="0")
    assert end.returncode == 1
    assert "resume broken --warehouse 'my lake'" in end.stderr
    (project / "shop_orders.py").write_text(MONTHS.replace("cast(note as bigint)", "length(note)"))
    shutil.rmtree(project / "data")
    before = dict(rows_of(project / "my lake", "select node, body ->> 'started_at' from assay_node_run"))
    words = ("resume", "broken", "--warehouse", "my lake", "--workers", "1", "--json")
    found = document(call(*words, cwd=project))
    assert (found["state"], found["run"], found["as_of"]) == ("published", 1, AS_OF)
    after = {name: node["started_at"] for name, node in (found["tables"] | found["steps"]).items()}
    assert {name for name in after if after[name] != before[name]} == {"gold_broken"}
    told(call(*words, cwd=project), 2, "Run 1, the newest of broken, is published; there is nothing to resume.")


def test_a_run_that_was_killed_is_resumed_and_one_at_work_is_not(project: Path) -> None:
    # Enough rows that the tables take a while.
    lines = [f"{n},n{n},2024-11-{n % 28 + 1:02},1.00,2024-11-01 08:00:00" for n in range(200_000)]
    (project / "data/a.csv").write_text("\n".join((ROWS.splitlines()[0], *lines, "")))
    lake = project / "lake"
    with started("run", "orders", "--as-of", AS_OF, cwd=project) as process:
        assert stop_at(has_staged(1), lake, process), "the run ended before"
        process.wait()
    staged = dict(rows_of(lake, "select node, body ->> 'started_at' from assay_node_run"))
    found = run(project, "resume")
    after = {name: node["started_at"] for name, node in (found["tables"] | found["steps"]).items()}
    assert (found["state"], found["run"]) == ("published", 1)
    assert {name: after[name] for name in staged} == staged
    assert rows_of(lake, "select id, state from assay_run") == [(1, "published")]
    assert sum(revenue(project).values()) == 200_000
