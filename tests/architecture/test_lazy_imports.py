"""Heavy libraries are loaded when they are needed: asking for help loads none of them, a rerun only some."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SLOW = {"numpy", "pandas", "polars", "prefect", "pyarrow", "pydantic", "pyiceberg", "pyspark", "rich"}
"""What only a run that publishes may need."""
HEAVY = SLOW | {"duckdb", "sqlalchemy", "sqlglot"}
SMALL = '''
from assay import Overwrite, Pipeline, csv, table

@table(write=Overwrite())
def bronze_number(numbers):
    """Every number."""
    return numbers

small = Pipeline("small", tables=[bronze_number], sources={"numbers": csv("numbers.csv", columns={"n": "BIGINT"})})
'''
LIST_MODULES = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"


def modules_loaded_by(statements: str, folder: Path | None = None) -> set[str]:
    code = f"import atexit; atexit.register(lambda: exec({LIST_MODULES!r})); {statements}"
    result = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False, cwd=folder)
    assert result.returncode == 0, result.stderr
    return set(result.stderr.split())


@pytest.mark.parametrize(
    "statements",
    ["import assay", "import sys; sys.argv = ['assay', '--help']; from assay.cli.app import main; main()"],
    ids=["import assay", "assay --help"],
)
def test_no_heavy_library_is_loaded_by(statements: str) -> None:
    assert HEAVY & modules_loaded_by(statements) == set()


def test_the_measure_sees_a_heavy_library() -> None:
    assert "polars" in HEAVY & modules_loaded_by("import polars")


def test_a_rerun_with_nothing_to_do_loads_nothing_that_only_publishing_needs(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("n\n1\n2\n")
    (tmp_path / "small.py").write_text(SMALL)
    run = "from assay.cli.app import main; main(['run', 'small:small', '--warehouse', 'lake'])"
    assert "pyiceberg" in modules_loaded_by(run, tmp_path)
    assert SLOW & modules_loaded_by(run, tmp_path) == set()
