"""The columns of a table change while it is followed: what can be followed is, and told; the rest is refused."""

from __future__ import annotations

import pytest

from assay import SourceError
from assay.model.database import Mode
from tests.sources.postgres.shop import Shop


def told(shop: Shop) -> dict[str, str]:
    return {verdict.check: verdict.detail for verdict in shop.run().nodes["orders"].verdicts}


def touch(shop: Shop, number: int = 1) -> None:
    shop.execute(f"update orders set amount = amount + 1, updated_at = now() where id = {number}")


@pytest.mark.row("002-03")
@pytest.mark.parametrize("mode", ["horizon", "xmin"])
def test_a_column_that_is_added_is_told_once_and_read_whole_when_it_is_declared(shop: Shop, mode: Mode) -> None:
    """Its default is in rows that nobody has written since."""
    shop.mode = mode
    shop.run()
    shop.execute("alter table orders add channel text not null default 'web'")
    touch(shop)
    assert told(shop) == {"columns that are not declared": "channel"}
    touch(shop)
    assert told(shop) == {}
    shop.more = {"channel": "VARCHAR"}
    assert shop.run().state == "published"
    columns = "id, channel, amount"
    assert shop.here(columns) == shop.there(columns)


def test_a_column_that_is_dropped_stays_as_it_was_and_is_null_in_rows_that_are_read(shop: Shop) -> None:
    shop.execute("update orders set note = 'kept'")
    shop.run()
    shop.execute("alter table orders drop note")
    touch(shop, 2)
    assert told(shop) == {"columns that the table has lost": "note"}
    assert shop.here("id, note") == [(1, "kept"), (2, None), (3, "kept")]


@pytest.mark.parametrize("mode", ["horizon", "xmin"])
def test_a_column_that_is_dropped_and_added_again_is_another(shop: Shop, mode: Mode) -> None:
    shop.mode = mode
    shop.run()
    shop.execute("alter table orders drop note")
    touch(shop)
    shop.run()
    shop.execute("alter table orders add note text default 'anew'")
    assert "note is another column than when it was read" in shop.run().nodes["orders"].reason
    assert shop.here() == shop.there()


def test_a_column_that_is_renamed_is_one_that_was_lost_and_one_that_is_not_declared(shop: Shop) -> None:
    shop.run()
    shop.execute("alter table orders rename note to remark")
    touch(shop)
    assert told(shop) == {"columns that are not declared": "remark", "columns that the table has lost": "note"}


def test_values_that_were_converted_with_their_type_are_read_again(shop: Shop) -> None:
    shop.execute("update orders set note = id || '.25'")
    shop.run()
    shop.execute("alter table orders alter note type numeric(10,1) using note::numeric")
    shop.run()
    assert [row[0] for row in shop.here("note")] == ["1.3", "2.3", "3.3"]


def test_a_type_that_is_widened_is_refused_with_a_remedy_that_helps(shop: Shop) -> None:
    shop.execute("alter table orders add pieces int default 1")
    shop.more = {"pieces": "INTEGER"}
    shop.run()
    shop.execute("alter table orders alter pieces type bigint", "update orders set pieces = 5000000000 where id = 1")
    before = shop.here("id, pieces")
    with pytest.raises(SourceError, match="pieces is bigint in the database, and declared INTEGER; declare it BIGINT"):
        shop.run()
    assert shop.here("id, pieces") == before
    shop.more = {"pieces": "BIGINT"}
    assert shop.run().state == "published"
    assert shop.here("id, pieces") == shop.there("id, pieces")


def test_a_key_that_is_lost_is_refused_and_nothing_is_changed(shop: Shop) -> None:
    shop.run()
    before = shop.here()
    shop.execute("alter table orders drop constraint orders_pkey")
    with pytest.raises(SourceError, match="orders: it has no primary key, and key= says id"):
        shop.run()
    shop.execute("alter table orders add primary key (customer_id)")
    with pytest.raises(SourceError, match="orders: its primary key is customer_id, and key= says id"):
        shop.run()
    assert shop.here() == before


def test_a_stamp_that_is_lost_is_refused(shop: Shop) -> None:
    shop.run()
    shop.execute("alter table orders drop updated_at")
    with pytest.raises(SourceError, match="orders: has no column 'updated_at'"):
        shop.run()


def test_a_stamp_that_no_index_begins_with_is_told(shop: Shop) -> None:
    shop.execute("drop index orders_updated_at_idx")
    assert told(shop) == {"an index that begins with the stamp": "orders.updated_at"}


def test_a_database_that_was_made_again_is_read_whole(shop: Shop) -> None:
    """By the same script, its tables have the numbers and its rows the stamps that they had."""
    shop.run()
    name = shop.url.split("/")[3].split("?")[0]
    admin = Shop(shop.url.replace(f"/{name}?", "/postgres?"), shop.lake)
    shop.execute("create table dropped ()")
    with shop.connect() as connection:
        rows = connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where false").fetchall()
    assert rows == []
    admin.execute(
        f"create database copy_{name} template {name}",
        f"drop database {name}",
        f"alter database copy_{name} rename to {name}",
    )
    shop.execute("update orders set status = 'restored' where id = 2")
    found = shop.run()
    assert "its database was restored, or another server has taken over" in found.nodes["orders"].reason
    assert shop.here() == shop.there()
