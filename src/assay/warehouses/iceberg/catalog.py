"""The lake's catalog: a database with its pointers and control tables, which pyiceberg can open, opened without it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from assay.model.errors import ConflictError, WarehouseError
from assay.warehouses import control

NAME = "assay"
"""The catalog's name in the rows of its tables: `SqlCatalog("assay", ...)` sees the lake's tables."""

_METADATA = MetaData()
# These two have the columns of pyiceberg's own SQL catalog, so that other programs can open the lake.
TABLES = Table(
    "iceberg_tables",
    _METADATA,
    Column("catalog_name", String(255), primary_key=True),
    Column("table_namespace", String(255), primary_key=True),
    Column("table_name", String(255), primary_key=True),
    Column("metadata_location", String(1000)),
    Column("previous_metadata_location", String(1000)),
    Column("iceberg_type", String(5), default="TABLE"),
)
NAMESPACES = Table(
    "iceberg_namespace_properties",
    _METADATA,
    Column("catalog_name", String(255), primary_key=True),
    Column("namespace", String(255), primary_key=True),
    Column("property_key", String(255), primary_key=True),
    Column("property_value", String(1000), nullable=False),
)


class Catalog(ABC):
    """A database with a lake's pointers and control tables, which need not be there before `create`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Return what errors call it; without a password."""

    @abstractmethod
    def create(self) -> None:
        """Make the lake's folder and the tables where they are missing; WarehouseError where that cannot be done."""

    @abstractmethod
    def is_made(self) -> bool:
        """Return whether the tables are there; raises WarehouseError where they must be and are not."""

    @abstractmethod
    def read(self) -> AbstractContextManager[Connection]:
        """Open one consistent view of the catalog."""

    @abstractmethod
    def write(self) -> AbstractContextManager[Connection]:
        """Open a transaction that no other writer of assay can come between."""

    @abstractmethod
    def check_structure(self) -> None:
        """Raise WarehouseError where the database is damaged in its structure; its values have no sums."""

    @abstractmethod
    def shrink(self) -> None:
        """Give the disk back what was deleted, unless the database sees to that itself."""

    def check(self) -> None:
        """Raise WarehouseError where the catalog is not one of this format."""
        with self.read() as connection:
            found = connection.execute(select(control.FORMATS.c.format)).scalar()
        if found != control.FORMAT:
            raise WarehouseError(f"{self.name}: has format {found}, and this assay reads format {control.FORMAT}.")


def make_tables(connection: Connection) -> None:
    """Make the tables of a catalog where they are missing."""
    _METADATA.create_all(connection)
    control.METADATA.create_all(connection)
    if connection.execute(select(control.FORMATS.c.format)).first() is None:
        connection.execute(insert(control.FORMATS).values(format=control.FORMAT))


def swap_pointers(connection: Connection, locations: Mapping[str, tuple[str | None, str]]) -> None:
    """Point tables, by "namespace.table", from where they pointed at new metadata; else raise ConflictError."""
    for namespace in sorted({name.partition(".")[0] for name in locations}):
        _add_namespace(connection, namespace)
    for name, (base, location) in locations.items():
        namespace, _, table = name.partition(".")
        swap_pointer(connection, namespace, table, base, location)


def swap_pointer(connection: Connection, namespace: str, table: str, base: str | None, location: str) -> None:
    """Point a table at new metadata, where it still points at the base; else raise ConflictError."""
    if base is None:
        new = {"catalog_name": NAME, "table_namespace": namespace, "table_name": table, "metadata_location": location}
        try:
            connection.execute(insert(TABLES).values(**new))
        except IntegrityError as error:
            raise ConflictError(
                f"{namespace}.{table}: another program has written a table of the same name."
            ) from error
        return
    mine = (TABLES.c.catalog_name == NAME) & (TABLES.c.table_namespace == namespace) & (TABLES.c.table_name == table)
    done = connection.execute(
        update(TABLES)
        .where(mine, TABLES.c.metadata_location == base)
        .values(metadata_location=location, previous_metadata_location=base)
    )
    if done.rowcount != 1:
        raise ConflictError(f"{namespace}.{table} was changed by another program in the meantime.")


def drop_pointer(connection: Connection, namespace: str, table: str, base: str) -> None:
    """Take a table out of the catalog, where it still points at the base; else raise ConflictError."""
    mine = (TABLES.c.catalog_name == NAME) & (TABLES.c.table_namespace == namespace) & (TABLES.c.table_name == table)
    if connection.execute(delete(TABLES).where(mine, TABLES.c.metadata_location == base)).rowcount != 1:
        raise ConflictError(f"{namespace}.{table} was changed by another program in the meantime.")


def _add_namespace(connection: Connection, namespace: str) -> None:
    """Make a namespace known, where it is not yet."""
    mine = (NAMESPACES.c.catalog_name == NAME) & (NAMESPACES.c.namespace == namespace)
    if connection.execute(select(NAMESPACES.c.namespace).where(mine)).first() is None:
        connection.execute(
            insert(NAMESPACES).values(
                catalog_name=NAME, namespace=namespace, property_key="exists", property_value="true"
            )
        )


def pointers(connection: Connection) -> dict[str, str]:
    """Return the metadata location of every table, by "namespace.table"."""
    rows = connection.execute(select(TABLES).where(TABLES.c.catalog_name == NAME))
    return {f"{row.table_namespace}.{row.table_name}": row.metadata_location for row in rows}
