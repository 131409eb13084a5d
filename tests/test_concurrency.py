"""Runs at the same time: of one pipeline they take turns, of two pipelines both land, and readers keep their state."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog

import assay
from assay.model.errors import SourceError
from assay.settings import Settings
from assay.warehouses.iceberg.store import IcebergWarehouse
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.conformance.place import PLAN, ended
from tests.conformance.processes import (
    AS_OF,
    ROOT,
    SECONDS,
    content,
    environment,
    finished,
    has_staged,
    ride_run,
    rows_of,
    started,
    until,
)

ROWS = 2_000
COUNTS = (
    *(1_994, 1_993, 3_990, 1_985, 1_362, 1_984, 1_218, 490, 140),
    *(1_968, 7, 176, 5, 5, 1_218, 490, 140, 1_984),
    *(1_665, 1_968, 176),
)

# Another process: it begins a run of the ride pipeline, says its number, and works until its standard input is closed.
HOLDER = """
import sys
from pathlib import Path
from assay.warehouses.iceberg.store import IcebergWarehouse
handle = IcebergWarehouse(Path(sys.argv[1]), create=True).begin("ride_bookings", {"as_of": "2024-12-01"}, patience=0)
print(handle.id, flush=True)
sys.stdin.read()
"""

# Another process: it waits for a line, then runs its own small pipeline again and again, one delivery more each time.
WRITER = """
import sys
from pathlib import Path
import assay
from assay import Append, Pipeline, csv, table, free

name, folder, lake = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
folder.mkdir()

@table(write=Append())
def bronze_order(orders):
    return orders

@table(rows=free("a total"))
def gold_total(bronze_order):
    return assay.sql("select count(*) as orders, sum(amount)::bigint as amount from b", b=bronze_order)

tables = [bronze_order.named(f"bronze_{name}"), gold_total.named(f"gold_{name}", bronze_order=f"bronze_{name}")]
columns = {"id": "BIGINT", "amount": "BIGINT"}
pipeline = Pipeline(name, tables=tables, sources={"orders": csv(str(folder / "*.csv"), columns=columns)})
print("ready", flush=True)
sys.stdin.readline()
for turn in range(20):
    (folder / f"{turn:02}.csv").write_text(f"id,amount\\n{turn},1\\n{turn},{turn}\\n")
    result = assay.run(pipeline, warehouse=lake)
    assert result.state == "published", result.problems
    print(result.run, result.tables[f"gold_{name}"].rows, flush=True)
"""


@pytest.fixture(scope="module")
def bookings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("data"), rows=ROWS)["bookings"]


def script(stack: ExitStack, code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start Python code in a process of its own; it is killed at the latest when the stack is closed."""
    command, pipe = [sys.executable, "-c", code, *map(str, arguments)], subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, stdin=pipe, stdout=pipe)
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def counts(document: dict[str, Any]) -> tuple[int, ...]:
    return tuple(table["rows"] for table in document["tables"].values())


def test_of_two_equal_runs_at_once_one_publishes_and_the_other_finds_nothing_left_to_do(
    bookings: Path, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    with started(*ride_run(bookings, lake, "--json")) as one, started(*ride_run(bookings, lake, "--json")) as other:
        ends = [finished(one), finished(other)]
    assert [(end.returncode, end.stderr) for end in ends] == [(0, ""), (0, "")]
    documents = sorted((json.loads(end.stdout) for end in ends), key=lambda document: str(document["state"]))
    assert [document["state"] for document in documents] == ["published", "unchanged"]
    assert [counts(document) for document in documents] == [COUNTS, COUNTS]
    assert rows_of(lake, "select count(*) from assay_run where seq is not null") == [(1,)]
    # The second looked again when its turn came, instead of computing all and losing it to a conflict.
    assert rows_of(lake, "select id from assay_run where state not in ('published', 'unchanged')") == []
    with assay.connect(lake) as connection:
        stored = {table: len(rows) for table, rows in content(connection).items()}
    assert stored == {table: line["rows"] for table, line in documents[0]["tables"].items()}


@pytest.mark.faults
def test_a_run_that_should_not_wait_stops_and_names_the_run_that_is_at_work(bookings: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with ExitStack() as stack:
        holder = script(stack, HOLDER, lake)
        number = int(read(holder))
        with started(*ride_run(bookings, lake, "--json"), when_busy="stop") as refused:
            end = finished(refused)
        assert (end.returncode, end.stdout) == (1, "")
        assert end.stderr == (
            f"assay: Run {number} of ride_bookings is still at work in {lake}; try again when it has ended.\n"
        )
        with started(*ride_run(bookings, lake), when_busy="wait", busy_seconds="0.3") as impatient:
            end = finished(impatient)
        assert (end.returncode, end.stderr.count("\n")) == (1, 1)
        assert f"Run {number} of ride_bookings is still at work" in end.stderr
        assert rows_of(lake, "select id, state from assay_run") == [(number, "staged")]


@pytest.mark.faults
def test_a_run_that_waits_begins_when_the_other_has_gone(bookings: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with ExitStack() as stack:
        holder = script(stack, HOLDER, lake)
        assert read(holder) == "1\n"
        with started(*ride_run(bookings, lake, "--json")) as waiting:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(timeout=2)
            holder.communicate()
            end = finished(waiting)
    assert (end.returncode, end.stderr) == (0, "")
    assert counts(json.loads(end.stdout)) == COUNTS
    assert rows_of(lake, "select id, state from assay_run order by id") == [(1, "failed"), (2, "published")]


@pytest.mark.faults
def test_a_run_that_finds_its_source_gone_when_its_turn_comes_is_out_of_the_way(tmp_path: Path) -> None:
    file, lake = generate(tmp_path, rows=50)["bookings"], IcebergWarehouse(tmp_path / "lake", create=True)
    first = lake.begin("ride_bookings", PLAN, patience=0)
    with ThreadPoolExecutor(1) as pool:
        given = {"sources": {"bookings": file}, "settings": Settings()}
        second = pool.submit(lambda: assay.run(ride_bookings, warehouse=tmp_path / "lake", **given))
        with pytest.raises(TimeoutError):
            second.result(timeout=2)
        file.unlink()
        lake.close_run(first, ended(first, "ride_bookings", "failed"))
        # Where the machine is so slow that the second still reads it, it tells that instead.
        with pytest.raises(SourceError, match=r"No such file|changed while it was read"):
            second.result(timeout=SECONDS)
    assert lake.begin("ride_bookings", PLAN, patience=0).id > first.id
    assert [past.state for past in lake.history(9)] == ["staged", "failed", "failed"]


@pytest.mark.faults
@pytest.mark.row("000-36")
def test_two_pipelines_write_one_lake_at_once_and_no_commit_is_lost(tmp_path: Path) -> None:
    lake, names = tmp_path / "lake", ("left", "right")
    with ExitStack() as stack:
        writers = [script(stack, WRITER, name, tmp_path / name, lake) for name in names]
        assert [read(writer) for writer in writers] == ["ready\n", "ready\n"]
        for writer in writers:
            print("go", file=writer.stdin, flush=True)
        said = [writer.communicate(timeout=SECONDS)[0].split() for writer in writers]
        assert [writer.returncode for writer in writers] == [0, 0]
    runs = [list(map(int, words[::2])) for words in said]
    assert [len(numbers) for numbers in runs] == [20, 20]
    assert sorted(runs[0] + runs[1]) == list(range(1, 41))
    # They did work side by side: neither had finished before the other began.
    assert min(runs[0]) < max(runs[1])
    assert min(runs[1]) < max(runs[0])
    assert sorted(rows_of(lake, "select seq from assay_run")) == [(seq,) for seq in range(1, 41)]
    catalog = SqlCatalog("assay", uri=f"sqlite:///{lake / 'catalog.db'}")
    for name, numbers in zip(names, runs, strict=True):
        for turn in (0, 7, 19):
            with assay.connect(lake, at=numbers[turn]) as connection:
                total = connection.sql(f"from gold.{name}").fetchall()
                assert total == [(2 * (turn + 1), turn + 1 + turn * (turn + 1) // 2)]
                assert connection.sql(f"select count(*) from bronze.{name}").fetchall() == [(2 * (turn + 1),)]
        stored = catalog.load_table(f"bronze.{name}").scan().to_arrow()
        assert sorted(stored["id"].to_pylist()) == sorted(2 * list(range(20)))


@pytest.mark.faults
def test_a_reader_opened_before_a_publish_keeps_seeing_its_own_run(bookings: Path, tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", tmp_path / bookings.name

    def run(rows: int) -> int | None:
        generate(tmp_path, rows=rows)
        result = assay.run(ride_bookings, warehouse=lake, sources={"bookings": file}, as_of=date.fromisoformat(AS_OF))
        assert result.state == "published"
        return result.run

    first = run(300)
    with assay.connect(lake) as before:
        earlier = content(before)
        run(400)
        assert content(before) == earlier
        with assay.connect(lake) as now, assay.connect(lake, at=first) as past:
            assert content(past) == earlier
            later = content(now)
        assert (len(earlier["bronze_booking"]), len(later["bronze_booking"])) == (284, 384)
        assert content(before) == earlier


@pytest.mark.faults
@pytest.mark.parametrize("staged", [0, 6], ids=["from its start", "while it works"])
def test_a_catalog_that_another_program_locks_for_two_seconds_is_waited_for(
    bookings: Path, tmp_path: Path, staged: int
) -> None:
    lake = tmp_path / "lake"
    with ExitStack() as stack:
        script(stack, HOLDER, lake).communicate(timeout=SECONDS)  # makes the lake
        connection = stack.enter_context(closing(sqlite3.connect(lake / "catalog.db", timeout=SECONDS)))
        connection.isolation_level = None
        if not staged:
            connection.execute("begin exclusive")
        process = stack.enter_context(started(*ride_run(bookings, lake, "--json")))
        if staged:
            until(has_staged(staged), lake)
            connection.execute("begin exclusive")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        connection.execute("rollback")
        end = finished(process)
    assert (end.returncode, end.stderr) == (0, "")
    assert counts(json.loads(end.stdout)) == COUNTS
