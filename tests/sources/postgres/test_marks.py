"""Marks of rows have 32 bits and go round; those of transactions do not: which rows are new is told all the same."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from assay.model.database import PostgresTable, postgres, relation
from assay.sources.postgres import catalog, modes
from assay.sources.postgres.watermark import Watermark
from tests.sources.postgres.shop import Shop

ROUND = 1 << 32


@pytest.fixture
def orders() -> PostgresTable:
    declared = relation("orders", key="id", columns={"id": "BIGINT"})
    return postgres("env:SHOP_URL", tables={"orders": declared}, mode="xmin")["orders"]


@pytest.mark.row("002-03")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(known=st.integers(3, 3 * ROUND), later=st.integers(0, (1 << 31) - 1))
def test_a_row_that_was_written_later_is_new_wherever_the_marks_are(
    shop: Shop, orders: PostgresTable, known: int, later: int
) -> None:
    """The condition stands over a table with the mark of such a row in the place of its own."""
    condition = modes.changed(orders, Watermark("xmin", oid=0, xid=known))
    marks = [sql.Literal(str(mark % ROUND)) for mark in (known + later, known - 1 - later)]
    query = sql.SQL("select {} from (values ({}::text), ({}::text)) as t(xmin)").format(condition, *marks)
    with shop.connect() as connection:
        found = connection.execute(query).fetchall()
    assert found == [(True,), (False,)]


@pytest.mark.parametrize(("passed", "whole"), [(0, None), (10**9, None), (10**9 + 1, "too many transactions ago")])
def test_a_table_that_was_read_long_ago_is_read_whole(
    shop: Shop, orders: PostgresTable, passed: int, whole: str | None
) -> None:
    with shop.connect() as connection:
        table = catalog.look(connection, ["orders"])["orders"]
    known = Watermark("xmin", oid=table.oid, server="one", xid=5 * ROUND)
    why = modes.why_whole(orders, table, known, "one", 5 * ROUND + passed)
    assert (whole in why) if whole and why else why is whole
