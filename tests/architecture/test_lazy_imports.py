"""Heavy libraries are loaded when they are needed: asking for help or importing assay loads none of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"pandas", "polars", "prefect", "pyarrow", "pyiceberg", "pyspark", "rich", "sqlglot"}
LIST_MODULES = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"


def modules_loaded_by(statements: str) -> set[str]:
    code = f"import atexit; atexit.register(lambda: exec({LIST_MODULES!r})); {statements}"
    result = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
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
