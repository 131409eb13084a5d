"""What commands say of a lake that has lost something, and of a run that failed with rejected rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.processes import AS_OF, call
from tests.conformance.project import ROWS, make, told


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


def test_rows_that_a_failed_run_rejected_are_pointed_at_until_its_pipeline_has_published(tmp_path: Path) -> None:
    project = make(tmp_path / "project")
    (project / "data/b.csv").write_text(f"{ROWS.splitlines()[0]}\n4,d,2024-11-02,5000,2024-11-02 08:00:00\n")
    assert call("run", "orders", "--as-of", AS_OF, cwd=project, rejected_share="0.1").returncode == 1
    listed = call("quarantine", "list", cwd=project).stdout
    assert listed.startswith("No row stands rejected. Run 1 failed, and has rejected rows: ")
    assert listed.endswith(" quarantine list --run 1\n")
    assert "5000" in call("quarantine", "list", "--run", "1", cwd=project).stdout
    assert call("quarantine", "list", "--table", "gold_revenue", cwd=project).stdout == (
        "No row of gold_revenue stands rejected.\n"
    )
    (project / "data/b.csv").unlink()
    assert call("run", "orders", "--as-of", AS_OF, cwd=project).returncode == 0
    assert call("quarantine", "list", cwd=project).stdout == "No row stands rejected.\n"
