"""Connections to a database that is read: what they ask and get does not depend on the settings of role or server."""

from __future__ import annotations

import os
from typing import Any

import psycopg

from assay.model.errors import SourceError
from assay.model.secrets import without_secrets

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
    # A connection that is left behind by a killed process holds nothing for long.
    "idle_in_transaction_session_timeout": "1h",
    "search_path": "pg_catalog",
}

Connection = psycopg.Connection[Any]


def connect(url: str, *, writes: bool = False) -> Connection:
    """Open a connection in autocommit; `writes` is for what slots and publications need.

    Raises SourceError for an address that is not there or cannot be read, psycopg.OperationalError where the server
    cannot be reached or lets nobody in.
    """
    settings = {**_SETTINGS, "default_transaction_read_only": "off" if writes else "on"}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    try:
        return psycopg.connect(
            address(url),
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            application_name="assay",
            options=options,
            keepalives_idle=60,
        )
    except psycopg.ProgrammingError as error:
        raise SourceError(
            f"{without_secrets(url)}: is no address of a database: {without_secrets(str(error))}"
        ) from None


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
    return SourceError(f"{without_secrets(url)}: {lines[0].rstrip('.') if lines else type(error).__name__}.")
