"""Tables of databases are read side by side, as many at once as `database_limit` says, whatever workers there are."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial

import psycopg
import pytest

import assay
from assay import Pipeline, RunResult, Workflow, postgres, relation
from assay.model.event import Event, NodeEnded
from assay.runtime.kept import Kept
from assay.settings import Settings
from assay.sources.postgres.connection import Connection, answers, connect
from tests.sources.postgres.shop import DAY, Shop

ONE_WORKER = Settings(workers=1, database_limit=2)
TABLES = [f"part_{n}" for n in range(1, 7)]
READERS = "from pg_stat_activity where application_name = 'assay' and datname = current_database()"
COPIES = f"{READERS} and wait_event_type = 'Lock' and query ilike 'copy (select %'"


@contextmanager
def locked(shop: Shop, *tables: str) -> Iterator[None]:
    """Let nobody read some tables."""
    with shop.connect() as connection, connection.transaction():
        connection.execute(f"lock table {', '.join(tables)} in access exclusive mode".encode())
        yield


def readers(shop: Shop) -> dict[int, str]:
    """Wait until two tables are being read; return the connections that are open, each with the snapshot it sees."""
    shop.wait_for(f"select 1 {COPIES} having count(*) = 2")
    with shop.connect() as connection:
        return dict(connection.execute(f"select pid, backend_xmin::text {READERS}".encode()).fetchall())


def mirror(shop: Shop) -> RunResult:
    return assay.sync(shop.url, warehouse=shop.lake, tables=["part_*"], settings=ONE_WORKER, as_of=DAY)


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """A shop with six more tables of two rows."""
    for name in TABLES:
        shop.execute(f"create table {name} (id int primary key)", f"insert into {name} values (1), (2)")
    return shop


@pytest.mark.row("002-08")
def test_six_tables_are_read_side_by_side_by_two_connections_that_see_one_snapshot(shop: Shop) -> None:
    with ThreadPoolExecutor(1) as pool, locked(shop, *TABLES[4:]):
        with locked(shop, *TABLES[:2]):
            syncing = pool.submit(mirror, shop)
            first = readers(shop)
            shop.execute("insert into part_3 values (3)", "insert into orders values (9, 9, 'late', 9)")
        last = readers(shop)
        assert len(set(first.values())) == 1, "they see two snapshots"
        assert (len(first), last) == (2, first), "connections are opened for tables, or more than may read"
    found = syncing.result()
    assert (found.state, {name: node.rows for name, node in found.tables.items()}) == (
        "published",
        {f"raw_{name}": 2 for name in TABLES},
    )


def part_of(shop: Shop, name: str, tables: list[str]) -> Pipeline:
    declared = {f"raw_{each}": relation(each, columns={"id": "INTEGER"}, publish=True) for each in tables}
    sources = postgres(shop.url, mode="full", tables=declared, together=False)
    return Pipeline(name, tables=[], layers=["raw"], sources=sources)


@pytest.mark.parametrize("workers", [1, 4])
def test_pipelines_that_run_side_by_side_keep_to_one_limit(shop: Shop, workers: int) -> None:
    settings = Settings(workers=workers, database_limit=2)
    both = Workflow("both", phases={"load": [part_of(shop, "odd", TABLES[::2]), part_of(shop, "even", TABLES[1::2])]})
    with ThreadPoolExecutor(1) as pool:
        with locked(shop, *TABLES):
            running = pool.submit(assay.run_workflow, both, warehouse=shop.lake, settings=settings, as_of=DAY)
            first = readers(shop)
            assert all(readers(shop).keys() == first.keys() for _ in range(20)), "a third has come"
        found = running.result()
    assert found.ok
    with assay.connect(shop.lake) as lake:
        assert [lake.execute(f"select count(*) from raw.{name}").fetchone() for name in TABLES] == [(2,)] * 6


def test_tables_that_are_read_apart_are_read_by_the_connections_that_others_have_left(shop: Shop) -> None:
    settings, everything = Settings(workers=1, database_limit=2), part_of(shop, "everything", TABLES)
    with ThreadPoolExecutor(1) as pool, locked(shop, *TABLES[4:]):
        with locked(shop, *TABLES[:2]):
            running = pool.submit(assay.run, everything, warehouse=shop.lake, settings=settings, as_of=DAY)
            first = readers(shop)
        shop.wait_for(f"select 1 {COPIES} and query ~ 'part_[56]' having count(*) = 2")
        assert readers(shop).keys() == first.keys(), "each table was let in anew"
    assert running.result().ok
    shop.wait_for(f"select 1 {READERS} having count(*) = 0")


def test_connections_that_broke_while_nobody_used_them_are_not_lent(shop: Shop) -> None:
    def pid(connection: Connection) -> int:
        (found,) = connection.execute("select pg_backend_pid()").fetchone() or (0,)
        return int(found)

    def lent(address: str = shop.url) -> AbstractContextManager[Connection]:
        return kept.lent(address, partial(connect, shop.url), answers)

    kept: Kept[Connection] = Kept(2)
    with closing(kept):
        with lent() as one, lent() as other:
            both = {pid(one), pid(other)}
        with lent() as again:
            assert pid(again) in both
        with shop.connect() as connection:
            connection.execute("select pg_terminate_backend(pid, 9999) from unnest(%s::int[]) pid", [list(both)])
        with lent() as mended:
            assert pid(mended) not in both
        assert one.closed
        assert other.closed
        with pytest.raises(psycopg.errors.DivisionByZero), lent() as failing:
            failing.execute("select 1 / 0")
        assert failing.closed
        with lent() as here:
            pass
        with lent("another address") as elsewhere:
            assert here.closed, "more are open than were in use at once"
    assert elsewhere.closed


def test_a_reading_that_fails_gives_its_place_to_the_next(shop: Shop) -> None:
    settings = Settings(workers=1, database_limit=1, retries=1, retry_seconds=0.01)
    shop.execute("drop table part_1", "create view part_1 as select 1 / (random() * 0)::integer as id")
    failed = assay.run(part_of(shop, "all", TABLES), warehouse=shop.lake, settings=settings, as_of=DAY)
    assert failed.state == "failed"
    told = {name: (node.status, node.attempts) for name, node in failed.nodes.items()}
    assert told == {f"raw_{name}": ("failed", 2) if name == "part_1" else ("written", 1) for name in TABLES}


def test_an_interrupted_run_ends_also_what_waits_to_read(shop: Shop) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, NodeEnded):
            raise KeyboardInterrupt

    settings, everything = Settings(workers=2, database_limit=1), part_of(shop, "everything", TABLES)
    with locked(shop, *TABLES[1:]), pytest.raises(KeyboardInterrupt):
        assay.run(everything, warehouse=shop.lake, settings=settings, as_of=DAY, observers=[interrupt])
    assert [run.problems for run in assay.history(shop.lake)] == [("it was interrupted",)]
