"""The database of a warehouse: connections that are looked at before use, transactions, errors without secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import URL, Connection, create_engine, func, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError

from assay.model.errors import UsageError, WarehouseError
from assay.model.secrets import address_without_secrets, without_secrets

SCHEMA = "assay"
"""Of everything that is not a table of a pipeline."""
_CONNECT_SECONDS = 10
_SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "extra_float_digits": "1",
    "client_encoding": "UTF8",
    "array_nulls": "on",
    "xmloption": "content",
    "lc_monetary": "C",
}
"""What is asked and told, and read from texts, must not depend on the settings of a role or server."""
_PERMANENT = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "is not permitted to log in",
    "permission denied",
)
"""Wrong role, wrong password, no such database, no privilege: another try would tell the same.

Of a connection that could not be made, the driver tells words and no SQLSTATE.
"""


class ConnectionLostError(WarehouseError):
    """The server has gone away: it may come back."""


class Database:
    """A database of a PostgreSQL server, and the schema in it that this is about."""

    def __init__(self, url: str, schema: str = SCHEMA, **parameters: str) -> None:
        """Take the address, as libpq or SQLAlchemy write it, and parameters of libpq that come before those in it."""
        try:
            address = make_url(url).set(drivername="postgresql+psycopg")
        except (ArgumentError, ValueError):
            raise UsageError("The database's address cannot be read; write postgresql://user@host/database.") from None
        self.address = address.set(drivername="postgresql").render_as_string(hide_password=False)
        """As libpq takes it, with the password where it has one."""
        self.shown = address_without_secrets(address.set(drivername="postgresql").render_as_string(hide_password=True))
        self.public = _without_passwords(address.set(drivername="postgresql")).render_as_string(hide_password=False)
        """As libpq takes it, for a place that others may read."""
        self.schema = schema
        # Any number that others are unlikely to take: of each schema its own, so that their writers do not wait.
        self._lock = int.from_bytes(hashlib.sha256(f"assay {schema}".encode()).digest()[:8], "big", signed=True)
        self._engine = create_engine(
            address,
            # A connection is looked at before it is given out: a server that was restarted is not noticed by its users.
            pool_pre_ping=True,
            pool_size=8,
            max_overflow=24,
            connect_args={
                **parameters,
                "connect_timeout": _CONNECT_SECONDS,
                "application_name": "assay",
                "options": " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items()),
            },
            execution_options={"schema_translate_map": {None: schema}},
        )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open one consistent view of the database."""
        with self._named(), self._engine.connect() as connection:
            whole = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with whole.begin():
                yield whole

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction, which others may overlap until it takes the lock."""
        with self._named(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that no other writer of assay overlaps."""
        with self.transaction() as connection:
            self.lock(connection)
            yield connection

    def lock(self, connection: Connection) -> None:
        """Wait until no other writer is at work, and keep them out until the transaction ends."""
        connection.execute(select(func.pg_advisory_xact_lock(self._lock)))

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn what the server says into an error that names the warehouse."""
        try:
            yield
        except DBAPIError as error:
            raise self._told(error, lost=error.connection_invalidated or _is_unreached(error.orig)) from error
        except psycopg.Error as error:
            # Of a connection that broke, its rollback fails as well, and that comes above in the place of this.
            raise self._told(error, lost=False) from error

    def _told(self, error: DBAPIError | psycopg.Error, *, lost: bool) -> WarehouseError:
        cause = error.orig if isinstance(error, DBAPIError) else error
        why = without_secrets(str(cause).strip().splitlines()[0]) if str(cause).strip() else type(cause).__name__
        kind = ConnectionLostError if lost else WarehouseError
        return kind(f"{self.shown}: {why.rstrip('.')}.")


def _without_passwords(address: URL) -> URL:
    secret = [name for name in address.query if without_secrets(f"{name}=x") != f"{name}=x"]
    # `address.set(password=None)` would leave it as it is.
    bare = URL.create(address.drivername, address.username, None, address.host, address.port, address.database)
    return bare.set(query=address.query).difference_update_query(secret)


def _is_unreached(error: BaseException | None) -> bool:
    """Return whether no connection could be made, and one may be had later."""
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return True
    # The driver's error holds a connection where that one could not be made, and nowhere else.
    failed = isinstance(error, psycopg.OperationalError) and error.pgconn is not None
    return failed and not any(words in str(error) for words in _PERMANENT)
