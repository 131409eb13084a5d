"""The reference says what the code is: every command, setting, public name and field, and no other."""

from __future__ import annotations

import ast
import re
from dataclasses import MISSING, fields
from itertools import pairwise
from typing import Any

import click
import pytest

from assay.cli.app import assay
from assay.model.run import NodeRun, RunResult
from assay.settings import Settings
from tests.docs.pages import DOCS, ROOT, blocks, commands

REFERENCE = DOCS / "reference"


def first_columns(page: str, heading: str) -> list[str]:
    """The first column of the table under a heading."""
    part = (REFERENCE / page).read_text().split(f"\n{heading}\n", 1)[1]
    return [cell for row in re.findall(r"^\| ([^|]+) \|", part.split("\n## ")[0], re.M) for cell in names_in(row)]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def helps(command: click.Command, name: str) -> list[str]:
    """What shows the help of a command, and of those in it."""
    parts = command.commands.items() if isinstance(command, click.Group) else []
    return [f"{name} --help", *(text for part, inner in parts for text in helps(inner, f"{name} {part}"))]


def test_the_help_of_every_command_is_shown_and_so_run_by_the_test_of_pages(fill_pages: bool) -> None:
    path = REFERENCE / "command-line.md"
    text = path.read_text()
    shown = [command for block in blocks(text) if block.language == "console" for command, _ in commands(block.text)]
    wanted = helps(assay, "assay")
    if fill_pages:
        missing = [command for command in wanted if command not in shown]
        new = [f"### {c.removesuffix(' --help')}\n\n```console\n$ {c}\n```\n\n" for c in missing]
        path.write_text(text.replace("## Exit codes\n", f"{''.join(new)}## Exit codes\n"))
        return
    assert sorted(shown) == sorted(wanted)


def described() -> dict[str, str]:
    """Each setting's own words, from below its declaration."""
    tree = ast.parse((ROOT / "src/assay/settings.py").read_text())
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings")
    found = {}
    for declared, text in pairwise(body):
        if isinstance(declared, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(declared.target)] = str(text.value.value)
    return found


def test_the_settings_table_is_the_settings(fill_pages: bool) -> None:
    words, rows = described(), []
    for setting in fields(Settings):
        if setting.name != "folder":
            default = "none" if setting.default is MISSING else f"`{toml(setting.default)}`"
            variable = "" if setting.name == "pipelines" else f"`ASSAY_{setting.name.upper()}`"
            rows.append(f"| `{setting.name}` | {variable} | {default} | {words[setting.name]} |".replace("  ", " "))
    path = REFERENCE / "settings.md"
    text = path.read_text()
    if fill_pages:
        path.write_text(re.sub(r"(^\| `.*\n)+", lambda _: "\n".join(rows) + "\n", text, count=1, flags=re.M))
        return
    assert re.findall(r"^\| `.*$", text, re.M) == rows


def toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_every_public_name_has_its_place_and_no_other() -> None:
    public = re.findall(r"import (\w+) as \1", (ROOT / "src/assay/__init__.pyi").read_text())
    documented = re.findall(r"^::: assay\.(\w+)$", (REFERENCE / "python.md").read_text(), re.M)
    assert sorted(documented) == sorted(public)


@pytest.mark.parametrize(
    ("record", "heading"), [(RunResult, "## The run"), (NodeRun, "## A table, view or source")], ids=["run", "table"]
)
def test_every_field_of_the_document_is_explained(record: type, heading: str) -> None:
    source = (ROOT / "src/assay/model/run.py").read_text()
    (body,) = (n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == record.__name__)
    method = next(n for n in body.body if isinstance(n, ast.FunctionDef) and n.name == "to_json")
    document = next(n for n in ast.walk(method) if isinstance(n, ast.Dict))
    assert first_columns("result.md", heading) == [ast.literal_eval(key) for key in document.keys if key]
