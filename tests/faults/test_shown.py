"""Formulas, markup and commands to terminals in data, names and errors: harmless where shown, exact in JSON."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.conformance.processes import call_on_terminal
from tests.faults.disk import Disk

NASTY = [
    *(
        "\x1b[2J\x1b[31mred",
        "\x1b]0;title\x07",
        "bell\x07",
        "good\rbad",
        "two\nlines",
        "a\ttab",
        "\x9b31mc1",
        "\x85next",
    ),
    *("\u202egpj.exe", "\u2066iso\u2069", "\u200fright", "\u2028line", "\x08\x08back", "\x7fdelete", "a\x0bv", "\x85x"),
    *(
        "=cmd()",
        "+1+1",
        "@sum(1)",
        "-2+3",
        "[bold red]markup[/]",
        "<b>html</b>",
        "'quoted\"",
        "é 日本 😀",
        "\u200bnothing",
    ),
]
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
BAD = "\x1b[2Jbad\u202e"
COUNT = """
@table()
def gold_error(silver_order):
    return assay.sql("select cast(note as int) as number from s where note like '%2J%'", s=silver_order)
errors = Pipeline("orders", tables=[*good, gold_error], sources=sources)
"""
RAISE = """
raise ValueError("\\x1b[2J\\x07\\u202e[red]")
"""


def deliver(folder: Path, name: str = "a.csv") -> None:
    (folder / "data/a.csv").unlink()
    with (folder / "data" / name).open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        rows.writerow(["id", "note", "ordered_on", "amount", "changed_at"])
        rows.writerows([n, note, "2024-11-01", n, "2024-11-01 08:00:00"] for n, note in enumerate(NASTY))
        rows.writerow([99, BAD, BAD, 1, ""])
        rows.writerow([98, BAD, "2024-11-01", 10_000, ""])


@pytest.fixture
def shown(folder: Path, disk: Disk) -> Path:
    """A project that was run over a file with a nasty name, nasty values, and some in the quarantine."""
    deliver(folder, "f\x1b[2J\u202e[red]\n.csv")
    end = disk.call("run", "orders", cwd=folder, rejected_share="1")
    assert (end.code, OBEYED.findall(end.out + end.err)) == (0, [])
    return folder


def test_nothing_that_is_shown_is_obeyed_and_json_has_every_value_exactly(shown: Path, disk: Disk) -> None:
    commands = [
        ("show", "silver_order", "--limit", "99"),
        ("sql", "select id, note from bronze.order order by id"),
        ("sql", "select name, path from (select name, 1 as path from meta.slice)"),
        ("sql", "select chr(27) || '[2J' as \"\x1b[2J\u202e\""),
        ("sql", "select [note] as notes from bronze.order"),
        ("quarantine", "list"),
        ("profile", "silver_order"),
        ("history",),
        ("plan", "orders"),
        ("plan", "orders", "--full"),
    ]
    for command in commands:
        end = disk.call(*command, cwd=shown)
        assert (end.code, OBEYED.findall(end.out)) == (0, []), command
        exact = disk.call(*command, "--json", cwd=shown)
        assert (exact.code, OBEYED.findall(exact.out)) == (0, []), command
        json.loads(exact.out)
    rows = json.loads(disk.call(*commands[1], "--json", cwd=shown).out)
    assert [row["note"] for row in rows] == [*NASTY, BAD]
    lines = disk.call(*commands[1], cwd=shown).out.splitlines()
    assert len(lines) == len(NASTY) + 2, lines
    assert lines[1].split(None, 1) == ["0", "\\u001b[2J\\u001b[31mred"]
    found = json.loads(disk.call("quarantine", "list", "--json", cwd=shown).out)
    assert {row["source_file"] for row in found} == {"f\x1b[2J\u202e[red]\n.csv"}
    assert sorted(BAD in row["row"] or BAD in json.loads(row["row"])["note"] for row in found) == [True, True]


@pytest.mark.faults
def test_errors_are_told_without_what_a_terminal_would_obey(folder: Path, disk: Disk) -> None:
    deliver(folder)
    with (folder / "shop_orders.py").open("a") as module:
        module.write(COUNT)
    (folder / "raising.py").write_text(RAISE)
    wrong = [
        ("run", "shop_orders:errors"),
        ("run", "raising:orders"),
        ("run", "\x1b[2J\u202e"),
        ("run", "\x1b[2J:\u202e"),
        ("run", "shop_orders:\x1b[2J"),
        ("run", "orders", "--as-of", "\x1b[2J\u202e"),
        ("run", "orders", "--select", "\x1b[2J\u202e"),
        ("run", "orders", "--source", "orders=\x1b[2J\u202e"),
        ("run", "orders", "--source", "\x1b[2J\u202e"),
        ("run", "orders", "--\x1b[2J\u202e"),
        ("\x1b[2J\u202e",),
        ("show", "\x1b[2J\u202e"),
        ("show", "x", "--warehouse", "\x1b[2J\u202e"),
        ("sql", "select \x1b[2J\u202e"),
        ("new", "\x1b[2J\u202e"),
    ]
    for command in wrong:
        for more in ((), ("--debug",), ("--log", "json")):
            if more[:1] == ("--log",) and command[0] != "run":
                continue
            end = disk.call(*command, *more, cwd=folder, rejected_share="1")
            assert end.code in (1, 2), command
            assert (OBEYED.findall(end.out + end.err), end.err + end.out != "") == ([], True), (command, more)


@pytest.mark.faults
def test_a_terminal_gets_no_commands_but_those_of_the_progress_display(shown: Path) -> None:
    end = call_on_terminal("run", "orders", "--full", cwd=shown, log="lines")
    assert set(OBEYED.findall(end.stderr)) <= {"\r"}
    assert "\x1b[2J" not in call_on_terminal("run", "orders", "--full", cwd=shown).stderr
