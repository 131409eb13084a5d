"""The command line: what each command prints, how it ends, and what people are told when something is wrong."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import assay
from benchmarks.golden import TABLES
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.conformance.processes import AS_OF, SECONDS, call, call_on_terminal, content, ride_run, rows_of, started
from tests.conformance.project import MODULE, ROWS, UNREADABLE, WRONG_COMMANDS, WRONG_SETTINGS, document, make, told


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own, nothing run yet."""
    return make(tmp_path / "project")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one published run, only read by tests, and files that cannot be read."""
    folder = make(tmp_path_factory.mktemp("shop") / "project")
    document(call("run", "orders", "--as-of", AS_OF, "--json", cwd=folder))
    (folder / "other/db").mkdir(parents=True)
    for name, bad in UNREADABLE.items():
        (folder / name).write_bytes(bad)
    return folder


@pytest.mark.parametrize(("arguments", "words"), WRONG_COMMANDS, ids=[" ".join(words) for words, _ in WRONG_COMMANDS])
def test_what_is_wrong_is_told_with_the_near_miss_and_exit_code_2(
    shop: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    told(call(*arguments, cwd=shop), 2, *words)
    assert rows_of(shop / "lake", "select distinct version from assay_dataset") == [(1,)]


@pytest.mark.parametrize(("toml", "variables", "words"), WRONG_SETTINGS)
def test_a_bad_setting_is_told_with_its_place(tmp_path: Path, toml: str, variables: dict[str, str], words: str) -> None:
    folder = make(tmp_path / "project")
    if toml:
        (folder / "assay.toml").write_text(toml)
    told(call("run", "orders", cwd=folder, **variables), 2, words)


def test_help_lists_every_command_and_shows_its_examples_a_line_each() -> None:
    end = call("--help")
    assert end.returncode == 0
    for command in ("history", "new", "plan", "run", "sample", "show", "sql"):
        assert re.search(rf"^  {command} +\S", end.stdout, re.MULTILINE)
        assert call(command, "-h").stdout.startswith(f"Usage: assay {command} ")
    assert call("--version").stdout.startswith("assay, version 0.")
    # Where several Pythons have it, the one that is asked.
    asked = [sys.executable, "-m", "assay", "--version"]
    assert subprocess.run(asked, text=True, capture_output=True, check=True).stdout == call("--version").stdout
    assert re.search(r"^ +assay new shop +write .*\n +cd shop\n +assay run shop +compute", end.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (("plan", "orders"), lambda found: found["steps"]["gold_revenue"]["action"] == "skip"),
        (
            ("plan", "orders", "--full"),
            lambda found: found["steps"]["gold_revenue"]["reason"] == "--full was asked for",
        ),
        (("history",), lambda found: (found[-1]["id"], found[-1]["state"]) == (1, "published")),
        (("history", "--limit", "1"), lambda found: len(found) == 1),
        (("show", "silver_order"), lambda found: sorted(row["id"] for row in found) == [1, 2, 3]),
        (("show", "silver_order", "--limit", "2"), lambda found: len(found) == 2),
        (("show", "gold.revenue"), lambda found: sorted(row["amount"] for row in found) == [5, 10.3]),
        (("sql", "select 1 as a where false"), lambda found: found == []),
    ],
)
def test_json_is_one_document_and_nothing_else(
    shop: Path, arguments: tuple[str, ...], value: Callable[[Any], bool]
) -> None:
    assert value(document(call(*arguments, "--json", cwd=shop)))


def test_values_of_sql_are_json_that_loses_nothing(shop: Path) -> None:
    values = {
        "date '2024-11-01'": '"2024-11-01"',
        "timestamp '2024-11-01 08:00:00.5'": '"2024-11-01 08:00:00.500000"',
        "time '08:00'": '"08:00:00"',
        "10.30::decimal(12,2)": "10.30",
        "5.00::decimal(12,2)": "5.00",
        "-0.05::decimal(12,2)": "-0.05",
        "12345678901234567890.12::decimal(38,2)": "12345678901234567890.12",
        "9007199254740993": "9007199254740993",
        "0.1::double": "0.1",
        "true": "true",
        "null": "null",
        "'it''s \"ö\"'": '"it\'s \\"\\u00f6\\""',
        "'\\x00\\xFF'::blob": r'"\\x00ff"',
        "[1.50::decimal(3,2)]": "[\n      1.50\n    ]",
        "[]": "[]",
        "{'d': date '2024-11-01'}": '{\n      "d": "2024-11-01"\n    }',
        "map {date '2024-11-01': 1}": '{\n      "2024-11-01": 1\n    }',
        "map {1: null}": '{\n      "1": null\n    }',
    }
    query = "select " + ", ".join(f"{value} as c{n}" for n, value in enumerate(values))
    end = call("sql", query, "--json", cwd=shop)
    assert len(document(end)[0]) == len(values)
    members = ",\n".join(f'    "c{n}": {text}' for n, text in enumerate(values.values()))
    assert end.stdout == f"[\n  {{\n{members}\n  }}\n]\n"


def test_columns_of_one_name_are_refused_in_json_and_shown_to_people(shop: Path) -> None:
    query = "select 1 as a, 2 as b, 3 as a"
    told(call("sql", query, "--json", cwd=shop), 2, "2 columns are called 'a'", '`"a" as "a_2"`')
    assert call("sql", query, cwd=shop).stdout == "a  b  a\n1  2  3\n"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select 1; select 2", "These are 2 statements; write one."),
        ("create table x as select 1", "CREATE is refused: a query here reads"),
        ("create table x as pivot gold.revenue on ordered_on using sum(amount)", "is refused: a query here reads"),
        ("explain analyze insert into meta.run from meta.run", "INSERT is refused: a query here reads"),
        ("copy meta.run from 'data/a.csv'", ""),
        (" -- nothing", "The query is empty."),
    ],
)
def test_a_query_that_does_more_than_read_is_refused(shop: Path, query: str, words: str) -> None:
    told(call("sql", query, cwd=shop), 2, words)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("describe gold.revenue", "amount"),
        ("explain select * from gold.revenue", "physical_plan"),
        ("pivot gold.revenue on ordered_on using sum(amount)", "2024-11-01  2024-11-02\n10.30       5.00\n"),
        ("select id, note from read_csv('data/a.csv') where id = 3", "id  note\n3   it's\n"),
    ],
)
def test_a_query_may_be_all_that_reads(shop: Path, query: str, shown: str) -> None:
    end = call("sql", query, cwd=shop)
    assert (end.returncode, end.stderr) == (0, "")
    assert shown in end.stdout


def test_what_a_query_finds_is_copied_to_a_file(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "revenue.csv"
    assert call("sql", f"copy (from gold.revenue order by all) to '{file}'", cwd=shop).stdout == "Count\n2\n"
    assert file.read_text() == "ordered_on,amount\n2024-11-01,10.30\n2024-11-02,5.00\n"


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_long_result_is_printed_as_it_comes_and_ends_with_its_reader(shop: Path, more: tuple[str, ...]) -> None:
    endless = "select i, 'name' as name from range(1000000000000) r(i)"
    with started("sql", endless, *more, cwd=shop) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == ("[\n" if more else "i     name\n")
        process.stdout.close()
        assert (process.wait(SECONDS), process.stderr.read() if process.stderr else "") == (1, "")


def test_a_long_result_is_told_in_full(shop: Path) -> None:
    query = "select i, 'n' || i as name from range(5000) r(i)"
    rows = [{"i": n, "name": f"n{n}"} for n in range(5000)]
    end = call("sql", query, "--json", cwd=shop)
    assert document(end) == rows
    assert end.stdout == f"{json.dumps(rows, indent=2)}\n"
    lines = [line.split() for line in call("sql", query, cwd=shop).stdout.splitlines()]
    assert lines == [["i", "name"], *([str(n), f"n{n}"] for n in range(5000))]


def test_a_number_that_json_has_no_word_for_does_not_break_the_document(shop: Path) -> None:
    (row,) = document(call("sql", "select 'nan'::double as a, '-inf'::double as b, 1 as c", "--json", cwd=shop))
    assert (set(row), row["c"]) == ({"a", "b", "c"}, 1)


def test_values_for_people_stand_in_columns(shop: Path) -> None:
    end = call("sql", "select * from gold.revenue order by all", cwd=shop)
    assert end.stdout == "ordered_on  amount\n2024-11-01  10.30\n2024-11-02  5.00\n"


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_run_on_a_terminal_shows_its_progress_there_and_prints_the_same(project: Path, more: tuple[str, ...]) -> None:
    end = call_on_terminal("run", "orders", *more, cwd=project)
    assert (end.returncode, "Traceback" in end.stderr, "\x1b" in end.stdout) == (0, False, False)
    assert bool(end.stderr) is not bool(more)
    assert document(call("show", "gold_revenue", "--json", cwd=project)) != []


def test_a_plan_changes_nothing_not_even_by_making_a_lake(project: Path) -> None:
    before = sorted(project.rglob("*"))
    assert call("plan", "orders", cwd=project).stdout.splitlines()[0] == "run  orders        new delivery a.csv"
    assert [path for path in sorted(project.rglob("*")) if "__pycache__" not in path.parts] == before


@pytest.mark.parametrize("name", ['it\'s "my" ö 日本', "q?x=1&y#z%20", "[a]*{b,c}\\;--"])
def test_a_warehouse_may_have_any_name_and_what_is_suggested_works(project: Path, name: str) -> None:
    end = call("run", "orders", "--warehouse", name, cwd=project)
    assert end.returncode == 0, end.stderr
    assert sorted(path.name for path in project.iterdir() if path.name != "__pycache__") == sorted(
        ["assay.toml", "data", "shop_orders.py", name]
    )
    suggested = [shlex.split(line)[1:] for line in end.stdout.partition("What to try next:\n")[2].splitlines()]
    assert [words[0] for words in suggested] == ["show", "sql", "history"]
    assert [call(*words, cwd=project).returncode for words in suggested] == [0, 0, 0]
    assert len(document(call("show", "gold_revenue", "--json", "--warehouse", name, cwd=project))) == 2


def test_what_is_suggested_after_a_part_of_the_pipeline_works(project: Path) -> None:
    end = call("run", "orders", "--layer", "bronze", cwd=project)
    suggested = [shlex.split(line)[1:] for line in end.stdout.partition("What to try next:\n")[2].splitlines()]
    assert [(words[0], call(*words, cwd=project).returncode) for words in suggested] == [
        ("show", 0),
        ("sql", 0),
        ("history", 0),
    ]


def test_options_come_before_variables_and_these_before_the_file_which_is_found_from_below(project: Path) -> None:
    deep = project / "a/b"
    deep.mkdir(parents=True)
    for arguments, variables in (
        ((), {}),
        ((), {"warehouse": "by_variable"}),
        (("--warehouse", "here"), {"warehouse": "x"}),
    ):
        assert call("run", "orders", *arguments, cwd=deep, **variables).returncode == 0
    places = [path.parent.relative_to(project).as_posix() for path in project.rglob("catalog.db")]
    assert sorted(places) == ["a/b/here", "by_variable", "lake"]


def test_each_option_of_a_run_has_its_effect(project: Path) -> None:
    def run(*options: str) -> dict[str, Any]:
        return document(call("run", "orders", "--json", *options, cwd=project))

    def stamps() -> list[Any]:
        return document(call("sql", "select distinct created_at from silver.order", "--json", cwd=project))

    first = run("--as-of", "2024-12-01")
    assert (first["as_of"], first["state"]) == ("2024-12-01", "published")
    assert stamps() == [{"created_at": "2024-12-01 00:00:00"}]
    assert (run("--as-of", "2024-12-02")["run"], run("--as-of", "2024-12-02")["state"]) == (None, "unchanged")
    full = run("--full", "--as-of", "2024-12-03")
    assert {table["attempts"] for table in full["tables"].values()} == {1}
    assert stamps() == [{"created_at": "2024-12-01 00:00:00"}]
    (project / "more.csv").write_text(ROWS.replace("\n1,", "\n7,").replace("10.10", "20.20"))
    assert run("--source", "orders=more.csv")["steps"]["orders"]["rows"] == 6
    (project / "data/copy.csv").write_text(ROWS)
    told(call("run", "orders", cwd=project), 2, "already has this content as 'a.csv'", "--allow-duplicates")
    allowed = run("--allow-duplicates")["tables"]
    assert (allowed["bronze_order"]["rows"], allowed["silver_order"]["deduplicated"]) == (9, 5)


def test_a_duplicate_that_was_allowed_once_does_not_stop_a_full_run(project: Path) -> None:
    (project / "data/copy.csv").write_text(ROWS)
    assert call("run", "orders", "--allow-duplicates", cwd=project).returncode == 0
    assert call("run", "orders", cwd=project).returncode == 0
    assert document(call("run", "orders", "--full", "--json", cwd=project))["tables"]["bronze_order"]["rows"] == 6


def test_workers_say_how_many_tables_are_computed_side_by_side(tmp_path: Path) -> None:
    file = generate(tmp_path, rows=500)["bookings"]
    for workers in (1, 2):
        found = document(call(*ride_run(file, tmp_path / f"lake{workers}", "--json", "--workers", str(workers))))
        spans = sorted((node["started_at"], node["ended_at"]) for node in found["tables"].values())
        side_by_side = [(one, other) for one, other in pairwise(spans) if other[0] < one[1]]
        assert bool(side_by_side) is (workers == 2)


@pytest.mark.row("000-12", "000-13", "000-21")
@pytest.mark.parametrize("from_python", [False, True], ids=["command line", "Python"])
def test_the_layers_of_the_ride_pipeline_run_one_by_one(tmp_path: Path, from_python: bool) -> None:
    file, lake = generate(tmp_path, rows=500)["bookings"], tmp_path / "lake"

    def run(*layers: str) -> dict[str, Any]:
        if from_python:
            given = {"sources": {"bookings": file}, "as_of": date.fromisoformat(AS_OF), "layers": layers}
            return assay.run(ride_bookings, warehouse=lake, **given).to_json()
        return document(call(*ride_run(file, lake, "--json", *(word for name in layers for word in ("--layer", name)))))

    published: list[str] = []
    for layers in (["bronze"], ["silver", "gold"]):
        tables = run(*layers)["tables"]
        mine = [name for name in TABLES if name.partition("_")[0] in layers]
        published += mine
        assert {name for name in TABLES if tables[name]["status"] == "written"} == set(mine)
        with assay.connect(lake) as connection:
            stored = {name: len(rows) for name, rows in content(connection).items()}
        assert stored == {name: tables[name]["rows"] for name in published}
    assert run("bronze", "silver", "gold")["state"] == "unchanged"


@pytest.mark.row("000-27")
def test_one_table_is_computed_again_and_all_others_stay_untouched(project: Path) -> None:
    document(call("run", "orders", "--json", cwd=project))
    (project / "shop_orders.py").write_text(MODULE.replace("LIMIT = 1000", "LIMIT = 9"))
    pointers = "select name, version from assay_dataset order by name"
    # What a table rejects is published with it.
    silver = {"silver.order", "rejects:silver.order"}
    for select, moved in (("silver_order", silver), ("silver_order+", {"gold.revenue"})):
        before = dict(rows_of(project / "lake", pointers))
        found = document(call("run", "orders", "--select", select, "--json", cwd=project, rejected_share="1"))
        chosen = {"silver_order", "gold_revenue"} if select.endswith("+") else {"silver_order"}
        assert {name for name, table in found["tables"].items() if table["attempts"]} == chosen
        assert {table["reason"] for name, table in found["tables"].items() if name not in chosen} == {"not selected"}
        after = dict(rows_of(project / "lake", pointers))
        assert {name for name in after if after[name] != before.get(name)} == moved
    amounts = document(call("sql", "select amount from gold.revenue order by 1", "--json", cwd=project))
    assert amounts == [{"amount": 0.2}, {"amount": 5}]


@pytest.mark.row("000-21", "000-33")
def test_the_totals_that_are_printed_are_the_sums_of_the_rows(tmp_path: Path) -> None:
    file, lake = generate(tmp_path, rows=500)["bookings"], tmp_path / "lake"
    lines = call(*ride_run(file, lake)).stdout.splitlines()
    with assay.connect(lake) as connection:
        stored = {name: len(rows) for name, rows in content(connection).items()}
    layer, printed, totals = "", {}, {}
    for line in lines:
        layer = match[1] if (match := re.match(r"(\w+) +rows  filtered", line)) else layer
        if match := re.fullmatch(r"  (\d+) tables +([\d,]+)", line):
            totals[layer] = (int(match[1]), int(match[2].replace(",", "")))
        elif layer in ("bronze", "silver", "gold") and (match := re.match(r"  (\w+) +([\d,]+)  ", line)):
            printed[f"{layer}_{match[1]}"] = int(match[2].replace(",", ""))
    by_layer = {name: [n for table, n in stored.items() if table.startswith(name)] for name in totals}
    assert totals == {name: (len(by_layer[name]), sum(by_layer[name])) for name in ("bronze", "silver", "gold")}
    assert printed == stored
    assert f"published 21 tables with {sum(stored.values()):,} rows in " in "\n".join(lines)


@pytest.mark.row("000-33")
@pytest.mark.parametrize(("pipeline", "table"), [("broken", "gold_broken"), ("blocked", "gold_small")])
def test_a_run_that_fails_exits_with_1_and_names_the_table_in_its_last_line(
    project: Path, pipeline: str, table: str
) -> None:
    end = call("run", pipeline, cwd=project)
    assert (end.returncode, "Traceback" in end.stderr) == (1, False)
    assert table in end.stdout.splitlines()[-1]
    found = document(call("run", pipeline, "--json", cwd=project), 1)
    assert (found["state"], table in found["problems"][0]) == ("failed", True)
    (newest, _) = document(call("history", "--json", cwd=project))
    assert (newest["state"], newest["problems"], newest["tables"]) == ("failed", found["problems"], [])


def test_samples_with_equal_seeds_are_equal(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        end = call("sample", "ride_bookings", str(tmp_path / folder), "--rows", "9", "--seed", str(seed))
        assert end.stdout == f"bookings: {tmp_path / folder / 'bookings.csv.gz'}\n"
    a, b, c = ((tmp_path / folder / "bookings.csv.gz").read_bytes() for folder in "abc")
    assert a == b != c
    assert len(gzip.decompress(a).splitlines()) == 10


def test_a_long_history_does_not_slow_a_question_down(project: Path) -> None:
    document(call("run", "orders", "--json", cwd=project))
    with closing(sqlite3.connect(project / "lake/catalog.db")) as connection, connection:
        lines = [(1, f"node {n}", "read", "x", n) for n in range(30_000)]
        connection.executemany("insert into assay_ledger values (?, ?, ?, ?, ?)", lines)
    began = time.monotonic()
    assert document(call("sql", "select count(*) > 30000 as all from meta.ledger", "--json", cwd=project))[0]["all"]
    assert time.monotonic() - began < 5
