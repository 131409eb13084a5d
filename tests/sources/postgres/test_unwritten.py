"""Rows change without being written, as partitions are swapped and labels renamed: they are read all the same."""

from __future__ import annotations

from typing import Any

import pytest

import assay
from assay.model.database import Mode
from tests.sources.postgres.shop import DAY, Shop

PARTS = (
    "create table items (id int, month int, name text, updated_at timestamptz) partition by list (month)",
    "alter table items add primary key (id, month)",
    "create table items_1 partition of items for values in (1)",
    "create table items_2 partition of items for values in (2)",
    "insert into items select n, m, 'old', '2001-01-01' from generate_series(1, 5) n, generate_series(1, 2) m",
    "create table staged (like items including all)",
    "insert into staged select n, 2, 'corrected', '2001-01-01' from generate_series(1, 5) n",
)


def synced(shop: Shop, mode: Mode, **options: Any) -> assay.RunResult:
    return assay.sync(shop.url, warehouse=shop.lake, tables=["items"], mode=mode, as_of=DAY, **options)


def assert_same(shop: Shop, columns: str = "*") -> None:
    with assay.connect(shop.lake) as lake, shop.connect() as connection:
        here = lake.execute(f"select {columns} from raw.items order by 1, 2").fetchall()
        assert here == connection.execute(f"select {columns} from items order by 1, 2".encode()).fetchall()


@pytest.mark.parametrize("mode", ["xmin", "horizon"])
def test_partitions_that_are_swapped_for_others_bring_their_rows(shop: Shop, mode: Mode) -> None:
    shop.execute(*PARTS)
    columns = "id, month, name"
    synced(shop, mode)
    shop.execute(
        "begin; alter table items detach partition items_2; "
        "alter table items attach partition staged for values in (2); commit"
    )
    ledger = synced(shop, mode).tables["raw_items"].ledger
    assert_same(shop, columns)
    # Those of the other partition were not read, as nobody has written them.
    assert (ledger.returned, ledger.updated) == (5, 5)
    assert synced(shop, mode).state == "unchanged"
    shop.execute("alter table items detach partition items_1")
    assert synced(shop, mode).tables["raw_items"].ledger.deleted == 5
    assert_same(shop, columns)
    shop.execute("alter table items attach partition items_1 for values in (1)")
    assert synced(shop, mode).tables["raw_items"].ledger.inserted == 5
    assert_same(shop, columns)


def test_partitions_of_partitions_bring_their_rows(shop: Shop) -> None:
    shop.execute(*PARTS, "create table deep (like items including all) partition by range (id)")
    synced(shop, "xmin")
    shop.execute(
        "alter table deep attach partition staged for values from (1) to (9)",
        "alter table items detach partition items_2",
        "alter table items attach partition deep for values in (2)",
    )
    synced(shop, "xmin")
    assert_same(shop, "id, month, name")


MOODS = (
    "create type mood as enum ('sad', 'ok')",
    "create domain felt as mood",
    "create type pair as (one mood, number int)",
)


@pytest.mark.parametrize("mode", ["xmin", "horizon", "cdc"])
@pytest.mark.parametrize(
    ("kind", "value"),
    [("mood", "sad"), ("mood[]", "{ok,sad}"), ("felt", "sad"), ("felt[]", "{sad}"), ("pair", "(sad,1)")],
)
def test_a_label_that_is_renamed_is_another_value(shop: Shop, mode: Mode, kind: str, value: str) -> None:
    shop.execute(
        *MOODS,
        f"create table items (id int primary key, mood {kind}, updated_at timestamptz default '2001-01-01')",
        f"insert into items values (1, '{value}')",
    )
    columns = "id, mood::varchar"
    synced(shop, mode)
    shop.execute("alter type mood rename value 'sad' to 'blue'")
    found = synced(shop, mode)
    assert "sad is called otherwise in its enum" in found.tables["raw_items"].reason
    assert_same(shop, columns)
    shop.execute("alter type mood add value 'glad'")
    # A label that has come says nothing of rows that were read before.
    assert synced(shop, mode).state == "unchanged"
    glad = value.replace("sad", "glad")
    shop.execute(f"insert into items values (2, '{glad}', now())")
    assert synced(shop, mode).tables["raw_items"].ledger.returned == 1
    shop.execute("alter type mood rename value 'glad' to 'merry'")
    synced(shop, mode)
    assert_same(shop, columns)
