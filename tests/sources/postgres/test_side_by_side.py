"""Tables of a database are read side by side, in one snapshot, by as many connections as there are workers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

import assay
from assay import RunResult
from assay.settings import Settings
from tests.sources.postgres.shop import DAY, Shop

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
    return assay.sync(shop.url, warehouse=shop.lake, tables=["part_*"], settings=Settings(workers=2), as_of=DAY)


@pytest.mark.row("002-08")
def test_two_workers_read_six_tables_side_by_side_by_two_connections_that_see_one_snapshot(shop: Shop) -> None:
    for name in TABLES:
        shop.execute(f"create table {name} (id int primary key)", f"insert into {name} values (1), (2)")
    with ThreadPoolExecutor(1) as pool, locked(shop, *TABLES[4:]):
        with locked(shop, *TABLES[:2]):
            syncing = pool.submit(mirror, shop)
            first = readers(shop)
            shop.execute("insert into part_3 values (3)", "insert into orders values (9, 9, 'late', 9)")
        last = readers(shop)
        assert len(set(first.values())) == 1, "they see two snapshots"
        assert (len(first), last) == (2, first), "connections are opened for tables, or more than there are workers"
    found = syncing.result()
    assert (found.state, {name: node.rows for name, node in found.tables.items()}) == (
        "published",
        {f"raw_{name}": 2 for name in TABLES},
    )
