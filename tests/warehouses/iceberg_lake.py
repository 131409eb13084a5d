"""A lake for tests: Parquet by DuckDB, metadata by assay, pointers by SQL, and pyiceberg's own catalog to read it."""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import BooleanExpression
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table

from assay.engines.duckdb.stats import column_stats
from assay.model.data import DataFile
from assay.model.schema import Schema
from assay.warehouses.iceberg.metadata import TableChange, stage_metadata


class Lake:
    """A folder with tables, each known by its name in the namespace `silver`."""

    def __init__(self, folder: Path) -> None:
        self.root = str(folder)
        self.engine = duckdb.connect()
        self.database = folder / "catalog.db"
        self.catalog = SqlCatalog("lake", uri=f"sqlite:///{self.database}", warehouse=self.root)
        self.catalog.create_namespace("silver")

    def write(self, query: str, schema: Schema, partition_by: tuple[str, ...] = ()) -> tuple[DataFile, ...]:
        """Write the query's rows as Parquet, as the engine does."""
        folder = Path(self.root, "silver", "data")
        folder.mkdir(parents=True, exist_ok=True)
        columns = ", ".join(f'"{column.name}"::{column.type} as "{column.name}"' for column in schema)
        ids = ", ".join(f"'{column.name}': {column.field_id}" for column in schema)
        options, target = f"format parquet, compression zstd, field_ids {{{ids}}}, return_stats", folder
        if partition_by:
            names = ", ".join(f'"{name}"' for name in partition_by)
            options += f", partition_by ({names}), write_partition_columns true, hive_file_pattern false"
            options += f", filename_pattern '{uuid.uuid4()}-{{uuid}}', overwrite_or_ignore true"
        else:
            target = folder / f"{uuid.uuid4()}.parquet"
        written = self.engine.execute(f"copy (select {columns} from ({query})) to '{target}' ({options})").fetchall()
        return tuple(
            DataFile(
                path=Path(path).relative_to(self.root).as_posix(),
                rows=rows,
                bytes=size,
                partition=partition or {},
                stats=column_stats(stats),
            )
            for path, rows, size, _, stats, partition, _ in written
        )

    def stage(
        self,
        name: str,
        schema: Schema,
        added: tuple[DataFile, ...] = (),
        removed: tuple[str, ...] = (),
        *,
        partition_by: tuple[str, ...] = (),
        run: int = 1,
    ) -> str:
        """Stage one change and return its metadata location; readers see nothing of it."""
        location = f"{self.root}/silver/{name}"
        change = TableChange(location, self.pointer(name), schema, partition_by, added, removed, run)
        return stage_metadata(self.root, change)[0].location

    def change(
        self,
        name: str,
        schema: Schema,
        added: tuple[DataFile, ...] = (),
        removed: tuple[str, ...] = (),
        *,
        partition_by: tuple[str, ...] = (),
        run: int = 1,
    ) -> Table:
        """Stage one change and publish it."""
        staged = self.stage(name, schema, added, removed, partition_by=partition_by, run=run)
        return self.publish(name, staged)

    def pointer(self, name: str) -> str | None:
        """Return the published metadata location."""
        with sqlite3.connect(self.database) as connection:
            row = connection.execute(
                "select metadata_location from iceberg_tables where table_name = ?", [name]
            ).fetchone()
        return str(row[0]) if row else None

    def publish(self, name: str, location: str) -> Table:
        """Point the catalog at staged metadata, by SQL alone, and return the table as pyiceberg finds it."""
        with sqlite3.connect(self.database) as connection:
            connection.execute(
                "insert into iceberg_tables values ('lake', 'silver', ?, ?, null, 'TABLE') on conflict do update set "
                "previous_metadata_location = metadata_location, metadata_location = excluded.metadata_location",
                [name, location],
            )
        return self.catalog.load_table(f"silver.{name}")


def rows(table: Table, row_filter: str = "true", snapshot_id: int | None = None) -> list[dict[str, Any]]:
    """Return a table's rows, in the order of their first column."""
    found: pa.Table = table.scan(row_filter=row_filter, snapshot_id=snapshot_id).to_arrow()
    return sorted(found.to_pylist(), key=lambda row: repr(next(iter(row.values()))))


def planned(table: Table, condition: str | BooleanExpression) -> int:
    """Return how many files a filter leaves to be read."""
    return len(list(table.scan(row_filter=condition).plan_files()))


def manifests(table: Table) -> list[ManifestFile]:
    """Return the manifests of the current snapshot."""
    snapshot = table.current_snapshot()
    assert snapshot
    return snapshot.manifests(table.io)


def manifest_count(table: Table) -> int:
    """Return how many manifests the current snapshot has."""
    return len(manifests(table))


def summary(table: Table) -> dict[str, str]:
    """Return what the current snapshot says of itself."""
    snapshot = table.current_snapshot()
    assert snapshot
    assert snapshot.summary
    return {"operation": snapshot.summary.operation.value, **snapshot.summary.additional_properties}
