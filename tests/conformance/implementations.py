"""Every warehouse and every engine that the conformance suites are run with: a new one is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path

from assay.engines.duckdb.engine import DuckDbEngine
from assay.model.ports import Engine, Warehouse
from assay.warehouses.iceberg.shared import SharedCatalog
from assay.warehouses.iceberg.store import IcebergWarehouse
from assay.warehouses.postgres.store import PostgresWarehouse

ADDRESS = "address"
"""The file of a folder that tells which database belongs to it."""


def _postgres(folder: Path) -> Warehouse:
    return PostgresWarehouse((folder / ADDRESS).read_text(), folder / "copies", create=True, migrates=True)


def _shared_lake(folder: Path) -> Warehouse:
    catalog = SharedCatalog(folder / "lake", (folder / ADDRESS).read_text())
    return IcebergWarehouse(folder / "lake", create=True, catalog=catalog)


WAREHOUSES: Mapping[str, Callable[[Path], Warehouse]] = {
    "lake": lambda folder: IcebergWarehouse(folder / "lake", create=True),
    "shared lake": _shared_lake,
    "postgres": _postgres,
}
"""Opens the warehouse that belongs to a folder, and makes it where there is none; opening again gives the same one."""

ENGINES: Mapping[str, Callable[[], AbstractContextManager[Engine]]] = {
    "duckdb": lambda: closing(DuckDbEngine(threads=1, memory_limit="512MB")),
}
"""Opens an engine, and closes it at the end of the block."""
