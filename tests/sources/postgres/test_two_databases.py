"""Several databases of one server are followed side by side: their slots share their names with each other."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest

import assay
from assay import Pipeline, postgres, relation
from tests.sources.postgres.shop import DAY, Shop, opened

SLOTS = "select slot_name::text from pg_replication_slots where database = current_database() order by 1"
PUBLICATIONS = "select pubname::text from pg_publication order by 1"
NAMES = "select name from customers order by id"


@pytest.fixture
def other(shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    """Another shop on the same server."""
    name = psycopg.conninfo.conninfo_to_dict(shop.url)["dbname"]
    shop.execute(f"create database {name}_other")
    yield opened(shop.url.replace(f"/{name}?", f"/{name}_other?"), tmp_path)
    for slot in names(
        shop, "select slot_name from pg_replication_slots where database = current_database() || '_other'"
    ):
        shop.execute(f"select pg_drop_replication_slot('{slot}')")
    shop.execute(f"drop database {name}_other with (force)")


def names(shop: Shop, query: str) -> list[str]:
    with shop.connect() as connection:
        return [name for (name,) in connection.execute(query.encode())]


def published(shop: Shop, table: str) -> list[Any]:
    with assay.connect(shop.lake) as connection:
        return [name for (name,) in connection.execute(f"select name from raw.{table} order by id").fetchall()]


def test_a_pipeline_follows_two_databases_of_one_server(shop: Shop, other: Shop) -> None:
    customers = relation("customers", key="id", columns={"id": "BIGINT", "name": "VARCHAR"}, publish=True)
    pipeline = Pipeline(
        "both",
        tables=[],
        layers=["raw"],
        sources={
            **postgres(shop.url, mode="cdc", tables={"raw_here": customers}),
            **postgres(other.url, mode="cdc", tables={"raw_there": customers}),
        },
    )

    def run() -> list[int]:
        found = assay.run(pipeline, warehouse=shop.lake, as_of=DAY)
        assert (published(shop, "here"), published(shop, "there")) == (names(shop, NAMES), names(other, NAMES))
        return [found.tables[name].ledger.returned for name in ("raw_here", "raw_there")]

    assert run() == [3, 3]
    shop.execute("update customers set name = 'one' where id = 1")
    other.execute("update customers set name = 'other' where id < 3")
    # What is read is what has changed, of each.
    assert run() == [1, 2]
    (here,), (there,) = names(shop, SLOTS), names(other, SLOTS)
    assert here != there
    assert (names(shop, PUBLICATIONS), names(other, PUBLICATIONS)) == ([here], [there])


@pytest.mark.parametrize("left", ["a slot", "a publication"])
def test_what_was_named_after_the_warehouse_alone_goes_on(shop: Shop, other: Shop, left: str) -> None:
    shop.mode, shop.mirrors = "cdc", True
    other.mode, other.mirrors = "cdc", True
    name = f"assay_mirror_{sha256(str(shop.lake).encode()).hexdigest()[:8]}"
    publication = f"create publication {name} for table customers"
    slot = f"select pg_create_logical_replication_slot('{name}', 'pgoutput')"
    shop.execute(publication, *([slot] if left == "a slot" else []))
    # As a run has left it that could not make its slot.
    other.execute(publication)
    shop.run()
    assert (names(shop, SLOTS), names(shop, PUBLICATIONS)) == ([name], [name])
    shop.execute("update customers set name = 'followed' where id = 1")
    assert shop.run().tables["raw_customers"].ledger.returned == 1
    assert names(shop, SLOTS) == [name]
    # The same pipeline and warehouse, and so the same name.
    other.run()
    assert len(names(other, SLOTS)) == 1
    assert names(other, SLOTS) != [name]
