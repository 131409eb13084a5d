"""`assay new`: a folder that runs at once, passes its test, and is refused before anything is written."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conformance.processes import ROOT, Finished, call
from tests.conformance.project import document, told


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a new pipeline was begun."""
    folder = tmp_path_factory.mktemp("begun")
    end = call("new", "corner_shop", cwd=folder)
    assert (end.returncode, end.stderr) == (0, "")
    written, _, steps = end.stdout.partition("\n\nWhat to try next:\n")
    assert sorted(written.splitlines()) == sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    assert [line.strip() for line in steps.splitlines()] == [
        "cd corner_shop",
        "assay run corner_shop",
        "assay show gold_daily_revenue",
        "assay quarantine list",
        "python -m pytest",
    ]
    return folder / "corner_shop"


def tool(folder: Path, *command: str) -> Finished:
    return subprocess.run([sys.executable, "-m", *command], cwd=folder, text=True, capture_output=True, check=False)


def test_it_has_tables_a_test_sample_data_settings_and_a_page(begun: Path) -> None:
    names = {path.relative_to(begun).as_posix() for path in begun.rglob("*") if path.is_file()}
    assert names >= {
        "README.md",
        "assay.toml",
        "corner_shop.py",
        "test_corner_shop.py",
        "data/corner_shop/2024-11-01.csv",
        "data/corner_shop/2024-11-02.csv",
    }
    assert "$" not in (begun / "corner_shop.py").read_text() + (begun / "assay.toml").read_text()
    assert "$ assay run corner_shop " in (begun / "README.md").read_text()


def test_it_publishes_at_once_and_shows_what_the_quarantine_and_deduplication_are(begun: Path) -> None:
    result = document(call("run", "corner_shop", "--json", cwd=begun))
    tables = {name: (t["rows"], t["rejected"], t["deduplicated"]) for name, t in result["tables"].items()}
    assert result["state"] == "published"
    assert tables == {"bronze_order": (25, 0, 0), "silver_order": (23, 1, 1), "gold_daily_revenue": (2, 0, 0)}
    listed = call("quarantine", "list", cwd=begun)
    assert (listed.returncode, "silver_order" in listed.stdout) == (0, True)
    assert document(call("sql", "select node, reasons from meta.quarantine", "--json", cwd=begun)) == [
        {"node": "silver_order", "reasons": '["not_null(customer_id)"]'}
    ]
    assert document(call("show", "gold_daily_revenue", "--json", cwd=begun)) != []
    assert document(call("run", "corner_shop", "--json", cwd=begun))["state"] == "unchanged"


def test_its_tests_pass_and_so_do_ruff_and_mypy(begun: Path) -> None:
    tests = tool(begun, "pytest", "-q", "-p", "no:cacheprovider")
    assert (tests.returncode, tests.stdout.splitlines()[-1].startswith("2 passed")) == (0, True), tests.stdout
    # Not told apart by what stands above this folder.
    for command in (["ruff", "check", "--isolated"], ["ruff", "format", "--isolated", "--check"]):
        end = tool(begun, *command, "corner_shop.py", "test_corner_shop.py")
        assert end.returncode == 0, end.stdout
    end = tool(begun, "mypy", "--strict", "corner_shop.py", "test_corner_shop.py")
    assert end.returncode == 0, end.stdout


def test_its_test_fails_where_a_function_is_wrong(begun: Path) -> None:
    module = begun / "corner_shop.py"
    right = module.read_text()
    try:
        module.write_text(right.replace('col("amount").sum()', 'col("amount").max()'))
        end = tool(begun, "pytest", "-q", "-p", "no:cacheprovider")
    finally:
        module.write_text(right)
    assert (end.returncode, "test_revenue_is_summed_by_day" in end.stdout) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("my-shop",), ("'my-shop' cannot be the name of a pipeline", "letters, digits and underscores")),
        (("Shop",), ("'Shop' cannot be the name",)),
        (("1shop",), ("'1shop' cannot be the name",)),
        (("class",), ("'class' cannot be the name", "Python's own")),
        (("../shop",), ("'../shop' cannot be the name",)),
        (("csv",), ("'csv' is the name of a Python module that is installed here",)),
        (("narwhals",), ("'narwhals' is the name of a Python module",)),
        (("assay",), ("'assay' is the name of a Python module",)),
        (("shop", "full"), ("full is not empty; give a folder that is empty or not there yet",)),
        (("shop", "full/file"), ("full/file is a file",)),
        (("shop", "full/file/below"), ("cannot be written",)),
        ((), ("Missing argument 'NAME'",)),
    ],
    ids=" ".join,
)
def test_what_cannot_be_begun_is_refused_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    told(call("new", *arguments, cwd=tmp_path), 2, *words)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full"]
    assert (tmp_path / "full/file").read_text() == "mine"


def test_it_can_be_begun_in_an_empty_folder_that_is_there(tmp_path: Path) -> None:
    end = call("new", "shop", ".", cwd=tmp_path)
    assert (end.returncode, "  cd " in end.stdout) == (0, False)
    assert (tmp_path / "shop.py").is_file()


def test_the_wheel_has_all_that_is_needed(tmp_path: Path) -> None:
    built = tool(ROOT, "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    templates = ROOT / "src/assay/scaffold/templates"
    wanted = {path.relative_to(ROOT / "src").as_posix() for path in templates.rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as packed:
        assert len(wanted) == 7
        assert wanted <= set(packed.namelist())
