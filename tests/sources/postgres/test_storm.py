"""In a storm of writers and kills nothing is lost: afterwards source and target are equal by content."""

from __future__ import annotations

import logging
from typing import Any

import psycopg
import pytest

import assay
from assay.model.database import Mode
from tests.sources.postgres.shop import Shop
from tests.sources.postgres.storm import Storm, bring

ORDERS = "id, customer_id, status, amount, note, updated_at"


def rows(url: str, orders: str, customers: str) -> list[tuple[Any, ...]]:
    """Return what two tables of a database have."""
    with psycopg.connect(url) as connection:
        queries = f"select {ORDERS} from {orders} order by id", f"select id, name from {customers} order by id"
        return [row for query in queries for row in connection.execute(query.encode())]


@pytest.mark.faults
@pytest.mark.row("002-02", "002-03", "002-05", "004-28")
@pytest.mark.parametrize(
    ("mode", "where"),
    [
        ("full", "lake"),
        ("horizon", "lake"),
        ("xmin", "lake"),
        ("cdc", "lake"),
        ("xmin", "database"),
        ("cdc", "database"),
    ],
)
def test_after_a_storm_source_and_target_are_equal(
    shop: Shop, mode: Mode, where: str, postgres_url: str, storm_seconds: float
) -> None:
    shop.mode, shop.deletes = mode, True
    into = "" if where == "lake" else postgres_url.replace("+psycopg", "")
    storm = Storm(shop, into, seed=7, seconds=storm_seconds)
    if into:
        bring(shop, into)
    storm.blow()
    assert bring(shop, into).state in ("published", "unchanged")
    if into:
        assert rows(into, "raw.orders", "raw.customers") == rows(shop.url, "orders", "customers")
    else:
        assert shop.here() == shop.there()
    assert bring(shop, into).state == "unchanged"
    runs = [run for run in assay.history(into or shop.lake, limit=100_000) if run.state == "published"]
    found = f"{len(runs)} published, {len(shop.there())} orders equal, {sorted(storm.done.items())}"
    logging.getLogger("storm").warning("%s into a %s: %s", mode, where, found)
    assert storm.done["killed"] >= 3
    assert storm.done["transactions"] > 20 * storm_seconds
