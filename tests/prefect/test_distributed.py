"""The fleet on a server of Prefect and several workers: they share one run, and what one leaves another ends."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

import assay
from assay import assembly, connect
from assay.model.run import NodeRun
from assay.settings import Settings
from pipelines.table_fleet.generate import locked, make
from pipelines.table_fleet.tables import TABLES
from tests.prefect.conftest import Server, restarted
from tests.prefect.workers import (
    BIN,
    PARENTS,
    POOL,
    ROOT,
    Worker,
    begun,
    deployed,
    ended,
    flow_runs,
    log_of,
    until,
    working,
)

ROWS = 2_000
TWO = {"one": POOL, "two": POOL, "parents": PARENTS}
MAIN = "main_etl/main-etl-job"

Source = psycopg.Connection[Any]


@pytest.fixture
def source(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    url = postgres_url.replace("+psycopg", "")
    monkeypatch.setenv("FLEET_URL", url)
    with psycopg.connect(url, autocommit=True) as connection:
        make(connection, rows=ROWS, seed=1, lock_timeout="10min")
        yield connection


@pytest.fixture
def place(prefect_server: Server, source: Source, tmp_path: Path) -> dict[str, str]:
    """What workers find in their environment, on a server that has the deployments."""
    assert deployed().splitlines()[-1].endswith("deployments")
    return {"ASSAY_WAREHOUSE": str(tmp_path / "lake"), "ASSAY_WORKERS": "4", "FLEET_URL": os.environ["FLEET_URL"]}


def nodes(place: dict[str, str]) -> dict[str, NodeRun]:
    """What each table did in the newest run of the fleet's tables."""
    newest = assembly.warehouse(Settings(), place["ASSAY_WAREHOUSE"], create=False).newest("table_fleet")
    assert newest is not None
    return {name: NodeRun.from_json(name, body) for name, body in newest.nodes.items() if name.startswith("bronze")}


def content(place: dict[str, str]) -> list[Any]:
    with connect(place["ASSAY_WAREHOUSE"]) as reader:
        return [reader.execute(f"select count(*), sum(amount) from bronze.{name}").fetchone() for name in TABLES]


def there(source: Source) -> list[Any]:
    return [source.execute(f"select count(*), sum(amount) from fleet.{name}").fetchone() for name in TABLES]


def states(flow: str, since: UUID) -> list[str]:
    """The states of the runs of a flow that were made after another flow run."""
    return [run.state_type.value for run in flow_runs(flow, since)]


def published(place: dict[str, str]) -> list[str]:
    """The states of the runs of the fleet's tables, newest first."""
    return [past.state for past in assay.history(place["ASSAY_WAREHOUSE"]) if past.pipeline == "table_fleet"]


@pytest.mark.row("001-01", "001-18", "001-19", "001-20", "001-21")
def test_two_workers_share_the_run_that_the_interface_starts(
    place: dict[str, str], source: Source, tmp_path: Path
) -> None:
    with working(tmp_path, TWO, place) as workers:
        with no_reader(place, 7):
            run = begun(MAIN, as_of="2026-11-20")
            # Both have that table to read: neither ends before the other has begun, however slowly a machine starts it.
            until(lambda: [states(name, run) for name in ("pre_etl", "sub_etl")] == [["RUNNING"], ["RUNNING"]])
        main = ended(run)
        assert main.state.is_completed(), workers["parents"].log.read_text()[-4000:]
        chunks = flow_runs("tables_of_table_fleet", run)
        assert len(chunks) == 2
        hosts = {name for name in ("one", "two") if "extract_bronze_table" in workers[name].log.read_text()}
        assert hosts == {"one", "two"}
    assert content(place) == there(source)
    (pre,), (sub,), (final,) = (flow_runs(name, run) for name in ("pre_etl", "sub_etl", "final_etl"))
    assert max(pre.start_time, sub.start_time) < min(pre.end_time, sub.end_time), "the phase ran side by side"
    assert final.start_time >= max(pre.end_time, sub.end_time)
    said = "\n".join(log_of(run))
    for line in (
        "--- main_etl, phase load: pre_etl, sub_etl ---",
        f"sub-flow sub_etl/sub-etl-job triggered: {sub.name} ({sub.id})",
        f"flow run {sub.name} completed ({sub.id})",
        "--- main_etl, phase load: done ---",
        "--- main_etl, phase finish: final_etl ---",
    ):
        assert line in said
    report = Path(place["ASSAY_WAREHOUSE"]).parent / "reports" / "2026-11-20.md"
    assert report.read_text().count(f"| {ROWS:,} |") == len(TABLES)
    assert published(place) == ["published", "published"]


@pytest.mark.row("001-08", "001-09")
def test_what_a_worker_leaves_that_is_killed_in_the_middle_of_a_table_another_ends_once(
    place: dict[str, str], source: Source, tmp_path: Path
) -> None:
    with working(tmp_path, TWO, place) as workers:
        with no_reader(place, 7):
            with no_reader(place, 4, 5, 6):
                run = begun("sub_etl/sub-etl-job")
                until(lambda: waiting(source, "fleet.%") == 3)
                # Eight threads have four locked tables to read, and others; those beyond the limit do not begin.
                assert {waiting(source, "fleet.%") for _ in range(30) if time.sleep(0.1) is None} == {3}
            until(lambda: len(nodes(place)) == len(TABLES) - 1 and waiting(source, f"fleet.{TABLES[7]}"))
            before = nodes(place)
            victim = reader_of(7, run, workers)
            victim.kill()
        assert ended(run).state.is_completed()
        assert "extract_bronze_table_07" in "".join(w.log.read_text() for w in workers.values() if w is not victim)
    after = nodes(place)
    assert {name: node.started_at for name, node in before.items()}.items() <= {
        name: node.started_at for name, node in after.items()
    }.items(), "what was read before is not read again"
    assert content(place) == there(source)
    assert published(place) == ["published"]


def test_a_run_outlives_a_server_that_is_killed_and_comes_back(
    prefect_server: Server, place: dict[str, str], source: Source, tmp_path: Path
) -> None:
    with working(tmp_path, TWO, place):
        with no_reader(place, 7):
            run = begun("sub_etl/sub-etl-job")
            until(lambda: waiting(source, f"fleet.{TABLES[7]}"))
            with restarted(prefect_server):
                assert not source.closed
        assert ended(run).state.is_completed()
    assert content(place) == there(source)
    assert published(place) == ["published"]


@pytest.fixture
def database(postgres_server: str, postgres_url: str, empty_url: str) -> str:
    """A database that is the warehouse of the fleet."""
    url = empty_url.replace("+psycopg", "")
    made = subprocess.run([BIN / "assay", "migrate", "table_fleet", "--warehouse", url], cwd=ROOT, check=False)
    assert made.returncode == 0
    return url


def test_two_machines_that_have_but_the_warehouse_in_common_share_a_run(
    place: dict[str, str], database: str, source: Source, tmp_path: Path
) -> None:
    place["ASSAY_WAREHOUSE"] = database
    own = {"XDG_CACHE_HOME": str(tmp_path / "own"), "TMPDIR": str(tmp_path / "own"), "HOME": str(tmp_path / "own")}
    (tmp_path / "own").mkdir()
    # Each has a disk of its own where the others see an empty folder.
    disk = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none '{tmp_path}/own' && exec \"$@\"", "sh"]
    with working(tmp_path, TWO, place | own, around=disk) as workers:
        assert ended(begun("sub_etl/sub-etl-job")).state.is_completed(), workers["parents"].log.read_text()[-4000:]
        for name in ("one", "two"):
            assert "extract_bronze_table" in workers[name].log.read_text()
        assert list((tmp_path / "own").iterdir()) == []
    with psycopg.connect(database) as target:
        assert content_in(target) == there(source)


def test_two_machines_that_have_but_a_lake_and_its_catalog_in_common_share_a_run(
    place: dict[str, str], empty_url: str, source: Source, tmp_path: Path
) -> None:
    lake, own = tmp_path / "lake", tmp_path / "own"
    place |= {"ASSAY_WAREHOUSE": str(lake), "ASSAY_CATALOG": empty_url.replace("+psycopg", "")}
    place |= {name: str(own) for name in ("XDG_CACHE_HOME", "TMPDIR", "HOME", "PREFECT_HOME")}
    lake.mkdir()
    own.mkdir()
    # Each is called something else and has a disk of its own; all others but the lake's folder take no file.
    script = (
        f"hostname machine-$$ && mount -t tmpfs none '{own}' && mount --bind '{lake}' '{lake}' && "
        'mount -o remount,ro,bind / && exec "$@"'
    )
    machine = ["unshare", "--mount", "--uts", "sh", "-c", script, "sh"]
    with working(tmp_path, TWO, place, around=machine) as workers:
        assert ended(begun("sub_etl/sub-etl-job")).state.is_completed(), workers["parents"].log.read_text()[-4000:]
        for name in ("one", "two"):
            assert "extract_bronze_table" in workers[name].log.read_text()
    assert list(own.iterdir()) == []
    assert published(place) == ["published"]
    assert content(place) == there(source)
    assert assay.verify(lake).damaged == ()
    assert not (lake / "catalog.db").exists()


def content_in(target: Source) -> list[Any]:
    return [target.execute(f"select count(*), sum(amount) from bronze.{name}").fetchone() for name in TABLES]


def reader_of(table: int, run: UUID, workers: dict[str, Worker]) -> Worker:
    """The worker on which the flow run is at work that reads a table."""
    chunks = flow_runs("tables_of_table_fleet", run)
    (chunk,) = (each for each in chunks if TABLES[table] in str(each.parameters["steps"]))
    (worker,) = (each for each in workers.values() if f"submitting flow run '{chunk.id}'" in each.log.read_text())
    return worker


def waiting(source: Source, tables: str) -> int:
    """How many wait to read a table that is locked."""
    query = "select count(*) from pg_locks where not granted and relation::regclass::text like %s"
    (count,) = source.execute(query, (tables,)).fetchone() or (0,)
    return int(count)


@contextmanager
def no_reader(place: dict[str, str], *tables: int) -> Iterator[None]:
    """Let nobody read these tables until the block ends."""
    with ExitStack() as held:
        for table in tables:
            connection = held.enter_context(psycopg.connect(place["FLEET_URL"], autocommit=True))
            held.enter_context(locked(connection, table))
        yield
