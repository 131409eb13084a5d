"""A lake's catalog in a SQLite file of its folder, for one machine."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, inspect
from sqlalchemy.exc import DatabaseError

from assay.model.errors import WarehouseError
from assay.warehouses import control
from assay.warehouses.iceberg.catalog import Catalog, make_tables

FILE = "catalog.db"
LOCK_SECONDS = 60
_SHRINK_SECONDS = 5
_UNCLEAR = ("unable to open database file", "attempt to write a readonly database", "disk I/O error")


class SqliteCatalog(Catalog):
    """A SQLite file with the lake's pointers and control tables."""

    def __init__(self, path: Path) -> None:
        """Open the catalog, which need not exist before `create`."""
        self.path = path
        self._turn = threading.Lock()
        """Threads wait for one another here: whom the database keeps waiting sleeps, up to a tenth of a second."""
        self._engine: Engine = create_engine(
            # A path may hold what a URL gives a meaning to, such as a question mark.
            URL.create("sqlite", database=str(path)),
            poolclass=NullPool,
            connect_args={"timeout": LOCK_SECONDS},
        )
        event.listen(self._engine, "connect", _on_connect)
        event.listen(self._engine, "begin", _on_begin)

    @property
    def name(self) -> str:
        """Return the path."""
        return str(self.path)

    def create(self) -> None:
        """Make the folder and the tables where they are missing."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(f"{self.path.parent}: cannot be made a lake: {error.strerror or error}.") from None
        with self.write() as connection:
            make_tables(connection)

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

    def check_structure(self) -> None:
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
            self._turn,
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
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise WarehouseError(f"{path}: holds a record that is damaged: {error}. Restore it from a copy.") from error
    except DatabaseError as error:
        raise WarehouseError(f"{path}: cannot be used as a catalog: {_why(error)}.") from error


def _why(error: DatabaseError) -> str:
    """Return what the database says, and where that is not what is the matter, what may be."""
    said = str(error.orig)
    return f"{said}; see whether its disk is full or its folder read-only" if said in _UNCLEAR else said


def _on_connect(connection: Any, _: Any) -> None:
    # Transactions are begun below, in the mode they need, not by the driver at the first write.
    connection.isolation_level = None
    connection.execute("pragma synchronous = full")
    connection.execute("pragma foreign_keys = on")


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("assay_write", False)
    connection.exec_driver_sql("begin immediate" if writes else "begin")
