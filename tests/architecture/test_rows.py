"""`make rows`: what is called done is proven by a test or a document, whichever way the tests are run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TESTS = """
import pytest

@pytest.mark.row("000-01", "000-02")
def test_passes(): pass

@pytest.mark.row("000-02")
@pytest.mark.parametrize("n", [1, 2])
def test_fails_once(n): assert n == 1

@pytest.mark.row("000-03")
def test_is_skipped(): pytest.skip("not here")

@pytest.fixture
def broken(): raise OSError

@pytest.mark.row("000-04")
def test_never_starts(broken): pass

def test_proves_no_row(): pass
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for folder in ("tests", "docs", "build"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "tests/conftest.py", tmp_path / "tests")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\nmarkers = row(id): rows\n")
    return tmp_path


def run(house: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=house, text=True, capture_output=True, check=False)


def rows(house: Path, done: list[str], documents: str = "") -> subprocess.CompletedProcess[str]:
    (house / "docs/rows.toml").write_text(f"done = {json.dumps(done)}\n[systems]\n000 = 39\n[documents]\n{documents}\n")
    return run(house, str(ROOT / "tools/rows.py"), "build/rows.json")


def report(house: Path, **outcomes: str) -> None:
    tests = {f"t.py::{i}": {"rows": [i.replace("_", "-")[1:]], "outcome": outcome} for i, outcome in outcomes.items()}
    (house / "build/rows.json").write_text(json.dumps(tests))


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_report_has_the_outcome_of_every_marked_test(house: Path, workers: str) -> None:
    (house / "tests/test_it.py").write_text(TESTS)
    run(house, "-m", "pytest", "-n", workers, "--rows=build/rows.json")
    assert json.loads((house / "build/rows.json").read_text()) == {
        "tests/test_it.py::test_passes": {"rows": ["000-01", "000-02"], "outcome": "passed"},
        "tests/test_it.py::test_fails_once[1]": {"rows": ["000-02"], "outcome": "passed"},
        "tests/test_it.py::test_fails_once[2]": {"rows": ["000-02"], "outcome": "failed"},
        "tests/test_it.py::test_is_skipped": {"rows": ["000-03"], "outcome": "skipped"},
        "tests/test_it.py::test_never_starts": {"rows": ["000-04"], "outcome": "failed"},
    }


def test_a_run_of_some_tests_leaves_the_report_alone(house: Path) -> None:
    report(house, _000_01="passed")
    before = (house / "build/rows.json").read_text()
    (house / "tests/test_it.py").write_text(TESTS)
    run(house, "-m", "pytest", "-k", "proves_no_row")
    assert (house / "build/rows.json").read_text() == before


def test_rows_that_are_proven_pass(house: Path) -> None:
    report(house, _000_01="passed", _000_02="failed")
    (house / "docs/x.md").write_text("text")
    result = rows(house, ["000-01", "000-09"], '"000-09" = "docs/x.md"')
    assert result.returncode == 0, result.stderr
    assert "000-01  done  1 passed\n" in result.stdout
    assert "000-02        1 failed\n" in result.stdout
    assert "000-09  done  docs/x.md\n" in result.stdout
    assert result.stdout.endswith("2 of 39 rows are done.\n")


@pytest.mark.parametrize(
    ("outcomes", "done", "documents", "complaint"),
    [
        ({}, ["000-01"], "", "000-01: done, but no test of it passes"),
        ({"_000_01": "skipped"}, ["000-01"], "", "000-01: done, but no test of it passes"),
        ({"_000_01": "failed"}, ["000-01"], "", "000-01: done, but failing: t.py::_000_01"),
        ({"_000_40": "passed"}, [], "", "000-40: no such row (in t.py::_000_40)"),
        ({"_000_1": "passed"}, [], "", "000-1: no such row (in t.py::_000_1)"),
        ({}, ["999-01"], "", "999-01: no such row (in docs/rows.toml)"),
        ({}, [], '"000-09" = "docs/x.md"', "000-09: document docs/x.md is missing or empty"),
        ({"_000_01": "passed"}, ["000-01", "000-01"], "", "named twice in done: 000-01"),
    ],
)
def test_what_is_called_done_and_is_not_fails(
    house: Path, outcomes: dict[str, str], done: list[str], documents: str, complaint: str
) -> None:
    report(house, **outcomes)
    result = rows(house, done, documents)
    assert result.returncode == 1
    assert complaint in result.stderr


def test_without_a_report_it_says_who_writes_it(house: Path) -> None:
    result = rows(house, [])
    assert result.returncode == 1
    assert result.stderr == "build/rows.json is missing: `make test` and `make test-faults` write them.\n"


def test_every_row_called_done_has_a_test_or_a_document() -> None:
    """The slip is told here, before the suites whose outcome `make rows` reads have run for half an hour."""
    declared = tomllib.loads((ROOT / "docs/rows.toml").read_text())
    texts = (file.read_text() for file in (ROOT / "tests").rglob("test_*.py") if file != Path(__file__))
    named = {row for text in texts for row in re.findall(r'"(\d{3}-\d{2})"', text)}
    assert sorted(set(declared["done"]) - named - set(declared["documents"])) == []
    assert [path for path in declared["documents"].values() if not (ROOT / path).is_file()] == []
