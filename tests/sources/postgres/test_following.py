"""A table of a database is followed: what others write to it meanwhile, and late, is never missed."""

from __future__ import annotations

import pytest

import assay
from assay.model.database import Mode
from tests.sources.postgres.shop import Shop

MODES: tuple[Mode, ...] = ("full", "horizon", "xmin", "cdc")


@pytest.mark.row("002-04")
@pytest.mark.parametrize("mode", MODES)
def test_what_was_inserted_and_updated_since_is_published(shop: Shop, mode: Mode) -> None:
    shop.mode = mode
    assert shop.run().state == "published"
    assert shop.here() == shop.there()
    assert shop.run().state == "unchanged"
    shop.execute(
        "insert into orders (id, customer_id, amount, note) values (4, 1, 9.99, ''), (6, 3, 1, null)",
        "insert into orders (id, customer_id, amount, note) values (5, 2, 0, 'a \"quoted\"\nline, ')",
        "update orders set status = 'paid', updated_at = now() where id = 2",
    )
    found = shop.run()
    ledger = found.nodes["orders"].ledger
    assert (found.state, ledger.inserted, ledger.updated, ledger.deleted) == ("published", 3, 1, 0)
    assert shop.here() == shop.there()
    assert [row[0] for row in shop.here("note") if row[0] is not None] == ["", 'a "quoted"\nline, ']


@pytest.mark.parametrize("mode", MODES)
def test_a_row_that_commits_late_with_an_early_stamp_is_not_missed(shop: Shop, mode: Mode) -> None:
    shop.mode = mode
    shop.run()
    with shop.connect() as writer:
        writer.execute("begin")
        writer.execute("insert into orders (id, customer_id, amount) values (10, 1, 5)")
        shop.execute(
            "insert into orders (id, customer_id, amount, updated_at) values (11, 1, 6, now() + interval '1 hour')"
        )
        assert shop.run().state == "published"
        assert [row[0] for row in shop.here()] == [1, 2, 3, 11]
        writer.execute("commit")
    assert shop.run().state == "published"
    assert shop.here() == shop.there()


@pytest.mark.parametrize("mode", MODES)
def test_rows_that_are_gone_leave_where_that_was_asked_for(shop: Shop, mode: Mode) -> None:
    shop.mode, shop.deletes = mode, True
    shop.run()
    shop.execute("delete from orders where id = 2")
    found = shop.run()
    assert found.nodes["orders"].ledger.deleted == 1
    assert shop.here() == shop.there()


def test_deletes_that_nobody_looks_for_are_told_by_the_count(shop: Shop) -> None:
    shop.run()
    shop.execute("delete from orders where id = 2")
    found = shop.run()
    (verdict,) = found.nodes["orders"].verdicts
    assert (verdict.check, verdict.broken) == ("rows as in the database", 1)
    assert "deletes=True" in verdict.detail


def test_a_backdated_row_is_found_by_its_transaction_not_by_its_stamp(shop: Shop) -> None:
    shop.mode = "xmin"
    shop.run()
    shop.execute(
        "insert into orders (id, customer_id, amount, updated_at) values (20, 1, 1, '1999-01-01')",
        "update orders set status = 'unstamped' where id = 1",
    )
    shop.run()
    assert shop.here() == shop.there()


def test_tables_of_one_database_are_of_one_moment(shop: Shop) -> None:
    shop.run()
    with shop.connect() as writer:
        writer.execute("begin")
        writer.execute("insert into customers (id, name) values (9, 'new')")
        writer.execute("insert into orders (id, customer_id, amount) values (90, 9, 1)")
        shop.run()
        assert 90 not in [row[0] for row in shop.here()]
        writer.execute("commit")
    found = shop.run()
    assert [found.nodes[name].ledger.inserted for name in ("orders", "customers")] == [1, 1]


@pytest.mark.parametrize("where", ["lake", "database"])
def test_a_source_that_is_published_is_a_table_for_readers(shop: Shop, where: str, logical_url: str) -> None:
    shop.mirrors, shop.deletes = True, True
    place = shop.lake if where == "lake" else logical_url.replace("+psycopg", "")
    assay.migrate(shop.pipeline, warehouse=place)
    assert list(shop.run(warehouse=place).tables) == ["raw_orders", "raw_customers"]
    shop.execute("delete from orders where id = 1", "update orders set amount = 7, updated_at = now() where id = 3")
    ledger = shop.run(warehouse=place).tables["raw_orders"].ledger
    assert (ledger.updated, ledger.deleted) == (1, 1)
    with assay.connect(place) as connection:
        assert connection.execute("select id, amount from raw.orders order by id").fetchall() == shop.there(
            "id, amount"
        )
    assay.undo(warehouse=place)
    with assay.connect(place) as connection:
        assert connection.execute("select count(*) from raw.orders").fetchone() == (3,)
