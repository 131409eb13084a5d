"""What tells the rows of a table apart is asked of the database: not all that looks like a key is one."""

from __future__ import annotations

from pathlib import Path

import pytest

import assay
from assay import SourceError
from assay.model.database import Mode
from tests.sources.postgres.shop import DAY, Shop


@pytest.mark.parametrize("mode", ["xmin", "cdc"])
def test_columns_that_a_primary_key_includes_tell_no_rows_apart(shop: Shop, mode: Mode) -> None:
    shop.execute(
        "create table items (id int, name text, size int, primary key (id) include (name))",
        "insert into items values (1, null, 10), (2, 'b', 20)",
    )

    def synced() -> list[tuple[object, ...]]:
        # Without looking for rows that are gone, one of another key would stay.
        assay.sync(shop.url, warehouse=shop.lake, tables=["items"], mode=mode, deletes=False, as_of=DAY)
        with assay.connect(shop.lake) as connection:
            return connection.execute("select id, name, size from raw.items order by id, name").fetchall()

    assert synced() == [(1, None, 10), (2, "b", 20)]
    shop.execute("update items set size = 11 where id = 1", "update items set name = 'x' where id = 2")
    assert synced() == [(1, None, 11), (2, "x", 20)]


INHERITED = (
    "create table items (id int primary key, name text)",
    "insert into items values (1, 'own 1'), (2, 'own 2')",
)


@pytest.mark.parametrize("where", ["lake", "database"])
def test_rows_of_tables_that_inherit_stand_beside_those_of_the_same_key(shop: Shop, tmp_path: Path, where: str) -> None:
    place = str(tmp_path / "lake") if where == "lake" else f"postgresql:{tmp_path / 'server'}"

    def synced() -> list[tuple[object, ...]]:
        assay.sync(shop.url, warehouse=place, tables=["items"], as_of=DAY)
        with assay.connect(place) as connection:
            return connection.execute("select id, name from raw.items order by id, name").fetchall()

    shop.execute(
        *INHERITED, "create table heirs (size int) inherits (items)", "insert into heirs values (1, 'heir', 0)"
    )
    assert synced() == [(1, "heir"), (1, "own 1"), (2, "own 2")]
    shop.execute("update heirs set name = 'other' where id = 1")
    assert synced() == [(1, "other"), (1, "own 1"), (2, "own 2")]


def test_a_table_that_others_begin_to_inherit_from_is_read_whole(shop: Shop) -> None:
    def synced() -> list[tuple[object, ...]]:
        assay.sync(shop.url, warehouse=shop.lake, tables=["items"], as_of=DAY)
        with assay.connect(shop.lake) as connection:
            return connection.execute("select id, name from raw.items order by id, name").fetchall()

    shop.execute(*INHERITED)
    assert synced() == [(1, "own 1"), (2, "own 2")]
    shop.execute("create table heirs (size int) inherits (items)", "insert into heirs values (1, 'heir', 0)")
    assert synced() == [(1, "heir"), (1, "own 1"), (2, "own 2")]
    shop.execute("drop table heirs")
    assert synced() == [(1, "own 1"), (2, "own 2")]


@pytest.mark.parametrize("mode", ["xmin", "horizon", "full", "cdc"])
def test_a_key_that_does_not_hold_for_tables_that_inherit_is_refused(shop: Shop, mode: Mode) -> None:
    shop.mode = mode
    shop.execute("create table old_orders () inherits (orders)")
    with pytest.raises(SourceError, match=r"orders: tables inherit from it, .* read it by mode 'full', without key="):
        shop.run()
