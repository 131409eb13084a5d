"""A lake's catalog in a PostgreSQL database, for machines that share the lake: in a schema of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import Connection, inspect

from assay.model.errors import UsageError, WarehouseError
from assay.model.secrets import address_without_secrets
from assay.warehouses import control
from assay.warehouses.iceberg import signpost, sqlite
from assay.warehouses.iceberg.catalog import Catalog, make_tables
from assay.warehouses.iceberg.signpost import Signpost
from assay.warehouses.postgres.content import driver
from assay.warehouses.postgres.database import Database

_ELSEWHERE = f"{signpost.FILE} in the lake's folder says so; ASSAY_CATALOG names another address, or a password"
_AUTH_FROM = 160000
"""The version of libpq that knows `require_auth`."""


class SharedCatalog(Catalog):
    """A schema with the lake's pointers and control tables, in a database that the lake's folder names."""

    def __init__(self, root: Path, address: str | None) -> None:
        """Take the database to make the catalog in, or to find it at; None for the one that the folder names.

        Raises UsageError for what is no address, WarehouseError for a folder whose catalog is in it.
        """
        if address is not None and not signpost.is_address(address):
            raise UsageError(
                f"The catalog {address_without_secrets(address)!r} is no database that lakes can have one in; write "
                "postgresql://user@host/database."
            )
        if (root / sqlite.FILE).exists():
            if signpost.is_there(root):
                why = f"that which {signpost.FILE} names. Take the one away that is not the lake's"
                raise WarehouseError(f"{root}: has two catalogs, {sqlite.FILE} and {why}.")
            raise WarehouseError(
                f"{root}: has its catalog in {sqlite.FILE}, and cannot have another. For this lake set no `catalog` "
                "and no ASSAY_CATALOG; or name a new folder."
            )
        self._root = root
        self._address = address
        self._known: Database | None = None

    @property
    def name(self) -> str:
        """Return the address without a password, and the schema."""
        return f"{self._database.shown} (schema {self._database.schema})"

    def create(self) -> None:
        """Make the schema with its tables, then the folder's file that names it, unless another process was faster."""
        if self._address is None:
            raise WarehouseError(f"{self._root}: has lost its {signpost.FILE}, which named its catalog.")
        made = Database(self._address, signpost.new_schema(self._root))
        schema, comment = sql.Identifier(made.schema), f"The catalog of the lake in {self._root}."
        with signpost.drafted(self._root, Signpost(made.public, made.schema)) as stand:
            with _allowed(), made.transaction() as connection:
                _carry_out(connection, sql.SQL("create schema {}").format(schema))
                _carry_out(connection, sql.SQL("comment on schema {} is {}").format(schema, sql.Literal(comment)))
                make_tables(connection)
            # Only now: what the file names is there.
            if stand():
                self._known = made
                return
            with made.transaction() as connection:
                _carry_out(connection, sql.SQL("drop schema {} cascade").format(schema))
        made.close()

    def is_made(self) -> bool:
        """Return whether the lake has a catalog; raises WarehouseError where it has one and that is not to be found."""
        if self._known is None:
            found = signpost.read(self._root)
            if found is None:
                return False
            self._known = self._found(found)
        return True

    def _found(self, found: Signpost) -> Database:
        """Return the database that has the catalog; raises WarehouseError where it has not."""
        named = Database(self._address, found.schema) if self._address else None
        database = named or Database(found.address, found.schema, **_careful())
        try:
            with database.read() as connection:
                is_there = inspect(connection).has_table(control.FORMATS.name, schema=found.schema)
        except WarehouseError as error:
            if self._address is not None:
                raise
            raise type(error)(f"{error} {_ELSEWHERE}.") from error
        if not is_there:
            hint = f"ASSAY_CATALOG or `catalog` says so, and {signpost.FILE} {found.address}" if self._address else ""
            raise WarehouseError(
                f"{self._root}: {database.shown} does not hold its catalog, schema {found.schema}. "
                f"{hint or _ELSEWHERE}. Name the right one, or restore the database."
            )
        return database

    @property
    def _database(self) -> Database:
        if not self.is_made():
            raise WarehouseError(f"{self._root}: has lost its {signpost.FILE}, which named its catalog.")
        assert self._known is not None, "is_made has found it"
        return self._known

    def read(self) -> AbstractContextManager[Connection]:
        """Open one consistent view of the catalog."""
        return self._database.read()

    def write(self) -> AbstractContextManager[Connection]:
        """Open a transaction that no other writer of assay can come between, from whatever machine."""
        return self._database.write()

    def check_structure(self) -> None:
        """Do nothing: the server looks at its pages as it reads them."""

    def shrink(self) -> None:
        """Do nothing: the server vacuums its tables by itself."""


@contextmanager
def _allowed() -> Iterator[None]:
    """Tell a role that may not make a schema who can."""
    try:
        yield
    except WarehouseError as error:
        if isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            raise WarehouseError(
                f"{error} The first run of a lake makes a schema for its catalog: make that run as a role that may "
                "create schemas there, and grant what others need."
            ) from error
        raise


def _careful() -> dict[str, str]:
    """Return what keeps libpq from telling its user's password to the server that a folder names.

    Whoever can write the folder decides where it leads.
    """
    return {"require_auth": "!password,!md5"} if psycopg.pq.version() >= _AUTH_FROM else {}


def _carry_out(connection: Connection, statement: sql.Composed) -> None:
    driver(connection).execute(statement)
