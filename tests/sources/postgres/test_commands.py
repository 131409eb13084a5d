"""The commands that look at runs, prove them and take them back work on a pipeline that reads a database."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

import assay
from assay import UsageError
from assay.cli.app import main
from assay.proof.crashing.crashtest import Kills
from assay.proving import crashtest
from tests.sources.postgres.shop import DAY, Shop


def test_after_an_undo_what_was_read_is_read_again(shop: Shop) -> None:
    shop.deletes = True
    shop.run()
    before = shop.here()
    shop.execute(
        "update orders set status = 'paid', updated_at = now() where id = 1", "delete from orders where id = 3"
    )
    shop.run()
    after = shop.here()
    assay.undo(warehouse=shop.lake)
    assert shop.here() == before
    assert shop.run().state == "published"
    assert shop.here() == after == shop.there()


def test_all_tables_are_read_anew_by_full_and_none_by_backfill(shop: Shop) -> None:
    shop.run()
    shop.execute("insert into orders (id, customer_id, amount, updated_at) values (20, 1, 1, '1999-01-01')")
    shop.run(backfill=True)
    assert len(shop.here()) == 3
    shop.run(full=True)
    assert shop.here() == shop.there()


def test_a_selection_reads_all_tables_of_the_database_that_it_needs(shop: Shop) -> None:
    found = shop.run(select=["silver_orders"])
    assert found.state == "published"
    assert {"orders", "silver_orders"} <= {name for name, node in found.nodes.items() if node.status != "skipped"}


@pytest.fixture
def project(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which commands run the shop's pipeline."""
    monkeypatch.setenv("SHOP_URL", shop.url)
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.chdir(tmp_path)
    Path("assay.toml").write_text('warehouse = "lake"\n[pipelines]\nshop = "shop_of_a_test:pipeline"\n')
    Path("shop_of_a_test.py").write_text(
        "from pathlib import Path\nfrom tests.sources.postgres.shop import Shop\n"
        "pipeline = Shop('env:SHOP_URL', Path('lake'), deletes=True).pipeline\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def called(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command, and return what it prints."""
    with pytest.raises(SystemExit) as end:
        main(words)
    said, complained = capfd.readouterr()
    assert not end.value.code, (words, said, complained)
    return said


def test_commands_tell_of_a_database_as_of_files(project: Path, shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    call = partial(called, capfd)
    assert "orders" in call("plan", "shop")
    assert json.loads(call("plan", "shop", "--json"))["steps"]["orders"]["action"] == "run"
    call("run", "shop", "--as-of", DAY.isoformat())
    steps = json.loads(call("plan", "shop", "--json"))["steps"]
    assert steps["orders"] == {"action": "maybe", "reason": "orders may have changed"}
    shop.execute("update orders set status = 'paid', updated_at = now() where id = 1")
    call("run", "shop")
    assert "paid" in call("show", "silver_orders")
    assert "paid" not in call("show", "silver_orders", "--at", "1")
    assert "silver_orders" in call("diff", "1", "2")
    assert "paid" in call("diff", "1", "2", "--table", "silver_orders")
    assert "published" in call("history")
    assert "silver_orders" in call("where", "2", "--pipeline", "shop")
    assert os.environ["SHOP_URL"] not in call("history", "--json")


@pytest.mark.row("002-04")
@pytest.mark.faults
def test_a_proof_reads_the_database_once(project: Path) -> None:
    assert assay.prove("shop", batches=2, workers=2).ok


@pytest.mark.row("002-05")
@pytest.mark.faults
def test_a_crash_test_kills_runs_of_rows_that_were_read_once(project: Path, shop: Shop) -> None:
    shop.execute("insert into orders (id, customer_id, amount) select n, 1, 1 from generate_series(10, 99) n")
    with busy(shop):
        report = crashtest("shop", as_of=DAY, kills=Kills(points=6, times=4))
    assert report.ok
    assert report.points["next"] > 5


@contextmanager
def busy(shop: Shop) -> Iterator[None]:
    """Write to the shop all the time."""
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.05):
            shop.execute("update orders set amount = amount + 1, updated_at = now() where id = 1")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()


@pytest.mark.faults
def test_a_table_that_is_published_as_it_is_read_has_no_function_to_be_tried(project: Path) -> None:
    module, settings = Path("shop_of_a_test.py"), Path("assay.toml")
    Path("mirror_of_a_test.py").write_text(module.read_text().replace("deletes=True", "mirrors=True"))
    settings.write_text(settings.read_text() + 'mirror = "mirror_of_a_test:pipeline"\n')
    told = "raw_orders is published as its database has it, so there is no function to be tried."
    with pytest.raises(UsageError, match=told):
        crashtest("mirror", as_of=DAY)
    with pytest.raises(UsageError, match=told):
        assay.prove("mirror")


def test_files_may_stand_for_a_table(shop: Shop, tmp_path: Path) -> None:
    shop.run()
    with assay.connect(shop.lake) as connection:
        connection.execute(f"copy (select * from silver.orders where id < 3) to '{tmp_path}/orders.parquet'")
    found = assay.run(
        shop.pipeline, warehouse=tmp_path / "other", sources={"orders": f"{tmp_path}/orders.parquet"}, as_of=DAY
    )
    assert found.tables["silver_orders"].rows == 2
