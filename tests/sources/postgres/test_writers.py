"""Others write to a database in every way that PostgreSQL has while it is followed: what they wrote is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.model.database import Mode
from tests.sources.postgres.shop import Shop, opened

INCREMENTAL: tuple[Mode, ...] = ("horizon", "xmin")


@pytest.mark.row("002-02", "002-03")
@pytest.mark.parametrize("mode", INCREMENTAL)
def test_a_transaction_that_begins_early_and_writes_late_is_not_missed(shop: Shop, mode: Mode) -> None:
    shop.mode = mode
    with shop.connect() as writer:
        writer.execute("begin")
        writer.execute("select now()")  # by which its rows are stamped, however long it waits
        shop.run()
        shop.execute("update customers set name = 'other', updated_at = now() where id = 1")
        shop.run()
        writer.execute("insert into orders (id, customer_id, amount) values (10, 1, 5)")
        writer.execute("update orders set status = 'paid', updated_at = now() where id = 1")
        shop.execute("update customers set name = 'another', updated_at = now() where id = 2")
        shop.run()
        writer.execute("commit")
    shop.run()
    assert shop.here() == shop.there()


@pytest.mark.row("002-02", "002-03")
@pytest.mark.parametrize("mode", INCREMENTAL)
def test_equal_stamps_on_a_boundary_are_all_read(shop: Shop, mode: Mode) -> None:
    shop.mode = mode
    with shop.connect() as writer:
        writer.execute("begin")
        writer.execute("insert into orders (id, customer_id, amount) values (7, 1, 1)")
        ((moment,),) = writer.execute("select now()").fetchall()
        shop.execute(f"insert into orders (id, customer_id, amount, updated_at) values (8, 1, 1, '{moment}')")
        shop.run()
        assert [row[0] for row in shop.here()] == [1, 2, 3, 8]
        writer.execute("commit")
    shop.run()
    assert shop.here() == shop.there()
    assert [row[-1] for row in shop.here()][-2:] == [moment, moment]


@pytest.mark.parametrize("mode", INCREMENTAL)
def test_savepoints_that_are_kept_are_read_and_those_rolled_back_are_not(shop: Shop, mode: Mode) -> None:
    shop.mode = mode
    with shop.connect() as writer:
        writer.execute("begin")
        for number in range(10, 90):  # more than a server keeps in its memory for one transaction
            writer.execute("savepoint s")
            writer.execute("insert into orders (id, customer_id, amount) values (%s, 1, 5)", [number])
            writer.execute("rollback to s" if number % 2 else "release s")
        writer.execute("savepoint last")
        writer.execute("update orders set note = 'within', updated_at = now() where id = 1")
        shop.run()
        assert len(shop.here()) == 3
        writer.execute("commit")
    shop.run()
    assert len(shop.here()) == 43
    assert shop.here() == shop.there()


def test_a_prepared_transaction_is_read_whenever_it_is_committed(logical_url: str, tmp_path: Path) -> None:
    """Nobody can tell when it began: a server knows only when it was prepared."""
    shop = opened(logical_url, tmp_path)
    shop.mode = "horizon"
    with shop.connect() as writer:
        writer.execute("begin")
        # As though it had begun an hour ago.
        writer.execute(
            "insert into orders (id, customer_id, amount, updated_at) values (10, 1, 5, now() - interval '1 hour')"
        )
        writer.execute("prepare transaction 'later'")
        try:
            shop.run()
            shop.execute("insert into orders (id, customer_id, amount) values (11, 1, 6)")
            shop.run()
            assert [row[0] for row in shop.here()] == [1, 2, 3, 11]
        finally:
            writer.execute("commit prepared 'later'")
    shop.run()
    assert shop.here() == shop.there()
    shop.execute("update orders set note = 'by its stamp again', updated_at = now() where id = 11")
    shop.run()
    assert shop.here() == shop.there()


def test_a_session_that_hides_when_its_transactions_begin_is_not_trusted(shop: Shop) -> None:
    with shop.connect() as writer:
        writer.execute("set track_activities = off")
        writer.execute("begin")
        writer.execute(
            "insert into orders (id, customer_id, amount, updated_at) values (10, 1, 5, now() - interval '1 hour')"
        )
        shop.run()
        writer.execute("commit")
    shop.run()
    assert shop.here() == shop.there()


def test_rows_that_move_between_partitions_stay_one_row(shop: Shop) -> None:
    shop.mode, shop.deletes = "xmin", True
    shop.execute(
        "drop table orders",
        "create table orders (id bigint, customer_id bigint not null, status text not null default 'open', amount "
        "numeric(12,2) not null, note text, updated_at timestamptz not null default now(), primary key (id, status)) "
        "partition by list (status)",
        "create table orders_open partition of orders for values in ('open')",
        "create table orders_rest partition of orders default",
        "insert into orders select n, n, 'open', n, null, now() - interval '1 day' from generate_series(1, 5) n",
    )
    shop.key = ("id", "status")
    shop.run()
    shop.execute("update orders set status = 'paid', updated_at = now() where id in (2, 3)")
    shop.run()
    assert shop.here() == shop.there()
    assert [row[2] for row in shop.here()] == ["open", "paid", "paid", "open", "open"]
    shop.execute("alter table orders detach partition orders_rest")
    shop.run()
    assert [row[0] for row in shop.here()] == [1, 4, 5]


def test_a_table_that_was_made_anew_is_read_whole(shop: Shop) -> None:
    shop.mode = "horizon"
    shop.run()
    shop.execute(
        "alter table orders rename to old",
        "create table orders (like old including all)",
        "insert into orders (id, customer_id, amount, updated_at) values (2, 1, 77, '2001-01-01')",
        "drop table old",
    )
    found = shop.run()
    assert "made anew" in found.nodes["orders"].reason
    assert shop.here() == shop.there()
    assert found.nodes["orders"].ledger.deleted == 2


def test_a_table_that_was_emptied_is_empty_where_deletes_are_looked_for(shop: Shop) -> None:
    shop.mode, shop.deletes = "horizon", True
    shop.run()
    shop.execute("truncate orders")
    assert shop.run().nodes["orders"].ledger.deleted == 3
    assert shop.here() == []
    shop.execute("insert into orders (id, customer_id, amount) values (1, 1, 5)")
    shop.run()
    assert shop.here() == shop.there()


def test_a_key_that_changes_takes_the_old_one_along(shop: Shop) -> None:
    shop.mode, shop.deletes = "xmin", True
    shop.run()
    shop.execute("update orders set id = id + 100, updated_at = now() where id < 3")
    shop.run()
    assert [row[0] for row in shop.here()] == [3, 101, 102]
    assert shop.here() == shop.there()


@pytest.mark.parametrize("deletes", [False, True])
def test_a_backdated_row_that_the_horizon_cannot_see_is_told_by_the_count(shop: Shop, deletes: bool) -> None:
    shop.deletes = deletes
    shop.run()
    shop.execute("insert into orders (id, customer_id, amount, updated_at) values (20, 1, 1, '1999-01-01')")
    (verdict,) = shop.run().nodes["orders"].verdicts
    assert (verdict.check, verdict.broken) == ("rows as in the database", 1)
    shop.run(full=True)
    assert shop.here() == shop.there()


def test_stamps_without_a_zone_are_read_whatever_zone_their_session_is_in(shop: Shop) -> None:
    shop.execute(
        "alter table orders alter updated_at type timestamp", "alter table orders alter updated_at drop default"
    )
    shop.stamp = "TIMESTAMP"
    shop.run()
    for number, zone in enumerate(("Etc/GMT+12", "UTC", "Pacific/Kiritimati"), 10):
        with shop.connect() as writer:
            writer.execute(f"set timezone = '{zone}'")
            writer.execute(
                "insert into orders (id, customer_id, amount, updated_at) values (%s, 1, 1, now())", [number]
            )
        shop.run()
        assert shop.here() == shop.there()


@pytest.mark.parametrize("mode", INCREMENTAL)
def test_what_is_written_while_rows_are_read_comes_with_the_next_reading(shop: Shop, mode: Mode) -> None:
    """A lock holds the reading up between its snapshot and its rows."""
    shop.mode, shop.deletes = mode, True
    shop.run()
    with shop.connect() as writer:
        writer.execute("begin")
        writer.execute("lock table orders in access exclusive mode")
        with shop.running() as reading:
            shop.wait_for(
                "select 1 from pg_stat_activity where application_name = 'assay' and wait_event_type = 'Lock'"
            )
            writer.execute("insert into orders (id, customer_id, amount) values (10, 1, 5)")
            writer.execute("delete from orders where id = 3")
            writer.execute("commit")
            assert reading().state in ("published", "unchanged")
    shop.run()
    assert shop.here() == shop.there()


def test_a_stamp_that_is_null_is_read_each_time(shop: Shop) -> None:
    shop.execute(
        "alter table orders alter updated_at drop not null", "update orders set updated_at = null where id = 1"
    )
    shop.run()
    shop.execute("update orders set status = 'paid' where id = 1")
    shop.run()
    assert shop.here() == shop.there()


def test_a_number_that_changes_in_its_last_digit_is_published(shop: Shop) -> None:
    shop.mode = "xmin"
    shop.execute("alter table orders add weight double precision", "update orders set weight = 1")
    shop.more = {"weight": "DOUBLE"}
    shop.run()
    shop.execute("update orders set weight = 1 + 2.220446049250313e-16::float8 where id = 1")
    assert shop.run().nodes["orders"].status == "computed"
