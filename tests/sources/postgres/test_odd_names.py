"""Tables and columns of whatever names a server takes are told apart."""

from __future__ import annotations

from psycopg import sql

import assay
from tests.sources.postgres.shop import Shop

NAMES = ("a", 'b"a', ",", ',"a",', "\t", "[", "\\", '"')
LARGE = "x" * 9_000


def test_a_large_value_that_stays_keeps_no_other_column(shop: Shop) -> None:
    columns = [sql.Identifier(name) for name in NAMES]
    kinds = sql.SQL(", ").join(sql.SQL("{} text").format(column) for column in columns)
    with shop.connect() as connection:
        connection.execute(sql.SQL("create table odd (id int primary key, {})").format(kinds))
        for number, column in enumerate(columns):
            connection.execute(sql.SQL("alter table odd alter {} set storage external").format(column))
            connection.execute(sql.SQL("insert into odd (id, {}) values (%s, %s)").format(column), [number, LARGE])
        assay.sync(shop.url, warehouse=shop.lake, mode="cdc", tables=["odd"])
        for number in range(len(columns)):
            others = [sql.SQL("{} = 'new'").format(column) for n, column in enumerate(columns) if n != number]
            connection.execute(sql.SQL("update odd set {} where id = %s").format(sql.SQL(", ").join(others)), [number])
    found = assay.sync(shop.url, warehouse=shop.lake, mode="cdc", tables=["odd"])
    assert found.tables["raw_odd"].ledger.updated == len(NAMES)
    with assay.connect(shop.lake) as here:
        every = sql.SQL(", ").join(columns).as_string()
        assert here.execute(f"select {every} from raw.odd order by id").fetchall() == [
            tuple(LARGE if n == number else "new" for n in range(len(NAMES))) for number in range(len(NAMES))
        ]
