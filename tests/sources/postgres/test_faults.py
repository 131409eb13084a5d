"""A server that fails, a run that is killed, a table that fails: what is published is of one moment, or as before."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from narwhals import LazyFrame

import assay
from assay import Merge, Pipeline, SourceError, table
from assay.model.database import Mode
from assay.settings import Settings
from assay.warehouses.postgres.scratch import strike
from assay.warehouses.postgres.server.account import Account
from assay.warehouses.postgres.server.binaries import find_binaries
from assay.warehouses.postgres.server.embedded import embedded
from tests.sources.postgres.shop import DAY, Shop, gold_revenue, opened

BUSY = "select 1 from pg_stat_activity where application_name = 'assay' and wait_event_type = 'Lock'"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Path]:
    """The folder of a server that runs, for this test alone."""
    with embedded(tmp_path / "server"):
        yield tmp_path / "server"


@contextmanager
def replica(server: Path, folder: Path) -> Iterator[str]:
    """Run a copy of a server that follows it, and yield the address of its database."""
    with embedded(folder):
        pass  # and so it is a folder of a server
    shutil.rmtree(folder / "data")
    with embedded(server) as url:
        owner = (server / "data").stat()
        account = Account(owner.st_uid, owner.st_gid)
        # It is this user who copies, whom no folder above keeps from the programs.
        programs = find_binaries(Account(os.geteuid(), os.getegid()), server).folder
        found = psycopg.conninfo.conninfo_to_dict(url.replace("+psycopg", ""))
        subprocess.run(
            [programs / "pg_basebackup", "-R", "-D", folder / "data", "-h", found["host"], "-U", "assay"], check=True
        )
        for path in (folder / "data", *(folder / "data").rglob("*")):
            account.owns(path)
        with embedded(folder) as copy:
            yield copy.replace("+psycopg", "")


def shop_of(server: Path, folder: Path) -> Shop:
    with embedded(server) as url:
        return opened(url, folder)


@pytest.mark.faults
@pytest.mark.row("002-07", "002-08")
@pytest.mark.parametrize("mode", ["horizon", "xmin"])
def test_a_server_that_restarts_while_it_is_read_is_read_again_in_one_snapshot(
    own_server: Path, tmp_path: Path, mode: Mode
) -> None:
    """The notes of all orders and the names of all customers are changed together: both tables must agree."""
    shop = shop_of(own_server, tmp_path)
    shop.mode, shop.mirrors = mode, True
    both = (
        "begin; update orders set note = '{0}', updated_at = now(); "
        "update customers set name = '{0}', updated_at = now(); commit"
    )
    shop.execute(both.format("before"))
    shop.run()
    shop.execute(both.format("between"))
    patient = Settings(retries=5, retry_seconds=1.0)
    with shop.running(settings=patient) as reading, ExitStack() as again:
        writer = shop.connect()
        # Orders may be read, customers wait.
        writer.execute("begin")
        writer.execute("lock table customers in access exclusive mode")
        shop.wait_for(BUSY)
        strike(own_server)
        writer.close()
        again.enter_context(embedded(own_server))
        shop.execute(both.format("after"))
        result = reading()
    assert result.state == "published"
    assert result.nodes["raw_orders"].attempts > 1
    with assay.connect(shop.lake) as connection:
        (orders,) = connection.execute("select distinct note from raw.orders").fetchall()
        (customers,) = connection.execute("select distinct name from raw.customers").fetchall()
    assert orders == customers
    assert orders != ("before",)


KILLED = """
import sys
from pathlib import Path
from typing import Any
from tests.sources.postgres.shop import Shop
shop = Shop(sys.argv[1], Path(sys.argv[2]), deletes=True)
shop.run()
"""


@pytest.mark.faults
@pytest.mark.row("002-05")
def test_a_run_that_is_killed_while_it_reads_leaves_what_was_there_and_the_next_gives_all(
    shop: Shop, tmp_path: Path
) -> None:
    shop.deletes = True
    shop.run()
    before = shop.here()
    shop.execute(
        "insert into orders (id, customer_id, amount) values (10, 1, 5)",
        "delete from orders where id = 2",
        "update orders set status = 'paid', updated_at = now() where id = 1",
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with shop.connect() as writer:
        writer.execute("begin")
        writer.execute("lock table customers in access exclusive mode")
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, shop.url, shop.lake],
            env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(Path.cwd())},
        )
        shop.wait_for(BUSY)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert shop.here() == before
    shop.wait_for("select 1 where not exists (select from pg_stat_activity where application_name = 'assay')")
    with pytest.MonkeyPatch.context() as environment:
        environment.setattr("tempfile.tempdir", str(temporary))
        assert shop.run().state == "published"
    assert shop.here() == shop.there()
    assert list(temporary.iterdir()) == []


@pytest.mark.faults
def test_a_run_that_is_interrupted_while_it_reads_ends_at_once(shop: Shop) -> None:
    with shop.connect() as writer:
        writer.execute("begin")
        writer.execute("lock table customers in access exclusive mode")
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, shop.url, shop.lake],
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            stderr=subprocess.PIPE,
        )
        shop.wait_for(BUSY)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
        assert b"KeyboardInterrupt" in said
    assert shop.run().state == "published"
    assert shop.here() == shop.there()


@pytest.mark.row("002-07")
def test_a_resume_uses_what_was_staged_and_asks_the_database_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", shop.url)
    url, shop.url = shop.url, "env:SHOP_URL"

    @table(write=Merge(), key="id")
    def silver_orders(orders: LazyFrame[Any]) -> Any:
        """No status is a number."""
        return assay.sql("select * replace (cast(status as bigint)::varchar as status) from o", o=orders)

    settings, sources = Settings(retries=0), shop.pipeline.sources
    failing = Pipeline("shop", tables=[silver_orders, gold_revenue], sources=sources)
    assert assay.run(failing, warehouse=shop.lake, settings=settings, as_of=DAY).state == "failed"
    monkeypatch.setenv("SHOP_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    result = assay.resume(shop.pipeline, warehouse=shop.lake, settings=settings)
    assert result.state == "published"
    shop.url = url
    assert shop.here() == shop.there()


@pytest.mark.faults
def test_a_password_that_is_wrong_is_shown_nowhere(own_server: Path, tmp_path: Path) -> None:
    word = "hunter" + "22"
    with embedded(own_server) as url:
        plain = url.replace("+psycopg", "")
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(f"create role locked login password '{word[::-1]}'")
            hba = own_server / "data" / "pg_hba.conf"
            hba.write_text("local all locked scram-sha-256\n" + hba.read_text())
            connection.execute("select pg_reload_conf()")
        (tmp_path / "assay.toml").write_text('[pipelines]\nshop = "project:pipeline"\n')
        (tmp_path / "project.py").write_text(
            "from pathlib import Path\nfrom tests.sources.postgres.shop import Shop\n"
            "pipeline = Shop('env:SHOP_URL', Path('lake')).pipeline\n"
        )
        address = plain.replace("assay@", f"locked:{word}" + "@")
        for more in ([], ["--json"], ["--debug"], ["--log", "json"]):
            said = subprocess.run(
                [Path(sys.executable).parent / "assay", "run", "shop", "--warehouse", "lake", *more],
                cwd=tmp_path,
                env={**os.environ, "SHOP_URL": address, "PYTHONPATH": str(Path.cwd())},
                capture_output=True,
                text=True,
                check=False,
            )
            assert said.returncode == 2
            assert "password authentication failed" in said.stdout + said.stderr
            assert word not in said.stdout + said.stderr
    for path in (tmp_path / "lake").rglob("*"):
        assert path.is_dir() or word.encode() not in path.read_bytes()


@pytest.mark.faults
def test_a_replica_is_refused_but_for_a_reading_of_all(own_server: Path, tmp_path: Path) -> None:
    with embedded(own_server) as url:
        shop = opened(url, tmp_path)
        with replica(own_server, tmp_path / "replica") as copy:
            shop.url = copy
            with pytest.raises(SourceError, match="is a replica, which does not know what its primary is about"):
                shop.run()
            shop.mode = "full"
            assert shop.run().state == "published"
            assert shop.here() == shop.there()
