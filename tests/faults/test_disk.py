"""A disk that is full or breaks at any one call: a run publishes all or nothing, says why, and a rerun completes it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import assay
from tests.conformance.processes import AS_OF, seen
from tests.conformance.project import ROWS, make
from tests.faults.disk import Disk, End

RUN = ("run", "orders", "--as-of", AS_OF, "--log", "none")
SECOND = ROWS.replace("10.10", "11.10") + "4,spoilt,2024-11-03,many,2024-11-03 08:00:00\n5,new,2024-11-03,7,\n"
STEPS = {"full": 11, "full once": 23, "broken once": 17, "short write": 7}
"""Of the calls, every so many is made to fail by the slow tests; each of them with `--sweep`."""
LEAST = {"full": 300, "full once": 300, "broken once": 300, "short write": 50}
"""So many calls of a run can fail in each way, and more."""
SAMPLES = 1
"""So many by the fast ones, of each kind."""
PARTS = 2
BEYOND = 1_000_000
"""More calls than any run makes."""
COUNTS = (
    {"bronze_order": 3, "silver_order": 3, "gold_revenue": 2},
    {"bronze_order": 4, "silver_order": 4, "gold_revenue": 3},
)
CAUSES = ("No space left", "disk is full", "Input/output error", "disk I/O error", "its disk is full")


class Project:
    """A project with one published run and a second delivery, and what its tables hold before and after that."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder, self.disk = make(folder / "project"), disk
        self.lake, self.kept = self.folder / "lake", folder / "kept"
        module = self.folder / "shop_orders.py"
        # Some rows go to the quarantine, which is written too; days make more files.
        module.write_text(module.read_text().replace("(rows=groups(", '(partition_by="ordered_on", rows=groups('))
        self.run()
        self.before = seen(self.lake)
        shutil.copytree(self.lake, self.kept)
        (self.folder / "data/a.csv").write_text(SECOND)
        self.run()
        self.after = seen(self.lake)
        assert {table: len(rows) for table, rows in self.before.items()} == COUNTS[0]
        assert {table: len(rows) for table, rows in self.after.items()} == COUNTS[1]

    def run(self, kind: str = "none", number: int = 0) -> End:
        end = self.disk.call(*RUN, cwd=self.folder, kind=kind, number=number, rejected_share="1", retries="1")
        assert kind != "none" or end.code == 0, end.err
        return end

    def calls(self, kind: str, *, new: bool) -> int:
        """Return how many calls of a run can fail in this way."""
        self.restore(new=new)
        return self.run(kind, BEYOND).calls

    def restore(self, *, new: bool) -> None:
        """Bring back the lake as it was before the second delivery, or none."""
        shutil.rmtree(self.lake, ignore_errors=True)
        if not new:
            shutil.copytree(self.kept, self.lake)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, disk: Disk) -> Project:
    return Project(tmp_path_factory.mktemp("disk"), disk)


@pytest.fixture
def steps(sweep: bool) -> Mapping[str, int]:
    return dict.fromkeys(STEPS, 1) if sweep else STEPS


def assert_all_or_nothing(project: Project, kind: str, number: int, *, new: bool) -> None:
    case, before = f"{kind} at call {number}", {} if new else project.before
    project.restore(new=new)
    end = project.run(kind, number)
    said, now = end.err + end.out, seen(project.lake)
    assert end.code in (0, 1, 2), (case, end)
    assert "Traceback" not in said, (case, said)
    assert now in (before, project.after), case
    if end.code:
        assert now == before, (case, said)
        assert any(cause in said for cause in CAUSES), (case, said)
        assert str(project.lake) in said, (case, said)
    else:
        assert now == project.after, case
    project.run()
    assert seen(project.lake) == project.after, case
    with assay.connect(project.lake) as lake:
        assert lake.sql("select count(*) from meta.run where state = 'staged'").fetchall() == [(0,)], case


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("new", [False, True], ids=["a second delivery", "a new lake"])
def test_a_run_whose_disk_fails_at_one_of_some_calls(project: Project, kind: str, new: bool) -> None:
    calls = project.calls(kind, new=new)
    assert calls > LEAST[kind]
    for place in range(SAMPLES):
        number = 1 + (STEPS[kind] * 37 + place * calls // SAMPLES) % calls
        assert_all_or_nothing(project, kind, number, new=new)


@pytest.mark.faults
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("new", [False, True], ids=["a second delivery", "a new lake"])
def test_a_run_whose_disk_fails_at_any_call(
    project: Project, steps: Mapping[str, int], kind: str, new: bool, part: int
) -> None:
    calls, defects = project.calls(kind, new=new), []
    cases = range(1 + part * steps[kind], calls + 1, PARTS * steps[kind])
    for number in cases:
        try:
            assert_all_or_nothing(project, kind, number, new=new)
        except AssertionError as defect:
            defects.append(str(defect))
    # What `make sweep` shows.
    sys.stdout.write(f"{kind}: {len(cases)} of {calls} calls made to fail, {len(defects)} defects\n")
    assert defects == []
