"""What tells the rows of a table apart is asked of the database: not all that looks like a key is one."""

from __future__ import annotations

import pytest

import assay
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
