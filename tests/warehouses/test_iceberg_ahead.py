"""Metadata that is written while other tables are computed is written once, and published as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import assay
from assay.model.data import Manifest
from assay.model.published import State
from assay.warehouses.iceberg.store import IcebergWarehouse
from tests.runtime.shop import Shop, bronze_order, define

TABLE = "bronze.order"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.orders("1,ann,10", "2,bob,20")
    return shop


def metadata(shop: Shop) -> set[Path]:
    return set(shop.lake.glob("*/*/metadata/*"))


def test_a_run_writes_the_metadata_of_each_table_once(shop: Shop) -> None:
    silver = [define(lambda bronze_order: bronze_order, f"silver_{name}") for name in ("one", "two", "three")]
    for number in range(2):
        shop.orders("1,ann,10", f"2,bob,{number}")
        assert shop.run(bronze_order(), *silver).ok
        # One manifest, the list of manifests, and what names both.
        assert len(metadata(shop)) == 4 * 3 * (number + 1)


@pytest.fixture
def staged(shop: Shop) -> tuple[IcebergWarehouse, State]:
    """A lake with a first run that has staged its table, and has failed."""
    refused = define(lambda bronze_order: bronze_order, "silver_order", checks=[assay.row_count(min=9, action="block")])
    assert shop.run(bronze_order(), refused).state == "failed"
    for path in metadata(shop):
        path.unlink()
    warehouse = IcebergWarehouse(shop.lake, create=False)
    return warehouse, warehouse.state()


def prepared(warehouse: IcebergWarehouse, manifest: Manifest, state: State) -> str:
    return warehouse.prepare(1, {TABLE: manifest}, state)[TABLE].location


def test_what_was_written_ahead_is_what_is_published(shop: Shop, staged: tuple[IcebergWarehouse, State]) -> None:
    warehouse, state = staged
    warehouse.prepare_ahead(1, [TABLE], state)
    written = metadata(shop)
    assert len(written) == 3
    assert Path(prepared(warehouse, warehouse.manifests(1)[TABLE], state)) in written
    assert metadata(shop) == written


def test_what_was_written_for_another_change_is_not_published(
    shop: Shop, staged: tuple[IcebergWarehouse, State]
) -> None:
    warehouse, state = staged
    warehouse.prepare_ahead(1, [TABLE], state)
    written, now = metadata(shop), warehouse.manifests(1)[TABLE]
    more = replace(now, partition_by=("customer",), added=())
    assert Path(prepared(warehouse, more, state)) not in written


def test_what_was_written_ahead_stays_as_long_as_its_run_may_go_on(
    shop: Shop, staged: tuple[IcebergWarehouse, State]
) -> None:
    warehouse, state = staged
    warehouse.prepare_ahead(1, [TABLE], state)
    written = metadata(shop)
    assay.vacuum(shop.lake, remove=True, leftovers=True)
    assert metadata(shop) == written
    handle = warehouse.reopen("shop", 1, [TABLE], patience=0)
    assert Path(prepared(warehouse, warehouse.manifests(handle.id)[TABLE], state)) in written
