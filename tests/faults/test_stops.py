"""What stops a run from outside: signals, memory, folders that may not be written, files that change, the clock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

import assay
from assay.model.errors import SourceError
from assay.settings import Settings
from tests.conformance.processes import (
    ASSAY,
    SECONDS,
    Finished,
    environment,
    finished,
    has_staged,
    rows_of,
    seen,
    started,
    until,
)
from tests.conformance.project import ROWS
from tests.faults.disk import Disk

ENDLESS = """
@table(rows=assay.free("a count"))
def gold_endless(silver_order):
    return assay.sql("select count(*) as n from s, range(1000000000) a where a.range % 7 <> id", s=silver_order)
endless = Pipeline("orders", tables=[*good, gold_endless], sources=sources)
@table(rows=assay.free("one list"))
def gold_large(silver_order):
    return assay.sql("select max(len(l)) as n from (select list(range) as l from s, range(30000000))", s=silver_order)
large = Pipeline("orders", tables=[*good, gold_large], sources=sources)
"""


@pytest.fixture
def project(folder: Path) -> Path:
    with (folder / "shop_orders.py").open("a") as module:
        module.write(ENDLESS)
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_in_order(project: Path, number: signal.Signals, code: int) -> None:
    lake = project / "lake"
    with started("run", "shop_orders:endless", cwd=project) as process:
        assert until(has_staged(4), lake, process)
        process.send_signal(number)
        end = finished(process)
    assert (end.returncode, end.stdout) == (code, "")
    assert end.stderr.splitlines()[-1] == "assay: interrupted; nothing was published."
    assert rows_of(lake, "select state from assay_run") == [("failed",)]
    assert rows_of(lake, "select run from assay_lease") == [(None,)]
    assert seen(lake) == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_when_all_is_published_changes_nothing(project: Path, number: signal.Signals) -> None:
    with started("run", "orders", "--log", "json", cwd=project) as process:
        assert process.stderr is not None
        while json.loads(process.stderr.readline())["event"] != "run_ended":
            pass
        while process.poll() is None:
            process.send_signal(number)
        end = finished(process)
    assert (end.returncode, "published 3 tables" in end.stdout) == (0, True), end
    assert len(seen(project / "lake")) == 3


def test_a_signal_that_the_starter_has_ignored_stays_ignored(project: Path) -> None:
    code = "import signal, os, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    command = ["python3", "-c", code, str(ASSAY), "run", "orders"]
    with subprocess.Popen(command, cwd=project, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert until(lambda lake: (lake / "catalog.db").exists(), project / "lake")
        process.terminate()
        assert "published 3 tables" in process.communicate(timeout=SECONDS)[0]


@pytest.mark.faults
@pytest.mark.parametrize("turn", range(12))
def test_a_signal_at_any_moment_ends_with_its_own_code_or_not_at_all(project: Path, turn: int) -> None:
    number, code = ((signal.SIGTERM, 143), (signal.SIGINT, 130))[turn % 2]
    with started("run", "orders", "--log", "none", cwd=project) as process:
        # Before the command has taken the signals over, they end the process as they end any other.
        assert until(lambda lake: lake.exists(), project / "lake", process)
        threading.Event().wait(turn * 0.08)
        process.send_signal(number)
        end = finished(process)
    assert "Traceback" not in end.stderr
    assert end.returncode in (0, code)
    whole = len(seen(project / "lake")) == 3
    assert whole is (end.returncode == 0) or "nothing was published" not in end.stderr


def test_a_query_that_needs_more_memory_than_the_engine_may_take_says_what_to_set(project: Path, disk: Disk) -> None:
    end = disk.call("run", "shop_orders:large", cwd=project, memory_limit="40MB", retries="0")
    said = "gold_large failed: MemoryError: the engine needs more than memory_limit = 40MB; raise that setting"
    assert (end.code, f"problem: {said}, or lower workers.\n" in end.out) == (1, True), end
    assert seen(project / "lake") == {}
    assert disk.call("run", "orders", cwd=project, memory_limit="40MB").code == 0


def as_owner_without_privileges(*arguments: str, cwd: Path) -> Finished:
    """Run `assay` as a process that permissions hold for, also where the tests are run by root."""
    dropped = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*dropped, str(ASSAY), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "where",
    [pytest.param(w, marks=pytest.mark.faults) for w in ("the lake", "a table", "the catalog")] + ["the project"],
)
def test_a_folder_that_may_not_be_written_is_named_and_nothing_is_changed(folder: Path, disk: Disk, where: str) -> None:
    lake = folder / "lake"
    if where != "the project":
        assert disk.call("run", "orders", cwd=folder).code == 0
    before = seen(lake)
    (folder / "data/a.csv").write_text(ROWS.replace("5.00", "6.00"))
    closed = {"the project": folder, "the lake": lake, "a table": lake / "gold/revenue/data", "the catalog": lake}[
        where
    ]
    paths = [closed, lake / "catalog.db"] if where == "the catalog" else [closed]
    modes = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        end = as_owner_without_privileges("run", "orders", "--log", "none", cwd=folder)
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)
    said = end.stdout + end.stderr
    assert (end.returncode in (1, 2), "Traceback" in said) == (True, False), said
    assert str(lake) in said or "lake: " in said, said
    assert any(words in said for words in ("Permission denied", "read-only", "readonly")), said
    assert seen(lake) == before
    assert disk.call("run", "orders", cwd=folder).code == 0
    assert len(seen(lake)) == 3


def test_a_file_that_is_written_while_it_is_read_is_refused_and_read_when_it_is_complete(tmp_path: Path) -> None:
    @assay.table(write=assay.Append())
    def bronze_row(rows: object) -> object:
        return rows

    file = tmp_path / "a.csv"
    file.write_text("id\n" + "".join(f"{n}\n" for n in range(200_000)))
    source = assay.csv(str(file), columns={"id": "BIGINT"})
    pipeline = assay.Pipeline("rows", tables=[bronze_row], sources={"rows": source})
    ended = threading.Event()

    def write() -> None:
        with file.open("a") as still:
            while not ended.wait(0.002):
                still.write("7\n")
                still.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(SourceError, match=r"a\.csv: changed while it was read; run again when it is complete\."):
            assay.run(pipeline, warehouse=tmp_path / "lake", settings=Settings())
    finally:
        ended.set()
        writer.join()
    assert seen(tmp_path / "lake") == {}
    lines = file.read_text().count("\n") - 1
    assert lines > 200_000
    assert assay.run(pipeline, warehouse=tmp_path / "lake", settings=Settings()).tables["bronze_row"].rows == lines


@pytest.mark.faults
def test_a_clock_that_is_set_back_and_forth_between_runs_changes_nothing_but_dates(folder: Path, disk: Disk) -> None:
    day, lake = 86_400, folder / "lake"
    clocks = [0, -2 * day, 400 * day, -3_650 * day, 0]
    for number, clock in enumerate(clocks):
        (folder / f"data/{number}.csv").write_text(ROWS.replace("\n1,", f"\n{number + 10},"))
        end = disk.call("run", "orders", "--log", "none", cwd=folder, clock=clock)
        assert end.code == 0, end.err
        assert disk.call("run", "orders", cwd=folder, clock=clocks[number - 1]).out.count("unchanged: ") >= 1
        with assay.connect(lake) as reader:
            assert reader.sql("select count(*) from silver.order").fetchall() == [(4 + number,)]
    assert [past.id for past in assay.history(lake)] == [5, 4, 3, 2, 1]
    for run in range(1, 6):
        with assay.connect(lake, at=run) as reader:
            assert reader.sql("select count(*) from silver.order").fetchall() == [(3 + run,)]
    started_at = [past.started_at for past in assay.history(lake)]
    assert started_at != sorted(started_at)


@pytest.mark.parametrize("clock", [-86_400, 86_400])
def test_a_dead_owner_is_taken_over_at_once_whatever_the_clock_says(project: Path, disk: Disk, clock: int) -> None:
    with started("run", "shop_orders:endless", cwd=project) as process:
        assert until(has_staged(4), project / "lake", process)
    end = disk.call("run", "orders", cwd=project, clock=clock, when_busy="stop")
    assert end.code == 0, end.err
    assert rows_of(project / "lake", "select state from assay_run") == [("failed",), ("published",)]
