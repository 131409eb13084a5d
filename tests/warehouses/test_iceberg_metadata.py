"""Staged changes become Iceberg metadata that pyiceberg's own catalog reads back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.manifest import (
    MANIFEST_LIST_FILE_STRUCTS,
    ManifestContent,
    ManifestFile,
    clear_manifest_cache,
    write_manifest_list,
)
from pyiceberg.table import Table

from assay.model.data import DataFile
from assay.model.errors import WarehouseError
from assay.model.schema import Column, Schema
from assay.warehouses.iceberg.metadata import TableChange, stage_metadata
from tests.warehouses.iceberg_lake import Lake, manifest_count, manifests, planned, rows, summary

ORDERS = Schema((Column("id", "INTEGER", 7), Column("day", "DATE", 3), Column("name", "VARCHAR", 12)))
THREE_DAYS = "select i as id, date '2024-01-01' + (i % 3)::int as day, 'n' || i as name from range(9) t(i)"
ONE_ROW = "select {} as id, date '2024-01-01' as day, 'n' as name"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def ids(table: Table, snapshot: int | None = None) -> list[Any]:
    return [row["id"] for row in rows(table, snapshot_id=snapshot)]


def paths(files: tuple[DataFile, ...]) -> tuple[str, ...]:
    return tuple(file.path for file in files)


def test_a_new_table_reads_back_through_pyiceberg(lake: Lake) -> None:
    table = lake.change("orders", ORDERS, lake.write(THREE_DAYS, ORDERS), run=12)
    assert rows(table)[4] == {"id": 4, "day": date(2024, 1, 2), "name": "n4"}
    assert ids(table) == list(range(9))
    fields = [(field.field_id, field.name, str(field.field_type)) for field in table.schema().fields]
    assert fields == [(7, "id", "int"), (3, "day", "date"), (12, "name", "string")]
    assert (table.format_version, table.metadata.last_column_id, table.spec().fields) == (2, 12, ())
    assert summary(table).items() >= {"operation": "append", "assay.run": "12", "total-records": "9"}.items()


def test_a_partition_filter_reads_only_the_files_of_its_partitions(lake: Lake) -> None:
    files = lake.write(THREE_DAYS, ORDERS, ("day",))
    table = lake.change("orders", ORDERS, files, partition_by=("day",))
    assert len(files) == 3
    assert planned(table, "day = '2024-01-02'") == 1
    assert [row["id"] for row in rows(table, row_filter="day = '2024-01-02'")] == [1, 4, 7]
    assert ids(table) == list(range(9))


def test_a_null_partition_is_a_partition(lake: Lake) -> None:
    query = "select i as id, case when i = 0 then date '2024-01-01' end as day, 'n' as name from range(2) t(i)"
    table = lake.change("orders", ORDERS, lake.write(query, ORDERS, ("day",)), partition_by=("day",))
    assert planned(table, "day is null") == 1
    assert [row["id"] for row in rows(table, row_filter="day is null")] == [1]


def test_names_that_are_no_identifiers_can_be_columns_and_partitions(lake: Lake) -> None:
    odd = Schema.of([("Avg CTAT", "INTEGER"), ("a.b", "VARCHAR"), ("ä", "VARCHAR"), ("1st", "DATE")])
    query = """select i as "Avg CTAT", 'x' as "a.b", 'ö' || i as "ä", date '2024-01-01' as "1st" from range(3) t(i)"""
    files = lake.write(query, odd, odd.names)
    lake.change("odd", odd, files, partition_by=odd.names)
    table = lake.change("odd", odd, (), (files[0].path,), partition_by=odd.names)
    assert [row["ä"] for row in rows(table)] == ["ö1", "ö2"]


def test_files_added_and_removed_together_make_one_snapshot(lake: Lake) -> None:
    old, other, new = (lake.write(ONE_ROW.format(number), ORDERS) for number in (1, 2, 3))
    lake.change("orders", ORDERS, old + other)
    table = lake.change("orders", ORDERS, new, paths(old))
    assert ids(table) == [2, 3]
    assert len(table.history()) == 2
    counts = {"operation": "overwrite", "added-records": "1", "deleted-records": "1", "total-records": "2"}
    assert summary(table).items() >= counts.items()


def test_every_change_can_be_travelled_to(lake: Lake) -> None:
    files = [lake.write(ONE_ROW.format(number), ORDERS) for number in range(3)]
    lake.change("orders", ORDERS, files[0])
    lake.change("orders", ORDERS, files[1])
    lake.change("orders", ORDERS, files[2], paths(files[0]))
    lake.change("orders", ORDERS, (), paths(files[1] + files[2]))
    table = lake.change("orders", ORDERS, files[0])
    assert [ids(table, entry.snapshot_id) for entry in table.history()] == [[0], [0, 1], [1, 2], [], [0]]
    moments = [entry.timestamp_ms for entry in table.history()]
    assert moments == sorted(set(moments))
    assert [table.snapshot_as_of_timestamp(m) for m in moments] == table.snapshots()


def test_a_table_without_files_is_a_table_and_grows_later(lake: Lake) -> None:
    table = lake.change("orders", ORDERS, partition_by=("day",))
    assert (rows(table), len(table.history())) == ([], 1)
    table = lake.change("orders", ORDERS, lake.write(THREE_DAYS, ORDERS, ("day",)), partition_by=("day",))
    assert ids(table) == list(range(9))


def test_all_files_can_leave_and_the_table_grows_again(lake: Lake) -> None:
    files = lake.write(THREE_DAYS, ORDERS, ("day",))
    lake.change("orders", ORDERS, files, partition_by=("day",))
    table = lake.change("orders", ORDERS, (), paths(files), partition_by=("day",))
    assert (rows(table), summary(table)["operation"], summary(table)["total-data-files"]) == ([], "delete", "0")
    table = lake.change("orders", ORDERS, files, partition_by=("day",))
    assert (ids(table), manifest_count(table)) == (list(range(9)), 1)


def test_a_clock_that_was_set_back_does_not_turn_history_around(lake: Lake) -> None:
    table = lake.change("orders", ORDERS, lake.write(ONE_ROW.format(1), ORDERS))
    written, later = Path(table.metadata_location), table.metadata.last_updated_ms + 3_600_000
    written.write_text(written.read_text().replace(str(table.metadata.last_updated_ms), str(later)))
    table = lake.change("orders", ORDERS, lake.write(ONE_ROW.format(2), ORDERS))
    assert [entry.timestamp_ms for entry in table.history()] == [later, later + 1]


def test_columns_come_go_and_are_renamed_without_touching_files(lake: Lake) -> None:
    lake.change("orders", ORDERS, lake.write(ONE_ROW.format(1), ORDERS))
    evolved = Schema((Column("id", "INTEGER", 7), Column("label", "VARCHAR", 12), Column("price", "DECIMAL(9,2)", 20)))
    table = lake.change("orders", evolved)
    assert rows(table) == [{"id": 1, "label": "n", "price": None}]
    table = lake.change("orders", evolved, lake.write("select 2 as id, 'm' as label, 1.5 as price", evolved))
    assert [row["label"] for row in rows(table)] == ["n", "m"]
    assert rows(table, snapshot_id=table.history()[0].snapshot_id) == [{"id": 1, "day": date(2024, 1, 1), "name": "n"}]
    assert (len(table.history()), table.metadata.last_column_id) == (3, 20)


def test_an_earlier_schema_that_comes_back_is_the_earlier_schema(lake: Lake) -> None:
    lake.change("orders", ORDERS, lake.write(ONE_ROW.format(1), ORDERS))
    lake.change("orders", ORDERS.without("name"))
    table = lake.change("orders", ORDERS)
    assert (len(table.schemas()), table.schema().schema_id) == (2, 0)
    assert rows(table) == [{"id": 1, "day": date(2024, 1, 1), "name": "n"}]


def test_a_changed_type_arrives_under_a_new_id(lake: Lake) -> None:
    old = lake.write(ONE_ROW.format(1), ORDERS)
    lake.change("orders", ORDERS, old)
    widened = Schema((Column("id", "VARCHAR", 13), *ORDERS.columns[1:]))
    table = lake.change("orders", widened, lake.write(ONE_ROW.format("'a'"), widened), paths(old))
    assert ids(table) == ["a"]
    reused = Schema((Column("id", "BIGINT", 13), *ORDERS.columns[1:]))
    with pytest.raises(WarehouseError, match="'id' is string, and cannot be long"):
        lake.stage("orders", reused)


def test_partitioning_changes_and_files_of_both_ways_are_read_and_removed(lake: Lake) -> None:
    by_day = lake.write(THREE_DAYS, ORDERS, ("day",))
    lake.change("orders", ORDERS, by_day, partition_by=("day",))
    by_name = lake.write("select 10 + i as id, null as day, 'x' || i as name from range(2) t(i)", ORDERS, ("name",))
    table = lake.change("orders", ORDERS, by_name, paths(by_day[:1]), partition_by=("name",))
    assert len(table.specs()) == 2
    assert (planned(table, "name = 'x1'"), planned(table, "day = '2024-01-03'")) == (1, 1)
    table = lake.change("orders", ORDERS, (), paths(by_day[1:]), partition_by=("day",))
    assert (ids(table), len(table.specs()), table.spec().spec_id) == ([10, 11], 2, 0)
    table = lake.change("orders", ORDERS, partition_by=("name", "day"))
    assert [(field.name, field.field_id) for field in table.spec().fields] == [("name", 1001), ("day", 1000)]
    assert (table.spec().spec_id, table.metadata.last_partition_id) == (2, 1001)


def test_a_partition_column_can_be_dropped_while_its_files_stay(lake: Lake) -> None:
    files = lake.write(THREE_DAYS, ORDERS, ("day",))
    lake.change("orders", ORDERS, files, partition_by=("day",))
    bare = ORDERS.without("day")
    assert ids(lake.change("orders", bare)) == list(range(9))
    table = lake.change("orders", bare, (), paths(files[:1]))
    assert len(ids(table)) == 6
    back = lake.change("orders", ORDERS, files[:1], partition_by=("day",))
    assert (ids(back), planned(back, "day = '2024-01-02'")) == (list(range(9)), 1)


def test_many_small_appends_keep_manifests_and_the_log_of_versions_bounded(lake: Lake) -> None:
    counts = []
    for number in range(60):
        table = lake.change(
            "orders", ORDERS, lake.write(ONE_ROW.format(number), ORDERS, ("day",)), partition_by=("day",)
        )
        counts.append(manifest_count(table))
    assert max(counts) <= 8
    assert sorted(ids(table)) == list(range(60))
    assert (len(table.history()), len(table.snapshots()), len(table.metadata.metadata_log)) == (20, 20, 20)
    assert [len(ids(table, snapshot.snapshot_id)) for snapshot in table.snapshots()] == list(range(41, 61))
    assert len(list(Path(lake.root, "silver/orders/metadata").glob("*.metadata.json"))) == 60


def test_many_overwrites_keep_manifests_bounded(lake: Lake) -> None:
    files: tuple[DataFile, ...] = ()
    for number in range(30):
        before, files = files, lake.write(ONE_ROW.format(number), ORDERS)
        table = lake.change("orders", ORDERS, files, paths(before))
    assert (ids(table), manifest_count(table), len(table.history())) == ([29], 1, 20)


def test_a_manifest_that_is_full_is_left_alone(lake: Lake) -> None:
    (file,) = lake.write(ONE_ROW.format(1), ORDERS)
    many = tuple(DataFile(f"silver/data/{n}.parquet", file.rows, file.bytes) for n in range(1100))
    table = lake.change("orders", ORDERS, many)
    full = {file.manifest_path for file in manifests(table) if file.added_files_count == 500}
    assert (manifest_count(table), len(full)) == (3, 2)
    for number in range(30):
        table = lake.change("orders", ORDERS, (DataFile(f"silver/data/more-{number}.parquet", 1, 1),))
        assert manifest_count(table) <= 10
        assert full <= {file.manifest_path for file in manifests(table)}
    table = lake.change("orders", ORDERS, (file,), paths(many[3:]))
    assert summary(table)["total-data-files"] == "34"


def test_what_is_staged_is_not_seen_and_can_be_staged_again(lake: Lake) -> None:
    table = lake.change("orders", ORDERS, lake.write(ONE_ROW.format(1), ORDERS))
    more = lake.write(ONE_ROW.format(2), ORDERS)
    first, second = lake.stage("orders", ORDERS, more), lake.stage("orders", ORDERS, more)
    assert (first != second, ids(table.refresh())) == (True, [1])
    assert ids(lake.publish("orders", second)) == [1, 2]


def test_removing_what_is_not_there_is_an_error(lake: Lake) -> None:
    lake.change("orders", ORDERS, lake.write(ONE_ROW.format(1), ORDERS))
    with pytest.raises(WarehouseError, match=r"does not hold .*/silver/data/other\.parquet"):
        lake.stage("orders", ORDERS, (), ("silver/data/other.parquet",))
    with pytest.raises(WarehouseError, match=r"published metadata .* is missing"):
        stage_metadata(lake.root, TableChange(lake.root, f"{lake.root}/00003-x.metadata.json", ORDERS, (), (), (), 1))


def test_a_table_to_which_another_writer_gave_delete_files_is_refused(lake: Lake) -> None:
    table = lake.change("orders", ORDERS, lake.write(ONE_ROW.format(1), ORDERS))
    snapshot, (file,) = table.snapshots()[0], manifests(table)
    fields = {field.name: file[position] for position, field in enumerate(MANIFEST_LIST_FILE_STRUCTS[2].fields)}
    deletes = ManifestFile.from_args(**{**fields, "content": ManifestContent.DELETES})
    with write_manifest_list(
        2, table.io.new_output(snapshot.manifest_list), snapshot.snapshot_id, None, 1, "null"
    ) as made:
        made.add_manifests([deletes])
    clear_manifest_cache()
    with pytest.raises(WarehouseError, match="has delete files"):
        lake.stage("orders", ORDERS)


def test_tables_of_a_run_are_staged_from_several_threads(lake: Lake) -> None:
    files = [lake.write(THREE_DAYS, ORDERS, ("day",)) for _ in range(12)]
    with ThreadPoolExecutor(4) as threads:
        names = [f"t{number}" for number in range(12)]
        staged = list(threads.map(lambda name, f: lake.stage(name, ORDERS, f, partition_by=("day",)), names, files))
    tables = [lake.publish(name, location) for name, location in zip(names, staged, strict=True)]
    assert all(ids(table) == list(range(9)) for table in tables)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_lake_lies_at_a_path_or_a_file_location(lake: Lake, scheme: str) -> None:
    files = lake.write(ONE_ROW.format(1), ORDERS)
    lake.root = scheme + lake.root
    lake.change("orders", ORDERS, files)
    assert ids(lake.change("orders", ORDERS, (), paths(files))) == []


def test_other_writers_go_on_from_what_assay_wrote(lake: Lake) -> None:
    files = lake.write(THREE_DAYS, ORDERS, ("day",))
    table = lake.change("orders", ORDERS, files, partition_by=("day",))
    table.append(table.scan(row_filter="id < 2").to_arrow())
    table.delete("id = 0")
    assert sorted(ids(table)) == [1, 1, 2, 3, 4, 5, 6, 7, 8]
