"""Frozen rows are delivered as they were read once: with the position, the file and the date of then."""

from __future__ import annotations

from contextlib import closing

import assay
from assay.engines.duckdb.engine import DuckDbEngine
from assay.model.files import Frozen
from assay.model.ports import Destination
from assay.runtime.tracing.trace import trace
from assay.transform.sql import sql
from tests.runtime.shop import LATER, ORDERS, Shop, define

FROZEN = Frozen("frozen/*.parquet", ORDERS.columns)
NAMES = "id, customer, amount, _assay_position, _assay_file, _assay_extracted_on"
PLACED = define(
    lambda orders: orders.select("id", place=assay.position(), file=assay.source_file(), day=assay.extracted_on()),
    "bronze_order",
)


def freeze(shop: Shop, name: str, rows: str) -> None:
    """Write a frozen delivery of rows given as SQL."""
    with closing(DuckDbEngine(threads=1, memory_limit="500MB")) as engine, engine.session() as session:
        frame = session.resolve(sql(f"select * from ({rows}) t({NAMES})"), "orders")
        session.write(frame, Destination(str(shop.inbox), "frozen", name, FROZEN.schema, even_empty=True))


def pipeline(shop: Shop, *tables: assay.Table) -> assay.Pipeline:
    return shop.pipeline(*tables, sources={"orders": FROZEN})


def test_rows_keep_what_they_were_given_and_may_come_in_any_order(shop: Shop) -> None:
    first = define(
        lambda orders: orders.select("id", "amount", assay.position()),
        "silver_order",
        key="id",
        keep=assay.first_in_source(),
    )
    late = "select 1, 'ann', 30, 3, 'b.csv', date '2024-11-02' union all select 2, 'bob', 40, 4, 'b.csv', '2024-11-02'"
    freeze(shop, "late", late)
    result = shop.run(pipeline(shop, PLACED, first))
    assert (result.state, result.nodes["orders"].rows) == ("published", 2)
    freeze(shop, "early", "select 1, 'ann', 10, 1, 'a.csv', date '2024-11-01'")
    assert shop.run(pipeline(shop, PLACED, first), as_of=LATER).nodes["orders"].rows == 3
    days = "select id, place, file, day::varchar from bronze.order order by place"
    assert shop.rows(days) == [
        (1, 1, "a.csv", "2024-11-01"),
        (1, 3, "b.csv", "2024-11-02"),
        (2, 4, "b.csv", "2024-11-02"),
    ]
    # The row that came later stands first in its source.
    assert shop.rows("select id, amount from silver.order order by id") == [(1, 10), (2, 40)]
    assert shop.run(pipeline(shop, PLACED, first), as_of=LATER, full=True).state == "unchanged"


def test_a_delivery_without_rows_is_one(shop: Shop) -> None:
    freeze(shop, "nothing", "select 1, 'ann', 10, 1, 'a.csv', date '2024-11-01' where false")
    result = shop.run(pipeline(shop, PLACED))
    assert (result.state, result.nodes["orders"].rows, result.tables["bronze_order"].rows) == ("published", 0, 0)
    assert shop.run(pipeline(shop, PLACED)).run is None


def test_a_table_is_the_same_computation_over_the_frozen_rows_of_its_source(shop: Shop) -> None:
    with closing(DuckDbEngine(threads=1, memory_limit="500MB")) as engine:
        declared, frozen = trace(shop.pipeline(PLACED), engine), trace(pipeline(shop, PLACED), engine)
    assert declared["bronze_order"].fingerprint == frozen["bronze_order"].fingerprint
    assert declared["orders"].fingerprint != frozen["orders"].fingerprint
