"""The workflow lints, tests, builds and tries all together; every step can fail, none has rights it does not use."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import BIN, ROOT, read_yaml

WORKFLOW = ROOT / ".github/workflows/ci.yml"
ORDER = ["lint", "test", "build", "integration"]
_SWALLOWS = re.compile(r"\|\|\s*(true|:|echo|exit 0)|set \+e|;\s*true\b|&>\s*/dev/null\s*$|\|\s*cat\b")


def faults(document: dict[str, Any]) -> Iterator[str]:
    """Yield what would let a failure pass, or gives more rights than are needed."""
    if document.get("permissions") != {}:
        yield "all jobs have rights"
    for before, after in pairwise(ORDER):
        if document["jobs"][after].get("needs") != before:
            yield f"{after} does not wait for {before}"
    for name, job in document["jobs"].items():
        if job.get("permissions") != {"contents": "read"}:
            yield f"{name} has rights"
        if not job.get("timeout-minutes"):
            yield f"{name} may run for ever"
        for step in [job, *job["steps"]]:
            told = step.get("run") or step.get("uses") or name
            if "continue-on-error" in step or "if" in step:
                yield f"{told} may be passed over"
            if _SWALLOWS.search(step.get("run", "")):
                yield f"{told} cannot fail"
            if "uses" in step and not re.search(r"@(v\d+(\.\d+)*|[0-9a-f]{40})$", step["uses"]):
                yield f"{told} is not pinned"


@pytest.mark.row("002-15")
def test_every_step_can_fail_and_has_no_right_but_to_read() -> None:
    document = read_yaml(WORKFLOW)
    assert list(document["jobs"]) == ORDER
    assert list(faults(document)) == []
    commands = " ".join(step.get("run", "") for job in document["jobs"].values() for step in job["steps"])
    assert re.findall(r"make ([\w-]+)", commands) == [
        *("setup", "lint", "docs", "setup", "test", "test-commands", "test-database", "test-pipelines", "test-docs"),
        *("test-pandas", "test-dbt", "test-prefect", "test-airflow", "test-browser", "test-faults", "test-mutations"),
        *("rows", "demo"),
        *("build", "smoke"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("run: make test\n", "run: make test || true\n", "make test || true cannot fail"),
        ("run: make test\n", "run: make test || echo failed\n", "make test || echo failed cannot fail"),
        ("run: make smoke\n", "run: make smoke\n        continue-on-error: true\n", "make smoke may be passed over"),
        ("run: make smoke\n", "run: make smoke\n        if: always()\n", "make smoke may be passed over"),
        ("    needs: test\n", "", "build does not wait for test"),
        ("permissions: {}\n", "permissions: write-all\n", "all jobs have rights"),
        ("      contents: read\n", "      contents: write\n", "lint has rights"),
        ("    timeout-minutes: 20\n", "", "lint may run for ever"),
        ("actions/checkout@v6", "actions/checkout@main", "actions/checkout@main is not pinned"),
    ],
)
def test_a_fault_of_a_workflow_is_found(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = WORKFLOW.read_text()
    assert old in text
    wrong = tmp_path / "ci.yml"
    wrong.write_text(text.replace(old, new, 1))
    assert told in list(faults(read_yaml(wrong)))


@pytest.mark.row("002-15")
def test_the_workflow_is_what_its_schema_and_its_linter_say(tmp_path: Path) -> None:
    schema = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    lint = [BIN / "zizmor", "--offline", "--no-progress", "--config", ROOT / ".github/zizmor.yml"]
    wrong = tmp_path / ".github/workflows/ci.yml"
    wrong.parent.mkdir(parents=True)
    planted = "run: echo ${{ github.event.pull_request.title }}\n"
    for text, code in ((WORKFLOW.read_text(), 0), (WORKFLOW.read_text().replace("run: make smoke\n", planted), 14)):
        wrong.write_text(text)
        assert subprocess.run([*schema, wrong], capture_output=True, check=False).returncode == 0
        assert subprocess.run([*lint, wrong], capture_output=True, check=False).returncode == code
    wrong.write_text(WORKFLOW.read_text().replace("runs-on:", "run-on:"))
    assert subprocess.run([*schema, wrong], capture_output=True, check=False).returncode == 1


@pytest.mark.row("002-21")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("aws = 'AKIA" + "IOSFODNN7EXAMPL3'", "AWS Access Key"),
        ("-----BEGIN RSA " + "PRIVATE KEY-----", "Private Key"),
        ("db_password = 'tr0ub4dor" + "&3-and-more'", "Secret Keyword"),
        ("url = 'postgresql://etl:" + "hunter2@db/shop'", "Basic Auth Credentials"),
    ],
)
def test_a_secret_in_a_file_is_found(tmp_path: Path, text: str, told: str) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "shop.py").write_text("x = 1\n")
    assert scan(tmp_path).returncode == 0
    (tmp_path / "shop.py").write_text(f"x = 1\n{text}\n")
    found = scan(tmp_path)
    assert found.returncode != 0
    assert (told in found.stdout, "shop.py:2" in found.stdout) == (True, True)


def scan(folder: Path) -> subprocess.CompletedProcess[str]:
    path = {"PATH": f"{BIN}:/usr/bin:/bin"}
    return subprocess.run([ROOT / "tools/scan.sh"], cwd=folder, env=path, text=True, capture_output=True, check=False)
