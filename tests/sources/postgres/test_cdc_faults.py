"""Mode cdc where something is in its way: rights, settings, replicas, restarts and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

import assay
from assay import SourceError
from assay.model.database import Mode
from assay.settings import Settings
from assay.warehouses.postgres.scratch import strike
from assay.warehouses.postgres.server.embedded import embedded
from tests.sources.postgres.shop import DAY, Shop, opened
from tests.sources.postgres.test_cdc import assert_same
from tests.sources.postgres.test_faults import BUSY, replica

KILLED = """
import sys
from contextlib import closing
from datetime import date
from pathlib import Path
from assay import assembly, platform
from assay.model.run import RunOptions
from assay.orchestrators.embedded import Embedded
from assay.runtime.lanes import Lanes
from assay.proof.crashing.points import Point, Points
from tests.sources.postgres.shop import Shop

url, lake, mode, when = sys.argv[1:]
settings = assembly.current_settings()
points = Points(Point("publish", 1, when))
with closing(assembly.engine(settings, None)) as engine:
    warehouse = points.warehouse(assembly.warehouse(settings, lake, create=True))
    shop = Shop(url, Path(lake), mode=mode, mirrors=True, deletes=True)
    Embedded(engine, warehouse, settings, Lanes()).run(shop.pipeline, RunOptions(as_of=date(2026, 3, 1)))
"""


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """The shop, whose changes are read from the log; its sources are published."""
    shop.mode, shop.mirrors = "cdc", True
    return shop


@pytest.fixture
def role(shop: Shop) -> Iterator[str]:
    """A role that may read the tables, and no more."""
    name = f"reader_{os.getpid()}"
    shop.execute(f"create role {name} login", f"grant select on orders, customers to {name}")
    yield name
    shop.execute(f"drop owned by {name}", f"drop role {name}")


def test_what_the_role_lacks_is_told_as_sql_until_it_has_it(shop: Shop, role: str) -> None:
    own = shop.url
    shop.url = own.replace("assay@", f"{role}@")
    with pytest.raises(SourceError, match="may not read changes") as refused:
        shop.run()
    remedy = str(refused.value).split("\n", 1)[1]
    assert remedy == f'ALTER ROLE "{role}" REPLICATION;'
    with psycopg.connect(own, autocommit=True) as administrator:
        administrator.execute(remedy.encode())
    with pytest.raises(SourceError, match="Have an administrator run:") as refused:
        shop.run()
    statements = [line for line in str(refused.value).splitlines() if line.startswith("CREATE PUBLICATION")]
    with psycopg.connect(own, autocommit=True) as administrator:
        for statement in statements:
            administrator.execute(statement.encode())
    assert shop.run().state == "published"
    shop.execute("select 1")
    with psycopg.connect(own, autocommit=True) as writer:
        writer.execute("delete from orders where id = 1")
    assert shop.run().tables["raw_orders"].ledger.deleted == 1
    shop.url = own


def test_a_server_whose_log_tells_no_rows_is_told_with_the_remedy(postgres_url: str, tmp_path: Path) -> None:
    shop = opened(postgres_url, tmp_path)
    shop.mode = "cdc"
    with pytest.raises(SourceError, match="ALTER SYSTEM SET wal_level = 'logical'"):
        shop.run()


def test_a_table_whose_rows_are_told_apart_otherwise_is_refused_with_the_remedy(shop: Shop) -> None:
    shop.execute(
        "alter table orders add code int not null default 0",
        "update orders set code = id",
        "create unique index codes on orders (code)",
        "alter table orders replica identity using index codes",
    )
    shop.more = {"code": "INTEGER"}
    with pytest.raises(SourceError, match="apart by code, and not by its primary key") as refused:
        shop.run()
    shop.execute(str(refused.value).splitlines()[-1])
    assert shop.run().state == "published"


def test_a_mirror_reads_tables_whole_whose_changes_no_log_tells(shop: Shop) -> None:
    shop.execute(
        "create table parted (id int primary key) partition by range (id)",
        "create table parted_all partition of parted default",
        "create unlogged table passing (id int primary key)",
        "insert into parted values (1), (2)",
        "insert into passing values (1)",
    )
    for _ in range(2):
        assay.sync(shop.url, warehouse=shop.lake, mode="cdc", as_of=DAY)
        shop.execute("update parted set id = 3 where id = 2", "insert into passing values (2) on conflict do nothing")
    with assay.connect(shop.lake) as connection:
        assert connection.execute("select id from raw.parted order by id").fetchall() == [(1,), (3,)]
        assert connection.execute("select id from raw.passing order by id").fetchall() == [(1,), (2,)]


@pytest.mark.faults
@pytest.mark.row("004-28")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("mode", ["horizon", "full", "cdc"])
def test_a_run_that_is_killed_at_its_publish_is_read_exactly_once(shop: Shop, mode: Mode, when: str) -> None:
    """By a watermark, by comparing all rows, by the log."""
    shop.mode, shop.deletes = mode, True
    shop.run()
    shop.execute(
        "insert into orders (id, customer_id, amount) values (10, 1, 5)",
        "update orders set status = 'paid', updated_at = now() where id = 1",
        "delete from orders where id = 2",
    )
    command = [sys.executable, "-c", KILLED, shop.url, str(shop.lake), mode, when]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(Path.cwd())}, check=False)
    assert killed.returncode == -signal.SIGKILL
    again = shop.run()
    ledger = again.tables["raw_orders"].ledger
    changes = (ledger.inserted, ledger.updated, ledger.deleted)
    assert (again.state, changes) == (("published", (1, 1, 1)) if when == "before" else ("unchanged", (0, 0, 0)))
    assert_same(shop)


@pytest.mark.faults
def test_a_server_that_restarts_while_its_log_is_read_is_asked_again(tmp_path: Path) -> None:
    """A lock on a table that is read whole holds up the run between the log and its snapshot."""
    folder = tmp_path / "server"
    with embedded(folder) as url:
        shop = opened(url, tmp_path)
        shop.execute("alter system set wal_level = logical")
    with embedded(folder):
        shop.mode, shop.mirrors = "cdc", True
        shop.run()
        shop.execute("update orders set note = 'before' where id = 1", "alter table customers add extra int")
    with ExitStack() as servers:
        servers.enter_context(embedded(folder))
        with shop.running(full=True, settings=Settings(retries=5, retry_seconds=1.0)) as reading:
            writer = shop.connect()
            writer.execute("begin")
            writer.execute("lock table customers in access exclusive mode")
            shop.wait_for(BUSY)
            strike(folder)
            writer.close()
            servers.enter_context(embedded(folder))
            shop.execute("update orders set note = 'after' where id = 2")
            assert reading().tables["raw_orders"].attempts > 1
        shop.execute("delete from orders where id = 3")
        shop.run()
        assert_same(shop)


@pytest.mark.faults
def test_a_replica_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    with embedded(folder) as url:
        shop = opened(url, tmp_path)
        shop.execute("alter system set wal_level = logical")
    with embedded(folder), replica(folder, tmp_path / "replica") as copy:
        shop.mode, shop.url = "cdc", copy
        with pytest.raises(SourceError, match="is a replica"):
            shop.run()


@pytest.mark.faults
def test_a_transaction_that_stays_open_when_the_slot_is_made_is_waited_for(shop: Shop) -> None:
    with shop.connect() as writer:
        writer.execute("begin")
        writer.execute("insert into orders (id, customer_id, amount) values (10, 1, 5)")
        with shop.running() as reading:
            shop.wait_for("select 1 from pg_stat_activity where application_name = 'assay'")
            writer.execute("insert into customers values (10, 'late')")
            writer.execute("commit")
            assert reading().state == "published"
    assert_same(shop)
