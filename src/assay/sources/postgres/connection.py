"""Connections to a database that is read: what they ask and get does not depend on the settings of role or server."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import psycopg

from assay.model.errors import SourceError
from assay.model.secrets import address_without_secrets, without_secrets

_CONNECT_SECONDS = 10
_VARIABLE = "env:"
_SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "client_encoding": "UTF8",
    # Where a policy would hide rows, the server says so instead of leaving them out.
    "row_security": "off",
    # A large table takes its time, while the connection that took the snapshot waits for the others.
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # One that is left behind by a machine that is gone holds nothing for long.
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
    "lc_monetary": "C",
    "search_path": "pg_catalog",
}
_UNLIMITED_FROM = 170_000
"""Servers before 17 know no `transaction_timeout`."""

Connection = psycopg.Connection[Any]


def connect(url: str, *, writes: bool = False) -> Connection:
    """Open a connection in autocommit; `writes` is for what slots and publications need.

    Raises SourceError for an address that is not there or cannot be read, psycopg.OperationalError where the server
    cannot be reached or lets nobody in.
    """
    settings = {**_SETTINGS, "default_transaction_read_only": "off" if writes else "on"}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    try:
        connection = psycopg.connect(
            address(url),
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            application_name="assay",
            options=options,
            keepalives_idle=60,
        )
    except psycopg.ProgrammingError:
        # What the driver says repeats the address, with the password wherever that stands in it.
        raise SourceError(
            f"{address_without_secrets(url)}: what it holds is no address of a database: postgresql://user@host/database."
        ) from None
    if connection.info.server_version >= _UNLIMITED_FROM:
        connection.execute("set transaction_timeout = 0")
    return connection


def answers(connection: Connection) -> bool:
    """Return whether a server still answers on a connection that nobody has used for a while."""
    try:
        connection.execute("select")
    except psycopg.Error:
        return False
    return True


def cancel(connection: Connection) -> None:
    """Make what a connection is waiting for in another thread end with an error, if its server can be told."""
    with suppress(psycopg.Error):
        connection.cancel_safe(timeout=_CONNECT_SECONDS)


def address(url: str) -> str:
    """Return the address that stands in an environment variable, or the address itself, as libpq reads it."""
    if not url.startswith(_VARIABLE):
        return url
    name = url.removeprefix(_VARIABLE)
    found = os.environ.get(name, "")
    if not found.strip():
        raise SourceError(
            f"The environment variable {name} is not set; it should hold postgresql://user@host/database."
        )
    return found.replace("postgresql+psycopg://", "postgresql://", 1)


def explained(url: str, error: psycopg.Error) -> SourceError:
    """Return an error of the driver as one of a source, without a password."""
    lines = without_secrets(str(error)).strip().splitlines()
    return SourceError(f"{address_without_secrets(url)}: {lines[0].rstrip('.') if lines else type(error).__name__}.")
