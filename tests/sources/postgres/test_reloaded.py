"""Tables that are loaded anew while a run begins: an older snapshot would find them empty, and say nothing."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import cycle

import psycopg
import pytest

import assay
from assay import Pipeline, SourceError, postgres, relation
from assay.model.database import Mode
from assay.settings import Settings
from tests.sources.postgres.shop import DAY, Shop

WAITS = "select 1 from pg_stat_activity where application_name = 'assay' and wait_event_type = 'Lock'"
FILL = "insert into items select n, 'new' from generate_series(1, 5) n"
PARTS = (
    "drop table items",
    "create table items (id int primary key, name text) partition by range (id)",
    "create table items_all partition of items for values from (0) to (100)",
    "insert into items values (1, 'old')",
)
SWAP = (
    "create table staged (like items including all)",
    "insert into staged select n, 'new' from generate_series(1, 5) n",
)
ATTACH = (
    "alter table items detach partition items_all; alter table items attach partition {} for values from (0) to (100)"
)


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """A shop with one more table, of one row."""
    shop.execute("create table items (id int primary key, name text)", "insert into items values (1, 'old')")
    return shop


def mirror(shop: Shop, mode: Mode) -> assay.RunResult:
    return assay.sync(shop.url, warehouse=shop.lake, tables=["items", "customers"], mode=mode, as_of=DAY)


def items(shop: Shop) -> list[tuple[object, ...]]:
    with assay.connect(shop.lake) as connection:
        return connection.execute("select id, name from raw.items order by id").fetchall()


@pytest.mark.parametrize("mode", ["xmin", "horizon", "full"])
@pytest.mark.parametrize(
    ("before", "meanwhile"),
    [
        ((), ("truncate items", FILL)),
        ((), ("drop table items; create table items (id int primary key, name text)", FILL)),
        ((), ("alter table items alter column name type varchar(50)", FILL.replace("(1, 5)", "(2, 5)"))),
        (
            (),
            (
                "create table next (like items including all)",
                "drop table items; alter table next rename to items",
                FILL,
            ),
        ),
        (PARTS, ("truncate items_all", FILL)),
        ((*PARTS, SWAP[0]), (SWAP[1], ATTACH.format("staged"))),
        (PARTS, (*SWAP, ATTACH.format("staged"))),
    ],
    ids=["truncated", "made anew", "rewritten", "renamed", "partition truncated", "swapped", "new partition"],
)
def test_what_is_loaded_while_a_run_begins_is_published_whole(
    shop: Shop, mode: Mode, before: tuple[str, ...], meanwhile: tuple[str, ...]
) -> None:
    shop.execute(*before)
    mirror(shop, mode)
    with closing(psycopg.connect(shop.url)) as writer:
        for statement in meanwhile:
            writer.execute(statement.encode())
        both = "update customers set name = 'loaded, too', updated_at = now()"
        writer.execute(both)
        reading = threading.Thread(target=mirror, args=(shop, mode))
        reading.start()
        shop.wait_for(WAITS)
        writer.commit()
        reading.join()
        there = writer.execute("select id, name from items order by id").fetchall()
    assert items(shop) == there
    assert len(there) == 5
    # What was written together is of one moment.
    with assay.connect(shop.lake) as connection:
        assert connection.execute("select distinct name from raw.customers").fetchall() == [("loaded, too",)]
    assert mirror(shop, mode).state == "unchanged"


@pytest.mark.parametrize("kind", ["view", "materialized view"])
def test_what_shows_other_tables_is_read_again_where_they_were_loaded(shop: Shop, kind: str) -> None:
    shop.execute(f"create {kind} shown as select * from items")
    shown = relation("shown", columns={"id": "INTEGER", "name": "VARCHAR"}, publish=True)
    pipeline = Pipeline(
        "shown", tables=[], layers=["raw"], sources=postgres(shop.url, mode="full", tables={"raw_items": shown})
    )
    with closing(psycopg.connect(shop.url)) as writer:
        writer.execute("truncate items")
        writer.execute(FILL)
        if kind == "materialized view":
            writer.execute("refresh materialized view shown")
        reading = threading.Thread(target=assay.run, args=(pipeline,), kwargs={"warehouse": shop.lake, "as_of": DAY})
        reading.start()
        shop.wait_for(WAITS)
        writer.commit()
        reading.join()
    assert [row[1] for row in items(shop)] == ["new"] * 5


def test_a_table_that_is_loaded_again_and_again_is_named(shop: Shop) -> None:
    ended, ready = threading.Event(), threading.Event()
    loading = threading.Thread(target=keep_loading, args=(shop, ready, ended))
    loading.start()
    assert ready.wait(30)
    try:
        with pytest.raises(SourceError, match=r"items.: whenever it was about to be read, another transaction had"):
            assay.sync(shop.url, warehouse=shop.lake, tables=["items"], settings=Settings(retries=0), as_of=DAY)
    finally:
        ended.set()
        loading.join()
    assert mirror(shop, "xmin").state == "published"
    assert len(items(shop)) == 5


def keep_loading(shop: Shop, ready: threading.Event, ended: threading.Event) -> None:
    """Load the items whenever they are about to be read: the next to do so waits in line before one commits."""
    lock = "lock table items in access exclusive mode"
    with closing(psycopg.connect(shop.url)) as even, closing(psycopg.connect(shop.url)) as odd:
        even.execute(lock)
        ready.set()
        for one, next_one in cycle(((even, odd), (odd, even))):
            with shop.connect() as looking:
                while not looking.execute(WAITS).fetchall() and not ended.wait(0.01):
                    pass
            if ended.is_set():
                return
            one.execute("truncate items")
            one.execute(FILL)
            waiting = threading.Thread(target=next_one.execute, args=(lock,))
            waiting.start()
            shop.wait_for(f"select 1 from pg_locks where pid = {next_one.info.backend_pid} and not granted")
            one.commit()
            waiting.join()
