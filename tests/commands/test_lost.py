"""What commands say of a lake that has lost something, and of a run that failed with rejected rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.processes import AS_OF, call
from tests.conformance.project import make, told


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one published run."""
    folder = make(tmp_path / "project")
    assert call("run", "orders", "--as-of", AS_OF, cwd=folder).returncode == 0
    return folder


def test_a_lake_without_its_catalog_is_no_new_lake_for_any_command(project: Path) -> None:
    (project / "lake/catalog.db").unlink()
    for words in (("history",), ("show", "gold_revenue"), ("verify",), ("undo",)):
        told(
            call(*words, cwd=project), 2, "lake: has tables, and no catalog that knows them", "Restore that from a copy"
        )


def test_a_table_whose_file_is_gone_is_told_by_that_and_hides_no_other(project: Path) -> None:
    (file,) = (project / "lake/gold").rglob("*.parquet")
    file.unlink()
    end = call("show", "gold_revenue", cwd=project)
    told(end, 2, f"its file {file.relative_to(project / 'lake')} is gone", "`assay verify` tells")
    assert ("LINE" in end.stderr, len(end.stderr.splitlines())) == (False, 1)
    assert call("show", "silver_order", cwd=project).returncode == 0
