"""What an engine spills goes with its process, however that ends."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assay.engines.duckdb.engine import DuckDbEngine
from assay.engines.duckdb.spill import Spill

OPEN = """
import sys
from assay.engines.duckdb.engine import DuckDbEngine
engine = DuckDbEngine(threads=1, memory_limit="64MB", spill_folder=sys.argv[1])
with engine.session() as session:
    session._cursor.execute("create temp table large as select range, repeat('x', 200) as x from range(800000)")
    print("open", flush=True)
    sys.stdin.read()
"""


def folders(parent: Path) -> list[Path]:
    return sorted(parent.glob("assay-spill-*"))


def test_a_folder_goes_with_its_engine(tmp_path: Path) -> None:
    engine = DuckDbEngine(threads=1, memory_limit="64MB", spill_folder=str(tmp_path))
    assert len(folders(tmp_path)) == 1
    engine.close()
    assert folders(tmp_path) == []


def test_what_a_killed_process_has_spilled_goes_with_the_next_engine_and_that_of_a_living_one_stays(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as killed, subprocess.Popen(command, **pipes) as living:
        for process in (killed, living):
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
        assert sum(file.stat().st_size for file in tmp_path.rglob("*.tmp")) > 50_000_000
        killed.kill()
        killed.wait()
        assert len(folders(tmp_path)) == 2
        DuckDbEngine(threads=1, memory_limit="64MB", spill_folder=str(tmp_path)).close()
        (stays,) = folders(tmp_path)
        assert list(stays.rglob("*.tmp"))
        living.communicate("")
    DuckDbEngine(threads=1, memory_limit="64MB", spill_folder=str(tmp_path)).close()
    assert folders(tmp_path) == []


def test_a_folder_that_is_just_being_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "assay-spill-new").mkdir()
    DuckDbEngine(threads=1, memory_limit="64MB", spill_folder=str(tmp_path)).close()
    assert [folder.name for folder in folders(tmp_path)] == ["assay-spill-new"]


def test_a_folder_that_is_being_made_is_not_taken_for_one_that_was_left(tmp_path: Path) -> None:
    def make(_: int) -> bool:
        made = Spill(str(tmp_path))
        stands = Path(made.room, "lock").is_file()
        made.close()
        return stands

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(make, range(400)))
