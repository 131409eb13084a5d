"""What a run tells while it is under way: progress on a terminal, lines in a pipe, a log for machines, errors."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.processes import ASSAY, call, call_on_terminal, environment, finished, has_staged, started, until
from tests.conformance.project import document, make, told

SECRET = """
@table()
def gold_secret(silver_order):
    return assay.sql("select cast(error('no way to postgresql://me:password@db') as int) as x from s", s=silver_order)
@table()
def gold_after(gold_secret):
    return gold_secret
@table()
def gold_endless(silver_order):
    return assay.sql("select sum(hash(r.range)) as n from s, range(1000000000000) as r", s=silver_order)
secret = Pipeline("secret", tables=[*good, gold_secret, gold_after], sources=sources)
endless = Pipeline("endless", tables=[*good, gold_endless], sources=sources)
"""
WRONG = """
@table()
def gold_wrong(silver_order):
    return silver_order.select(amuont=col("amuont"))
wrong = Pipeline("wrong", tables=[*good, gold_wrong], sources=sources)
"""
COLOUR = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-7]|38|9[0-7])[\d;]*m")
SUM = re.compile(r"  (\d+) tables? +([\d,]+)")
WROTE = re.compile(r"(\w+?)_\w+: wrote ([\d,]+) rows? in \d+\.\d\d s")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own, nothing run yet."""
    return make(tmp_path / "project")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A terminal of a known kind; tests say what else it is told."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return monkeypatch


def logged(text: str) -> list[dict[str, Any]]:
    """The lines of a log, each of which must be a JSON object."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(isinstance(line, dict) for line in found)
    return found


@pytest.mark.row("000-33")
def test_in_a_pipe_each_table_is_a_line_and_the_totals_are_the_sums_of_the_lines(project: Path) -> None:
    end = call("run", "orders", cwd=project)
    assert end.returncode == 0
    assert re.sub(r"\d+\.\d\d s", "0.00 s", end.stderr).splitlines() == [
        "orders: read 3 rows in 0.00 s",
        "=== bronze ===",
        "bronze_order: wrote 3 rows in 0.00 s",
        "=== silver ===",
        "silver_order: wrote 3 rows in 0.00 s",
        "=== gold ===",
        "gold_revenue: wrote 2 rows in 0.00 s",
    ]
    wrote = [int(rows) for _, rows in WROTE.findall(end.stderr)]
    assert [int(rows) for _, rows in SUM.findall(end.stdout)] == wrote
    assert f"\npublished 3 tables with {sum(wrote)} rows in " in end.stdout


@pytest.mark.row("000-33")
def test_what_failed_and_what_it_blocks_are_lines_and_the_last_line_names_the_table(project: Path) -> None:
    with (project / "shop_orders.py").open("a") as module:
        module.write(SECRET)
    end = call("run", "shop_orders:secret", cwd=project, retries="1")
    assert end.returncode == 1
    failed, blocked = (line for line in end.stderr.splitlines() if line.startswith(("gold_secret", "gold_after")))
    assert failed.startswith("gold_secret: failed: InvalidInputException: ")
    assert failed.endswith("no way to postgresql://me:***@db")
    assert blocked == "gold_after: blocked: gold_secret failed"
    assert re.fullmatch(r"failed because of gold_secret: nothing was published \(.* s\)", end.stdout.splitlines()[-1])


def test_a_second_run_says_nothing_on_the_way_and_a_log_can_be_had_beside_a_document(project: Path) -> None:
    document(call("run", "orders", "--json", cwd=project))
    again = call("run", "orders", cwd=project)
    assert (again.returncode, again.stderr) == (0, "")
    full = call("run", "orders", "--full", "--json", "--log", "lines", cwd=project)
    assert json.loads(full.stdout)["state"] == "unchanged"
    assert full.stderr.splitlines()[-2:] == ["=== gold ===", "gold_revenue: unchanged"]


def test_a_run_goes_on_though_nobody_reads_what_it_tells(project: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with started("run", "orders", cwd=project, stderr=writing) as process:
        os.close(writing)
        out = process.communicate()[0]
    assert (process.returncode, "published 3 tables" in out) == (0, True)


def test_the_log_has_a_json_object_for_each_event_with_the_numbers_of_the_result(project: Path) -> None:
    end = call("run", "orders", "--log", "json", "--json", cwd=project)
    result, events = json.loads(end.stdout), logged(end.stderr)
    assert [(line["event"], line.get("node")) for line in events] == [
        ("run_started", None),
        *((event, name) for name in ("orders", *result["tables"]) for event in ("node_started", "node_ended")),
        ("run_ended", None),
    ]
    assert {(line["pipeline"], line["run"]) for line in events} == {("orders", 1)}
    times = [dt.datetime.fromisoformat(line["time"]) for line in events]
    assert times == sorted(times)
    assert {time.utcoffset() for time in times} == {dt.timedelta(0)}
    ended = {line["node"]: line for line in events if line["event"] == "node_ended"}
    for name, table in result["tables"].items():
        for part in (
            "status",
            "rows",
            "read",
            "filtered",
            "rejected",
            "deduplicated",
            "written",
            "seconds",
            "attempts",
        ):
            assert ended[name][part] == table[part]
        assert (ended[name]["kind"], ended[name]["error"]) == ("table", None)
    assert (events[-1]["state"], events[-1]["seconds"], events[-1]["problems"]) == ("published", result["seconds"], [])


def test_the_log_tells_of_a_run_with_nothing_to_do_and_of_errors(project: Path) -> None:
    document(call("run", "orders", "--json", cwd=project))
    first, last = logged(call("run", "orders", cwd=project, log="json").stderr)
    assert (first["event"], first["run"], first["nodes"]) == ("run_started", None, 4)
    assert (last["event"], last["run"], last["state"]) == ("run_ended", None, "unchanged")
    for arguments, words in (
        (("run", "order", "--log", "json"), "Did you mean 'orders'?"),
        (("--log", "json", "run", "orders", "--workers", "0"), "0 is not in the range"),
    ):
        end = call(*arguments, cwd=project)
        (line,) = logged(end.stderr)
        assert (end.returncode, end.stdout, line["event"], line["exit_code"]) == (2, "", "error", 2)
        assert words in line["error"]


def test_a_run_that_an_input_ends_is_ended_in_the_log_too(project: Path) -> None:
    (project / "data/b.csv").write_text("id,note\n1,x\n")
    end = call("run", "orders", "--log", "json", cwd=project)
    *_, last = logged(end.stderr)
    assert (end.returncode, last["event"], last["exit_code"]) == (2, "error", 2)
    assert "b.csv" in last["error"]


def test_the_option_comes_before_the_variable_and_that_before_the_file(project: Path) -> None:
    with (project / "assay.toml").open("r+") as settings:
        settings.write('log = "none"\n' + (project / "assay.toml").read_text())
    assert call("run", "orders", cwd=project).stderr == ""
    assert call("run", "orders", "--full", cwd=project, log="lines").stderr.startswith("orders: ")
    assert call("run", "orders", "--full", "--log", "json", cwd=project, log="lines").stderr.startswith("{")
    told(call("run", "orders", cwd=project, log="loud"), 2, "ASSAY_LOG is 'loud'", "'lines', 'json' or 'none'")


@pytest.mark.parametrize(("variable", "coloured"), [("", True), ("NO_COLOR", False)])
def test_progress_on_a_terminal_has_colours_unless_it_should_have_none(
    project: Path, terminal: pytest.MonkeyPatch, variable: str, coloured: bool
) -> None:
    if variable:
        terminal.setenv(variable, "1")
    end = call_on_terminal("run", "orders", cwd=project)
    assert (end.returncode, "\x1b[?25l" in end.stderr, "bronze_order: wrote" in end.stderr) == (0, True, False)
    assert bool(COLOUR.search(end.stderr)) is coloured
    assert "\x1b" not in end.stdout


def test_a_terminal_that_moves_no_cursor_gets_lines(project: Path, terminal: pytest.MonkeyPatch) -> None:
    terminal.setenv("TERM", "dumb")
    end = call_on_terminal("run", "orders", cwd=project)
    assert (end.returncode, "\x1b" in end.stderr) == (0, False)
    assert "=== gold ===\r\ngold_revenue: wrote 2 rows in " in end.stderr


def test_lines_can_be_had_on_a_terminal_and_nothing_too(project: Path, terminal: pytest.MonkeyPatch) -> None:
    assert "gold_revenue: wrote 2 rows" in call_on_terminal("run", "orders", "--log", "lines", cwd=project).stderr
    assert call_on_terminal("run", "orders", "--full", "--log", "none", cwd=project).stderr == ""


@pytest.mark.parametrize("place", ["before the command", "after it"])
def test_debug_shows_where_a_table_failed(project: Path, place: str) -> None:
    before, after = (("--debug",), ()) if place == "before the command" else ((), ("--debug",))
    end = call(*before, "run", "broken", *after, "--json", cwd=project, retries="0")
    assert (end.returncode, json.loads(end.stdout)["state"]) == (1, "failed")
    assert end.stderr.startswith("gold_broken: Traceback (most recent call last):\n")
    assert "ConversionException" in end.stderr
    assert "Traceback" not in call("run", "broken", cwd=project, retries="0").stderr


def test_debug_shows_where_a_function_fails_on_its_columns(project: Path) -> None:
    with (project / "shop_orders.py").open("a") as module:
        module.write(WRONG)
    told(call("run", "shop_orders:wrong", cwd=project), 2, "The table gold_wrong fails on the columns of its inputs")
    end = call("run", "shop_orders:wrong", "--debug", cwd=project)
    assert end.returncode == 2
    assert re.search(r'File ".*shop_orders.py", line \d+, in gold_wrong', end.stderr)
    assert "assay: The table gold_wrong fails on" in end.stderr.partition("assay.model.errors")[2]


def test_a_module_that_fails_is_told_by_its_line_and_with_debug_by_its_traceback(project: Path) -> None:
    (project / "bad.py").write_text("def f():\n    return {}['x']\nf()\n")
    end = call("run", "bad:orders", cwd=project)
    assert (end.returncode, end.stdout) == (2, "")
    assert end.stderr == "assay: bad.py:2: KeyError: 'x'\n"
    end = call("run", "bad:orders", "--debug", cwd=project)
    assert end.returncode == 2
    assert end.stderr.startswith("Traceback (most recent call last):\n")
    assert re.search(r'bad.py", line 2, in f\n', end.stderr)
    assert end.stderr.endswith("\nassay: bad.py:2: KeyError: 'x'\n")
    (line,) = logged(call("run", "bad:orders", "--log", "json", "--debug", cwd=project).stderr)
    assert (line["error"], line["exit_code"]) == ("bad.py:2: KeyError: 'x'", 2)
    assert "\nKeyError: 'x'\n" in line["traceback"]


def test_an_interrupt_ends_what_is_computed_at_once_and_does_not_try_it_again(project: Path) -> None:
    with (project / "shop_orders.py").open("a") as module:
        module.write(SECRET)
    with started("run", "shop_orders:endless", "--log", "json", cwd=project) as process:
        assert until(has_staged(4), project / "lake", process)
        time.sleep(1)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        end = finished(process)
    assert (end.returncode, end.stdout) == (130, "")
    assert time.monotonic() - began < 10
    *_, ended, error = logged(re.sub(r"^\n", "", end.stderr, flags=re.MULTILINE))
    assert (ended["event"], ended["state"], ended["problems"]) == ("run_ended", "failed", ["it was interrupted"])
    assert (error["error"], error["exit_code"]) == ("interrupted; nothing was published.", 130)


@pytest.mark.row("000-36")
def test_the_record_of_a_run_has_its_peak_memory(project: Path) -> None:
    peak = document(call("run", "orders", "--json", cwd=project))["peak_memory_bytes"]
    assert 20_000_000 < peak < 2_000_000_000
    with closing(sqlite3.connect(project / "lake/catalog.db")) as connection:
        ((stored,),) = connection.execute("select result from assay_run").fetchall()
    assert 20_000_000 < json.loads(stored)["peak_memory_bytes"] <= peak
    # What a run needs is its own, however much the process held that started it.
    held = bytearray(600_000_000)
    more = subprocess.run(
        [ASSAY, "run", "orders", "--full", "--json"], cwd=project, env=environment(), capture_output=True, check=True
    )
    assert json.loads(more.stdout)["peak_memory_bytes"] < len(held)
