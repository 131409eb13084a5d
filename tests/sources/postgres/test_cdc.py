"""Mode cdc: whatever is done to the tables of a database between two runs, what is published is what is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

import assay
from assay import Pipeline
from assay.queries import quarantine
from assay.settings import Settings
from tests.sources.postgres.shop import DAY, Shop

SLOTS = "select slot_name, (confirmed_flush_lsn - '0/0')::int8, (restart_lsn - '0/0')::int8 from pg_replication_slots"
LOG = "changes as the log tells them"
LARGE = "(select string_agg(md5(n::text), '') from generate_series(1, 32768) n)"
"""A text of 1 MB that does not get smaller by being compressed."""
LENIENT = Settings(rejected_share=0.9)


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """The shop, whose changes are read from the log; its sources are published."""
    shop.mode, shop.mirrors = "cdc", True
    return shop


def published(shop: Shop, table: str, where: Path | str | None = None) -> list[tuple[Any, ...]]:
    """Return the rows of a table that are published."""
    with assay.connect(where or shop.lake) as connection:
        return connection.execute(f"select * from raw.{table} order by 1").fetchall()


def assert_same(shop: Shop) -> None:
    """Both tables are published as they are."""
    with shop.connect() as connection:
        for table, columns in (("orders", "id, customer_id, status, amount, note"), ("customers", "id, name")):
            there = connection.execute(f"select {columns} from {table} order by id".encode()).fetchall()
            with assay.connect(shop.lake) as lake:
                assert lake.execute(f"select {columns} from raw.{table} order by id").fetchall() == there


def slots(shop: Shop) -> list[tuple[str, int, int]]:
    """The name, place and oldest log of the slots of the database."""
    with shop.connect() as connection:
        query = f"{SLOTS} where database = current_database() order by 1"
        return [(str(name), int(place), int(oldest)) for name, place, oldest in connection.execute(query.encode())]


def told(result: assay.RunResult) -> list[str]:
    """What was told of the log."""
    return [v.detail for node in result.nodes.values() for v in node.verdicts if v.check == LOG]


def only_orders(shop: Shop) -> Pipeline:
    """The same pipeline without the customers."""
    found = shop.pipeline
    return Pipeline("mirror", tables=[], layers=["raw"], sources={"raw_orders": found.sources["raw_orders"]})


def run_of(pipeline: Pipeline, shop: Shop) -> assay.RunResult:
    return assay.run(pipeline, warehouse=shop.lake, as_of=DAY)


def test_every_kind_of_change_is_published(shop: Shop) -> None:
    shop.run()
    shop.execute(
        "insert into orders (id, customer_id, amount, note) values (4, 1, 4, ''), (5, 1, 5, null)",
        "update orders set status = 'paid' where id = 1",
        "delete from orders where id = 2",
        "update orders set id = 30 where id = 3",
        "begin; insert into orders (id, customer_id, amount) values (6, 1, 6); rollback",
        "begin; update orders set note = 'kept' where id = 4; savepoint s; delete from orders; rollback to s; commit",
        "insert into customers values (7, 'came and went')",
        "delete from customers where id = 7",
    )
    ledger = shop.run().tables["raw_orders"].ledger
    assert (ledger.inserted, ledger.updated, ledger.deleted) == (3, 1, 2)
    assert_same(shop)
    assert shop.run().state == "unchanged"


def test_a_table_that_was_emptied_and_filled_again_has_what_came_since(shop: Shop) -> None:
    shop.run()
    shop.execute(
        "insert into orders (id, customer_id, amount) values (4, 1, 4)",
        "truncate orders, customers",
        "insert into orders (id, customer_id, amount) values (2, 9, 9)",
    )
    shop.run()
    assert_same(shop)
    assert [len(published(shop, table)) for table in ("orders", "customers")] == [1, 0]


def test_transactions_that_cross_a_reading_come_with_their_commit(shop: Shop) -> None:
    shop.run()
    with shop.connect() as one, shop.connect() as other:
        one.execute("begin")
        one.execute("update orders set note = 'one' where id = 1")
        other.execute("begin")
        other.execute("update orders set note = 'other' where id = 2")
        other.execute("insert into customers values (8, 'other')")
        other.execute("commit")
        assert shop.run().state == "published"
        assert [row[4] for row in published(shop, "orders")] == [None, "other", None]
        one.execute("commit")
    shop.run()
    assert_same(shop)


def test_a_large_value_that_no_change_has_touched_stays(shop: Shop) -> None:
    shop.execute("alter table orders alter note set storage external", f"update orders set note = {LARGE} where id < 3")
    shop.run()
    shop.execute("update orders set status = 'paid' where id = 1", "update orders set id = 20 where id = 2")
    found = shop.run()
    assert found.tables["raw_orders"].ledger.updated == 1
    assert_same(shop)
    assert [len(row[4] or "") for row in published(shop, "orders")] == [32 << 15, 0, 32 << 15]


def test_a_row_that_fits_no_more_is_rejected_and_comes_back_mended(shop: Shop) -> None:
    shop.execute("alter table orders alter amount type numeric")
    shop.run()
    shop.execute("update orders set amount = 'NaN' where id = 1")
    assert shop.run(settings=LENIENT).tables["raw_orders"].ledger.rejected == 1
    assert [row[0] for row in published(shop, "orders")] == [2, 3]
    shop.execute("update orders set status = 'paid' where id = 1")
    shop.run(settings=LENIENT)
    assert [row[0] for row in published(shop, "orders")] == [2, 3]
    shop.execute("update orders set amount = 7 where id = 1")
    shop.run()
    assert_same(shop)
    assert quarantine(shop.lake)[1] == []


def test_a_large_value_of_a_rejected_row_is_known_when_the_row_is_mended(shop: Shop) -> None:
    shop.execute(
        "alter table orders alter amount type numeric",
        "alter table orders alter note set storage external",
        f"update orders set note = {LARGE}, amount = 'NaN' where id = 1",
    )
    shop.run(settings=LENIENT)
    shop.execute("update orders set amount = 7 where id = 1")
    found = shop.run()
    assert_same(shop)
    assert "orders: 1 changed rows stand in no table here, as rejected ones do not" in told(found)[0]


def test_columns_that_come_go_and_change_their_names_in_mid_stream(shop: Shop) -> None:
    shop.run()
    shop.execute(
        "update orders set note = 'before' where id = 1",
        "alter table orders add extra text default 'more'",
        "update orders set note = 'after' where id = 2",
    )
    assert told(shop.run()) == []
    assert_same(shop)
    shop.execute("alter table orders drop extra", "update orders set note = 'without' where id = 3")
    assert told(shop.run()) == []
    assert_same(shop)
    shop.execute(
        "alter table orders rename note to remark",
        "update orders set remark = 'hidden' where id = 1",
        "alter table orders rename remark to note",
    )
    assert [text.split(":")[0] for text in told(shop.run())] == ["public.orders"] * 2
    assert_same(shop)
    assert told(shop.run()) == []


@pytest.mark.faults
def test_a_table_that_is_left_out_and_read_again_is_read_whole_with_the_others(shop: Shop) -> None:
    shop.run()
    run_of(only_orders(shop), shop)
    shop.execute("update customers set name = 'unheard' where id = 1", "update orders set note = 'heard' where id = 1")
    run_of(only_orders(shop), shop)
    shop.execute("update orders set note = 'again' where id = 2", "insert into customers values (9, 'new')")
    shop.run()
    assert_same(shop)
    shop.execute("update customers set name = 'heard' where id = 1")
    found = shop.run().tables["raw_customers"].ledger
    assert (found.returned, found.updated) == (1, 1)
    assert_same(shop)


@pytest.mark.faults
def test_what_was_written_while_the_publication_lacked_a_table_is_not_missed(shop: Shop) -> None:
    """It may be changed by hand, or by a run that was killed."""
    shop.run()
    ((name, _, _),) = slots(shop)
    shop.execute(
        f"alter publication {name} drop table orders",
        "update orders set note = 'unheard' where id = 1",
        f"alter publication {name} add table orders",
    )
    shop.run()
    assert_same(shop)
    shop.execute(
        f"alter publication {name} set (publish = 'insert')",
        "delete from orders where id = 1",
        f"alter publication {name} set (publish = 'insert, update, delete, truncate')",
    )
    shop.run()
    assert_same(shop)


def test_all_is_read_where_that_is_asked_for_and_the_log_goes_on_from_there(shop: Shop) -> None:
    shop.run()
    shop.execute("update orders set note = 'one' where id = 1")
    assert shop.run(full=True).tables["raw_orders"].ledger.returned == 3
    shop.execute("update orders set note = 'two' where id = 2")
    assert shop.run().tables["raw_orders"].ledger.returned <= 2
    assert_same(shop)


@pytest.mark.faults
def test_after_an_undo_the_log_is_read_again_or_all_where_the_server_has_forgotten_it(shop: Shop) -> None:
    shop.run()
    shop.execute("update orders set note = 'changed' where id = 1")
    second = shop.run().run
    shop.execute("update orders set note = 'changed again' where id = 1")
    shop.run()
    assay.undo(warehouse=shop.lake)
    found = shop.run()
    assert found.tables["raw_orders"].ledger.returned == 1
    assert_same(shop)
    assert told(found) == []
    shop.execute("update customers set name = 'other' where id = 1")
    shop.run()
    shop.run()
    assay.undo(second, warehouse=shop.lake)
    assert "a run was undone" in told(shop.run())[0]
    assert_same(shop)


@pytest.mark.faults
def test_a_slot_that_is_gone_or_was_read_by_others_is_told_and_all_is_read(shop: Shop) -> None:
    shop.run()
    ((name, _, _),) = slots(shop)
    shop.execute(f"select pg_drop_replication_slot('{name}')", "update orders set note = 'unheard' where id = 1")
    assert told(shop.run())[0] == (
        f"The slot '{name}' is gone, and with it the changes since the last run. All rows were read."
    )
    assert_same(shop)
    shop.execute(
        "update orders set note = 'stolen' where id = 2",
        f"select pg_replication_slot_advance('{name}', pg_current_wal_lsn())",
    )
    assert "another program has read from it" in told(shop.run())[0]
    assert_same(shop)
    # Also where nothing was written meanwhile: the new slot is the one that counts.
    shop.execute(f"select pg_drop_replication_slot('{name}')")
    assert len(told(shop.run())) == 2
    assert told(shop.run()) == []


@pytest.mark.faults
def test_the_log_that_was_read_is_let_go_though_nothing_has_changed_for_this_pipeline(shop: Shop) -> None:
    shop.run()
    shop.execute("create table noise (id int)")
    places = []
    for _ in range(4):
        shop.execute("insert into noise select generate_series(1, 20000)", "checkpoint")
        assert shop.run().state == "unchanged"
        places.append(slots(shop)[0][1:])
    assert places == sorted(set(places))
    confirmed, oldest = (end - start for start, end in zip(places[1], places[3], strict=True))
    assert min(confirmed, oldest) > 1_000_000


@pytest.mark.faults
def test_a_quiet_table_beside_a_busy_one_is_read_on_from_the_same_place(shop: Shop) -> None:
    shop.run()
    for number in range(3):
        shop.execute(f"update orders set note = '{number}' where id = 1")
        shop.run()
    shop.execute("update customers set name = 'at last' where id = 1")
    found = shop.run()
    assert [found.tables[name].ledger.returned for name in ("raw_orders", "raw_customers")] == [0, 1]
    assert_same(shop)


@pytest.mark.faults
def test_two_pipelines_and_two_warehouses_each_read_the_log_for_themselves(shop: Shop, tmp_path: Path) -> None:
    other = replace(shop, lake=tmp_path / "other", mirrors=False)
    second = replace(shop, lake=tmp_path / "second")
    for each in (shop, other, second):
        each.run()
    shop.execute("update orders set note = 'seen by all', status = 'paid' where id = 1")
    for each in (shop, other, second):
        assert each.run().state == "published"
    assert_same(shop)
    assert_same(second)
    assert other.here() == shop.there()
    assert len(slots(shop)) == 3


def test_into_another_database_every_kind_of_change_and_large_values_come_too(shop: Shop, postgres_url: str) -> None:
    target = postgres_url.replace("+psycopg", "")

    def brought() -> list[tuple[Any, ...]]:
        assay.sync(shop.url, warehouse=target, mode="cdc", migrate=True, as_of=DAY)
        with psycopg.connect(target) as connection:
            return connection.execute("select id, status, amount, md5(note) from raw.orders order by id").fetchall()

    shop.execute("alter table orders alter note set storage external", f"update orders set note = {LARGE} where id < 3")
    assert brought() == shop.there("id, status, amount, md5(note)")
    shop.execute(
        "update orders set status = 'paid' where id = 1",
        "update orders set id = 20 where id = 2",
        "delete from orders where id = 3",
        "insert into orders (id, customer_id, amount) values (4, 1, 4)",
    )
    assert brought() == shop.there("id, status, amount, md5(note)")
    shop.execute("truncate orders", "insert into orders (id, customer_id, amount, note) values (1, 1, 1, '')")
    assert brought() == shop.there("id, status, amount, md5(note)")
    assert told(assay.sync(shop.url, warehouse=target, mode="cdc", as_of=DAY)) == []
