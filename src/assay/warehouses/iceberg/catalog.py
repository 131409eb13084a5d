"""The lake's catalog: a SQLite file that pyiceberg can open, opened here without pyiceberg."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    MetaData,
    NullPool,
    String,
    Table,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DatabaseError, IntegrityError

from assay.model.errors import ConflictError, WarehouseError
from assay.warehouses import control

NAME = "assay"
"""The catalog's name in the rows of its tables: `SqlCatalog("assay", ...)` sees the lake's tables."""
FILE = "catalog.db"
LOCK_SECONDS = 60
_SHRINK_SECONDS = 5
_UNCLEAR = ("unable to open database file", "attempt to write a readonly database", "disk I/O error")

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


class Catalog:
    """A SQLite file with the lake's pointers and control tables."""

    def __init__(self, path: Path) -> None:
        """Open the catalog, which need not exist before `create`."""
        self.path = path
        self._engine: Engine = create_engine(
            # A path may hold what a URL gives a meaning to, such as a question mark.
            URL.create("sqlite", database=str(path)),
            poolclass=NullPool,
            connect_args={"timeout": LOCK_SECONDS},
        )
        event.listen(self._engine, "connect", _on_connect)
        event.listen(self._engine, "begin", _on_begin)

    def create(self) -> None:
        """Make the folder and the tables where they are missing."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(f"{self.path.parent}: cannot be made a lake: {error.strerror or error}.") from None
        with self.write() as connection:
            _METADATA.create_all(connection)
            control.METADATA.create_all(connection)
            if connection.execute(select(control.FORMATS.c.format)).first() is None:
                connection.execute(insert(control.FORMATS).values(format=control.FORMAT))

    def is_made(self) -> bool:
        """Return whether the tables are there; raises WarehouseError for a database of another program."""
        try:
            if not self.path.exists():
                return False
        except OSError as error:
            raise WarehouseError(f"{self.path}: {error.strerror}.") from None
        with self.read() as connection:
            tables = inspect(connection).get_table_names()
        if tables and control.FORMATS.name not in tables:
            raise WarehouseError(f"{self.path}: is no catalog of assay.")
        return bool(tables)

    def check(self) -> None:
        """Raise WarehouseError where the catalog is not one of this format."""
        with self.read() as connection:
            found = connection.execute(select(control.FORMATS.c.format)).scalar()
        if found != control.FORMAT:
            raise WarehouseError(f"{self.path}: has format {found}, and this assay reads format {control.FORMAT}.")

    def check_pages(self) -> None:
        """Raise WarehouseError where the database is damaged in its structure; its values have no sums."""
        with self.read() as connection:
            found = connection.exec_driver_sql("pragma integrity_check").scalar()
        if found != "ok":
            raise WarehouseError(f"{self.path}: is damaged: {found}. Restore it from a copy.")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open one consistent view of the catalog."""
        with _named(self.path), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that no other writer can come between."""
        with (
            _named(self.path),
            self._engine.connect().execution_options(assay_write=True) as connection,
            connection.begin(),
        ):
            yield connection

    def shrink(self) -> None:
        """Give the disk back what was deleted, unless others are at work here: rows made shorter keep their pages."""
        plain = sqlite3.connect(self.path, timeout=_SHRINK_SECONDS, isolation_level=None)
        with closing(plain), suppress(sqlite3.OperationalError):
            plain.execute("vacuum")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what the database says of a file it cannot use into an error that names the file."""
    try:
        yield
    except IntegrityError as error:
        raise ConflictError(f"{path}: another program has written a table of the same name.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise WarehouseError(f"{path}: holds a record that is damaged: {error}. Restore it from a copy.") from error
    except DatabaseError as error:
        raise WarehouseError(f"{path}: cannot be used as a catalog: {_why(error)}.") from error


def _why(error: DatabaseError) -> str:
    """Return what the database says, and where that is not what is the matter, what may be."""
    said = str(error.orig)
    return f"{said}; see whether its disk is full or its folder read-only" if said in _UNCLEAR else said


def swap_pointer(connection: Connection, namespace: str, table: str, base: str | None, location: str) -> None:
    """Point a table at new metadata, where it still points at the base; else raise ConflictError."""
    if base is None:
        connection.execute(
            insert(TABLES).values(
                catalog_name=NAME, table_namespace=namespace, table_name=table, metadata_location=location
            )
        )
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


def add_namespace(connection: Connection, namespace: str) -> None:
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


def _on_connect(connection: Any, _: Any) -> None:
    # Transactions are begun below, in the mode they need, not by the driver at the first write.
    connection.isolation_level = None
    connection.execute("pragma synchronous = full")
    connection.execute("pragma foreign_keys = on")


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("assay_write", False)
    connection.exec_driver_sql("begin immediate" if writes else "begin")
