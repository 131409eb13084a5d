"""What a publish refers to is on the disk, with every folder on the way to it, before anything refers to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from narwhals import LazyFrame

import assay
from assay import Overwrite, Pipeline, csv, table
from assay.model.errors import WarehouseError
from assay.warehouses.iceberg.durable import fsync_files, local_path


@table(write=Overwrite())
def silver_day(days: LazyFrame[Any]) -> LazyFrame[Any]:
    return days


@table(write=Overwrite())
def gold_day(silver_day: LazyFrame[Any]) -> LazyFrame[Any]:
    return silver_day


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was forced to the disk, in order: the real fsync is called, and noted."""
    noted: list[Path] = []
    fsync = os.fsync

    def noting(handle: int) -> None:
        noted.append(Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noting)
    return noted


def test_files_come_first_then_their_folders_from_the_inside_out(tmp_path: Path, forced: list[Path]) -> None:
    files = [tmp_path / "bronze/a/1.parquet", tmp_path / "bronze/a/2.parquet", tmp_path / "silver/b/3.parquet"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    fsync_files(map(str, files), f"file://{tmp_path}")
    assert forced[:3] == files
    folders = forced[3:]
    assert sorted(folders) == sorted(tmp_path / folder for folder in ("", "bronze", "bronze/a", "silver", "silver/b"))
    assert all(
        folders.index(folder) > folders.index(inner)
        for inner in folders
        for folder in inner.parents
        if folder in folders
    )


def test_a_publish_forces_all_that_is_new_to_the_disk_and_no_file_or_folder_twice(
    tmp_path: Path, forced: list[Path]
) -> None:
    lake = tmp_path / "lake"
    with (tmp_path / "day.csv").open("w") as file:
        file.write("id\n1\n")
    day = csv(str(tmp_path / "day.csv"), columns={"id": "INTEGER"})
    assay.run(Pipeline("days", tables=[silver_day, gold_day], sources={"days": day}), warehouse=lake)
    written = [path for path in lake.rglob("*") if path.suffix in (".parquet", ".avro", ".json")]
    tables = [lake / "silver/day", lake / "gold/day"]
    assert len([path for path in written if "metadata" in path.parts]) == 6
    assert {*written, *tables, *(table / "metadata" for table in tables), lake / "silver", lake} <= set(forced)
    ours = [path for path in forced if path.is_relative_to(lake) and "_assay" not in path.parts]
    assert sorted(ours) == sorted(set(ours))


def test_a_location_is_taken_as_it_stands() -> None:
    assert local_path("file:///a b/c%20d#e") == local_path("/a b/c%20d#e") == Path("/a b/c%20d#e")
    with pytest.raises(WarehouseError, match="'s3://bucket/a' is not on a local disk"):
        local_path("s3://bucket/a")


def test_a_missing_file_is_not_made_durable(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="cannot be made durable: No such file"):
        fsync_files([str(tmp_path / "a")], str(tmp_path))
