"""Scratch warehouses in the databases of one embedded server, which can be struck down."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from assay.warehouses.postgres.server.embedded import embedded

_FRESH = "fresh"
"""The database that empty ones are copies of."""
_PAUSE = 0.01


class Databases:
    """A server in a folder, with a database for each path."""

    def __init__(self, folder: Path, prepare: Callable[[str], object]) -> None:
        """Start the server; `prepare` is called with the address of the database that empty ones are copies of."""
        self._folder = folder
        self._use = ExitStack()
        self._start()
        self._make(_FRESH, "template1")
        prepare(self._address(_FRESH))

    def location(self, path: Path) -> str:
        """Return the address of the path's database, which is made where it is missing."""
        name = _name(path)
        if not self._ask("select 1 from pg_database where datname = %s", name):
            self._make(name, _FRESH)
        return self._address(name)

    def clear(self, path: Path) -> None:
        """Make the database anew, with empty tables."""
        self.remove(path)
        self._make(_name(path), _FRESH)

    def copy(self, path: Path, to: Path) -> None:
        """Make one database a copy of another."""
        self.remove(to)
        self._make(_name(to), _name(path))

    def remove(self, path: Path) -> None:
        """Drop the database, whoever is connected to it."""
        self._tell(sql.SQL("drop database if exists {} with (force)"), _name(path))

    def strike(self) -> bool:
        """End the server as a failure of its machine does, and start it again: it recovers by its log."""
        strike(self._folder)
        self._use.close()
        self._start()
        return True

    def close(self) -> None:
        """Let the server stop."""
        self._use.close()

    def _start(self) -> None:
        self._url = self._use.enter_context(embedded(self._folder)).replace("+psycopg", "")

    def _address(self, name: str) -> str:
        return self._url.replace("/assay?", f"/{name}?", 1)

    def _make(self, name: str, template: str) -> None:
        # A template must have no connections: those of processes that were killed may take a moment to end.
        self._ask("select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = %s", template)
        # Copied by its log, a database loses numbers that its sequences have given, when the server crashes later.
        self._tell(sql.SQL("create database {} template {} strategy file_copy"), name, template)

    def _tell(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement.format(*map(sql.Identifier, names)))

    def _ask(self, text: str, value: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            return connection.execute(text.encode(), [value]).fetchall()


def strike(folder: Path) -> None:
    """End the server of a folder at once, without a word to anybody, and wait until it has ended."""
    process = int((folder / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0])
    os.kill(process, signal.SIGQUIT)
    while _lives(process):
        time.sleep(_PAUSE)


def _name(path: Path) -> str:
    return f"s_{hashlib.sha256(os.fsencode(path)).hexdigest()[:24]}"


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
