"""What other programs see of a run: namespaces, snapshots, partitions, read through pyiceberg's own catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from narwhals import col
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table

import assay
from assay.model.errors import WarehouseError
from assay.model.event import NodeEnded
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.runtime.shop import DAY, SETTINGS, Shop, bronze_order, define

LINES = ("1,ann,10", "2,bob,20")


def catalog(lake: Path) -> SqlCatalog:
    return SqlCatalog("assay", uri=f"sqlite:///{lake / 'catalog.db'}", warehouse=str(lake))


def iceberg(shop: Shop, table: str) -> Table:
    return catalog(shop.lake).load_table(table)


def ids(table: Table, snapshot: int | None = None) -> list[int]:
    return sorted(table.scan(snapshot_id=snapshot, selected_fields=("id",)).to_arrow().column("id").to_pylist())


def operations(table: Table) -> list[str]:
    return [snapshot.summary.operation.value for snapshot in table.snapshots() if snapshot.summary]


def layered(factor: int = 1) -> list[assay.Table]:
    return [
        bronze_order(write=assay.Append()),
        define(lambda bronze_order: bronze_order.with_columns(amount=col("amount") * factor), "silver_order"),
        define(lambda silver_order: silver_order.filter(col("id") > 1), "gold_order", rows=assay.free("large ids")),
    ]


@pytest.fixture(scope="module")
def rides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rides")
    file = generate(folder, rows=150)["bookings"]
    arguments: dict[str, Any] = {"sources": {"bookings": file}, "as_of": DAY, "settings": SETTINGS}
    assert assay.run(ride_bookings, warehouse=folder / "lake", **arguments).ok
    return folder / "lake"


@pytest.mark.row("000-19")
def test_the_lake_has_a_namespace_for_each_layer_with_its_tables(rides: Path) -> None:
    found = catalog(rides)
    assert {name: len(found.list_tables(name)) for (name,) in found.list_namespaces()} == {
        "bronze": 9,
        "silver": 9,
        "gold": 3,
    }


@pytest.mark.row("000-11")
def test_every_bronze_table_of_the_rides_is_partitioned_by_its_month(rides: Path) -> None:
    found = catalog(rides)
    for name in found.list_tables("bronze"):
        table = found.load_table(name)
        (field,) = table.spec().fields
        assert (field.name, str(field.transform)) == ("extraction_month", "identity")
        assert table.schema().find_field(field.source_id).name == "extraction_month"
        files = [task.file for task in table.scan().plan_files()]
        months = set(table.scan(selected_fields=("extraction_month",)).to_arrow().column(0).to_pylist())
        assert {file.partition[0] for file in files} == months
        assert len(files) == len(months) > 1
        month = min(months)
        (only,) = table.scan(row_filter=f"extraction_month = '{month}'").plan_files()
        assert only.file.partition[0] == month


@pytest.mark.row("000-19")
def test_each_publish_is_one_snapshot_of_each_table_that_changed_and_all_can_be_travelled_to(shop: Shop) -> None:
    shop.orders(*LINES)
    shop.run(*layered())
    shop.orders("3,cat,30", file="orders2.csv")
    shop.run(*layered())
    shop.run(*layered(factor=2))
    found = {name: iceberg(shop, name) for name in ("bronze.order", "silver.order", "gold.order")}
    runs = {
        name: [snapshot.summary["assay.run"] for snapshot in table.snapshots() if snapshot.summary]
        for name, table in found.items()
    }
    assert runs == {"bronze.order": ["1", "2"], "silver.order": ["1", "2", "3"], "gold.order": ["1", "2", "3"]}
    first, second = (snapshot.snapshot_id for snapshot in found["bronze.order"].snapshots())
    assert ids(found["bronze.order"], first) == [1, 2]
    assert ids(found["bronze.order"], second) == ids(found["bronze.order"]) == [1, 2, 3]
    assert [shop.rows("select sum(amount) from gold.order", at=run) for run in (1, 2, 3)] == [
        [(20,)],
        [(50,)],
        [(100,)],
    ]
    with pytest.raises(assay.AssayError, match="Run 4 has published nothing here"):
        shop.rows("select 1", at=4)


@pytest.mark.row("000-20")
def test_bronze_keeps_its_other_slices_and_silver_and_gold_are_replaced(shop: Shop) -> None:
    shop.orders(*LINES)
    shop.run(*layered())
    old = {task.file.file_path for task in iceberg(shop, "silver.order").scan().plan_files()}
    shop.orders("3,cat,30", file="orders2.csv")
    shop.orders("4,dan,40", file="orders.csv")
    shop.run(*layered())
    assert ids(iceberg(shop, "bronze.order")) == [3, 4]
    assert ids(iceberg(shop, "gold.order")) == [3, 4]
    assert operations(iceberg(shop, "silver.order")) == ["append", "overwrite"]
    new = {task.file.file_path for task in iceberg(shop, "silver.order").scan().plan_files()}
    assert old & new == set()


@pytest.mark.row("000-20")
def test_a_new_delivery_appends_to_bronze_and_leaves_the_files_of_others_where_they_are(shop: Shop) -> None:
    shop.orders(*LINES)
    shop.run(*layered())
    first = {task.file.file_path for task in iceberg(shop, "bronze.order").scan().plan_files()}
    shop.orders("3,cat,30", file="orders2.csv")
    result = shop.run(*layered())
    table = iceberg(shop, "bronze.order")
    assert operations(table) == ["append", "append"]
    assert first < {task.file.file_path for task in table.scan().plan_files()}
    assert (result.tables["bronze_order"].rows, result.tables["bronze_order"].ledger.returned) == (3, 1)


@pytest.mark.row("000-20")
@pytest.mark.parametrize("full", [False, True])
def test_a_run_that_changes_nothing_makes_no_snapshot(shop: Shop, *, full: bool) -> None:
    shop.orders(*LINES)
    shop.run(*layered())
    before = {name: iceberg(shop, name).metadata for name in ("bronze.order", "silver.order", "gold.order")}
    shop.run(*layered(), full=full)
    for name, metadata in before.items():
        assert iceberg(shop, name).metadata == metadata
        assert len(metadata.snapshots) == 1


@pytest.mark.parametrize("declaration", [{"key": "id"}, {}], ids=["with key", "without key"])
def test_other_partitions_are_published_though_the_content_is_equal(shop: Shop, declaration: dict[str, Any]) -> None:
    shop.orders(*LINES)
    specs = []
    for partition_by in ((), "customer", ("customer", "amount"), ()):
        result = shop.run(bronze_order(partition_by=partition_by, **declaration))
        table = iceberg(shop, "bronze.order")
        specs.append([field.name for field in table.spec().fields])
        files = [task.file for task in table.scan().plan_files()]
        assert (result.state, ids(table)) == ("published", [1, 2])
        assert len(files) == (2 if partition_by else 1)
        assert {file.spec_id for file in files} == {table.spec().spec_id}
    assert specs == [[], ["customer"], ["customer", "amount"], []]
    assert shop.run(bronze_order(**declaration)).run is None


def test_values_of_any_text_can_partition_a_table(shop: Shop) -> None:
    names = ["a/b c", "ü%41", "'x'", "a=b", "..", None]
    shop.orders(*(f"{number},{name or ''},1" for number, name in enumerate(names)))
    assert shop.run(bronze_order(partition_by="customer")).ok
    assert shop.rows("select customer from bronze.order order by id") == [(name,) for name in names]
    table = iceberg(shop, "bronze.order")
    assert {task.file.partition[0] for task in table.scan().plan_files()} == set(names)
    found = table.scan(row_filter=EqualTo("customer", "a/b c"), selected_fields=("id",)).to_arrow()
    assert found.column("id").to_pylist() == [0]


def test_what_another_program_commits_while_a_run_is_at_work_is_not_overwritten(shop: Shop) -> None:
    shop.orders(*LINES)
    assert shop.run(*layered()).ok
    theirs = []

    def commit(event: object) -> None:
        if isinstance(event, NodeEnded) and event.node.name == "gold_order" and not theirs:
            with iceberg(shop, "gold.order").transaction() as change:
                change.set_properties({"owner": "another program"})
            theirs.append(iceberg(shop, "gold.order").metadata_location)

    shop.orders(*LINES, "3,cat,30")
    with pytest.raises(WarehouseError, match=r"gold\.order was changed by another program"):
        shop.run(*layered(), observers=[commit])
    assert [iceberg(shop, "gold.order").metadata_location] == theirs
    assert ids(iceberg(shop, "gold.order")) == [2]
