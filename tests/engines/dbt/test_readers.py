"""Who reads the marts while runs publish sees one run's in a transaction, and a whole one's in any statement."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import psycopg
import pytest

import assay
from tests.engines.dbt.tiny import Tiny

pytestmark = [pytest.mark.dbt, pytest.mark.faults]

RUNS = 17
"""Each publishes, and an undo and the undo of that do so again: 50 publishes and one more."""
MODELS = {
    "fct_orders": "select order_id, customer_id, amount from {{ ref('stg_orders') }}",
    "fct_sales": """
        {{ config(materialized='incremental', unique_key='order_id', meta={'assay': {'partition_by': 'customer_id'}}) }}
        select order_id, customer_id, amount from {{ ref('stg_orders') }} as orders
        {% if is_incremental() %}
        where not exists (
            select from {{ this }} as old where old.order_id = orders.order_id and old.amount = orders.amount
        )
        {% endif %}
    """,
    "monthly_sales": """
        {{ config(materialized='materialized_view', indexes=[{'columns': ['customer_id'], 'unique': true}]) }}
        select customer_id, count(*) as orders, sum(amount) as amount from {{ ref('fct_sales') }} group by 1
    """,
}
KEYS = "models: [{name: fct_orders, columns: [{name: order_id, data_tests: [unique, not_null]}]}]"
TOTALS = {
    "marts.fct_orders": "select count(*), sum(amount) from marts.fct_orders",
    "marts.fct_sales": "select count(*), sum(amount) from marts.fct_sales",
    "marts.monthly_sales": "select sum(orders)::bigint, sum(amount) from marts.monthly_sales",
    "staging.stg_orders": "select count(*), sum(amount) from staging.stg_orders",
}
Total = tuple[int, Decimal]


@dataclass
class Seen:
    """What readers have seen, by what each read."""

    together: list[set[Total]] = field(default_factory=list)
    """In each transaction: all totals."""
    apart: dict[str, list[Total]] = field(default_factory=lambda: {name: [] for name in TOTALS})
    errors: list[BaseException] = field(default_factory=list)


def _read_together(url: str, ended: threading.Event, seen: Seen) -> None:
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        while not ended.wait(0.01):
            with connection.transaction():
                rows = [connection.execute(query.encode()).fetchone() for query in TOTALS.values()]
            seen.together.append({(row[0], row[1]) for row in rows if row})


def _read_apart(url: str, ended: threading.Event, seen: Seen) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while not ended.wait(0.01):
            for name, query in TOTALS.items():
                row = connection.execute(query.encode()).fetchone()
                assert row is not None
                seen.apart[name].append((row[0], row[1]))


@contextmanager
def _readers(url: str) -> Iterator[Seen]:
    seen, ended = Seen(), threading.Event()

    def guarded(read: object) -> None:
        try:
            assert callable(read)
            read(url, ended, seen)
        except BaseException as error:
            seen.errors.append(error)

    threads = [threading.Thread(target=guarded, args=(each,)) for each in (_read_together, _read_apart)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.row("002-11", "002-17")
def test_marts_agree_for_all_who_read_them_during_fifty_publishes(tiny: Tiny) -> None:
    for name, text in MODELS.items():
        tiny.model(name, text)
    tiny.write({"models/keys.yml": KEYS})
    assert tiny.run().state == "published"
    published = [tiny.rows(TOTALS["marts.fct_orders"])[0]]
    with _readers(tiny.url) as seen:
        for number in range(RUNS):
            new = number + 10
            tiny.change(
                f"insert into orders values ({new}, {number % 5 + 101}, {new})",
                f"update orders set amount = amount + 1 where id = {new - 3} or id = 2",
            )
            result = tiny.run()
            assert result.state == "published", result.problems
            published += tiny.rows(TOTALS["marts.fct_orders"])
            for expected in (published[-2], published[-1]):
                assay.undo(warehouse=tiny.url)
                assert tiny.rows(TOTALS["marts.monthly_sales"]) == [expected]
    assert seen.errors == []
    assert len(set(published)) == RUNS + 1
    assert [totals for totals in seen.together if len(totals) > 1] == [], "one run's in each transaction"
    for name, totals in seen.apart.items():
        assert set(totals) <= set(published), f"{name} is never half of one"
        assert len(set(totals)) > RUNS / 2, "the readers were there"
