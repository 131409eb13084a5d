"""What the README files tell people to type works; the README's own pipeline has tests/test_own_pipeline.py."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, call, commands


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "pipelines/ride_bookings/README.md"])
def test_every_target_of_make_that_is_named_is_there(name: str) -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    named = re.findall(r"(?:^|\$ |`)make ([a-z-]+)", (ROOT / name).read_text(), re.M)
    assert named
    assert set(named) <= set(targets)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(name: str) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_commands_of_the_ride_pipeline_run(tmp_path: Path) -> None:
    shutil.copy(ROOT / "assay.toml", tmp_path)
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    page = blocks((ROOT / "pipelines/ride_bookings/README.md").read_text())
    (told,) = [block.text for block in page if block.language == "console"]
    for command, _ in commands(told):
        # Fewer rows than a person would take; all else is as it is told.
        fewer = f"{command} --rows 2000" if command.startswith("assay sample") else command
        code, printed = call(fewer, tmp_path, 0)
        assert code == 0, printed
    assert "published 21 tables" in printed
