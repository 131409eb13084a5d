"""A publish takes away as many files and slices as there are, whatever number of parameters a database takes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from assay.model.data import DataFile, Manifest
from assay.model.errors import ConflictError, WarehouseError
from assay.model.ports import Publication
from assay.model.schema import Schema
from assay.model.source import FileIdentity, Slice
from assay.warehouses import lease, publishing
from assay.warehouses.control import DATASETS, FILES, SLICES
from assay.warehouses.iceberg.catalog import Catalog
from assay.warehouses.iceberg.shared import SharedCatalog
from assay.warehouses.iceberg.sqlite import SqliteCatalog
from tests.conformance.place import ID, PLAN, Columns, ended

MANY = 66_000
"""PostgreSQL takes 65,535 parameters in a statement, SQLite 32,766."""
SOURCE = "source:shop.orders"


@pytest.fixture(params=["sqlite", "postgres"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Catalog:
    made: Catalog = SqliteCatalog(tmp_path / "lake/catalog.db")
    if request.param == "postgres":
        made = SharedCatalog(tmp_path / "lake", request.getfixturevalue("postgres_url").replace("+psycopg", ""))
    made.create()
    return made


def publish(catalog: Catalog, names: list[str], removed: Sequence[str], columns: Columns = ID) -> None:
    """Publish these deliveries alone, each a file, in the place of others."""
    slices = [Slice(name, n, FileIdentity("/in", 1, 2, 3, 4, "0"), "2024-12-01", 5, 1) for n, name in enumerate(names)]
    with catalog.write() as connection:
        limit(connection)
        base = connection.execute(select(DATASETS.c.version)).scalar()
        handle = lease.take(connection, "shop", PLAN, lease.SECONDS)
        assert handle
        manifest = Manifest(
            dataset=SOURCE,
            attempt=1,
            base=base,
            changed=True,
            schema=Schema.of(columns),
            next_field_id=9,
            partition_by=(),
            added=tuple(DataFile(name, 1, 10, slice=name) for name in names),
            removed=tuple(removed),
            fingerprint="",
            inputs={},
            slices=tuple(slices),
        )
        publication = Publication("shop", {SOURCE: manifest}, {}, ended(handle))
        publishing.write(connection, handle, publication, {})


def limit(connection: Connection) -> None:
    """Have SQLite take no more parameters than where nobody has built it to take more."""
    own = connection.connection.driver_connection
    if isinstance(own, sqlite3.Connection):
        own.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)


def standing(catalog: Catalog) -> list[list[str]]:
    """The files that stand, and the slices."""
    with catalog.read() as connection:
        return [
            [*connection.execute(select(column).where(column.table.c.removed_seq.is_(None))).scalars()]
            for column in (FILES.c.path, SLICES.c.name)
        ]


def test_more_files_and_slices_than_a_statement_has_parameters_give_way(catalog: Catalog) -> None:
    many = [f"'ü' \"😀\\ {n}" for n in range(MANY)]
    publish(catalog, many, ())
    wide = (*ID, ("name", "VARCHAR"))
    with pytest.raises(ConflictError, match="has lost files that this run meant to replace"):
        publish(catalog, ["new"], [*many, "no such file"])
    with pytest.raises(WarehouseError, match="has other columns than files that it keeps"):
        publish(catalog, ["new"], many[1:], wide)
    assert [len(names) for names in standing(catalog)] == [MANY, MANY]
    publish(catalog, ["new"], many, wide)
    assert standing(catalog) == [["new"], ["new"]]
