"""Help: the first thing that a newcomer reads, on a terminal of 80 columns."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from assay.cli import app
from tests.conformance.processes import call


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


def sections(text: str) -> dict[str, list[str]]:
    """The indented lines under each head that stands at the left."""
    found: dict[str, list[str]] = {}
    head = ""
    for line in text.splitlines():
        if re.fullmatch(r"\w[\w ]*:", line):
            head = line[:-1]
            found[head] = []
        elif head and line.strip():
            found[head].append(line)
    return found


def test_assay_alone_is_its_help_and_no_error() -> None:
    alone, asked = call(), call("--help")
    assert (alone.returncode, alone.stderr, alone.stdout) == (0, "", asked.stdout)


def test_every_command_is_one_line_under_what_it_is_for() -> None:
    text = call("--help").stdout
    assert max(map(len, text.splitlines())) <= 80
    found = sections(text)
    assert [*found].index("Begin") == 0
    assert [*found][-1] == "Options"
    lines = [line for head, lines in found.items() if head != "Options" for line in lines]
    assert all(re.fullmatch(r"  [a-z]+ +[A-Z].*\.", line) for line in lines), lines
    assert [line.split()[0] for line in lines] == list(app.assay.commands)


def commands_of(group: click.Group, *above: str) -> Iterator[tuple[str, click.Command]]:
    """Every command by the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, *above, name)
        else:
            yield " ".join((*above, name)), command


COMMANDS = dict(commands_of(app.assay))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_that_it_can_read_and_options_in_groups(command: str) -> None:
    text = call(*command.split(), "--help").stdout
    assert max(map(len, text.splitlines())) <= 80
    found = sections(text)
    examples = found.get("Example") or found["Examples"]
    for line in examples:
        assert line.strip().startswith(f"assay {command}")
        COMMANDS[command].make_context(command, shlex.split(line)[1 + len(command.split()) :])
    assert "Other options" not in found, "an option that is in no group"
    assert "--debug" in text
    watched = {"run", "sync", "resume", "incremental", "backfill", "bronze", "silver", "gold"}
    assert ("--log" in text) is (command in watched)
