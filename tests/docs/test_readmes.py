"""What the README files tell people to type works; commands/test_own_pipeline.py is about the pipeline they show."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, call, commands

PIPELINES = ("ride_bookings", "table_fleet", "shop", "retail")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", *(f"pipelines/{n}/README.md" for n in PIPELINES)])
def test_every_target_of_make_that_is_named_is_there(name: str) -> None:
    files = "".join((ROOT / file).read_text() for file in ("Makefile", "deploy/deploy.mk", "deploy/prefect.mk"))
    targets = re.findall(r"^([a-z-]+):.*## ", files, re.M)
    named = re.findall(r"(?:^|\$ |`)make ([a-z-]+)", (ROOT / name).read_text(), re.M)
    assert named
    assert set(named) <= set(targets)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(name: str) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    ("pipeline", "fewer", "told"),
    [
        ("ride_bookings", " --rows 2000", "published 21 tables"),
        pytest.param("retail", " --days 5", "published 13 tables", marks=pytest.mark.row("003-11")),
    ],
)
def test_the_commands_of_a_pipeline_run(tmp_path: Path, pipeline: str, fewer: str, told: str) -> None:
    shutil.copy(ROOT / "assay.toml", tmp_path)
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    page = blocks((ROOT / "pipelines" / pipeline / "README.md").read_text())
    every = [command for block in page if block.language == "console" for command, _ in commands(block.text)]
    printed = []
    for command in every:
        # Fewer rows than a person would take; all else is as it is told.
        code, output = call(f"{command}{fewer if command.startswith('assay sample') else ''}", tmp_path, 0)
        assert code == 0, output
        printed.append(output)
    assert any(told in output for output in printed)
