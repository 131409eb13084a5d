"""Databases for tests of the scripts of deploy/, and the programs that they call."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg

from assay.warehouses.postgres.server.account import Account
from assay.warehouses.postgres.server.binaries import find_binaries
from tests.deploy.files import DEPLOY


def plain(url: str) -> str:
    """Return an address as psql takes it."""
    return url.replace("+psycopg", "")


def own_programs(url: str, near: Path) -> dict[str, str]:
    """Return an environment in which pg_dump and the others are of the server's version."""
    with psycopg.connect(plain(url)) as connection:
        major = connection.info.server_version // 10_000
    folder = find_binaries(Account(os.geteuid(), os.getegid()), near, major=major).folder
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def script(name: str, *arguments: object, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Call one of the scripts."""
    command = [DEPLOY / name, *map(str, arguments)]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)


@contextmanager
def another(url: str, name: str) -> Iterator[str]:
    """Make a database beside that of an address, which goes with the block."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    try:
        yield urlsplit(plain(url))._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(plain(url), autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")


def variables(url: str) -> dict[str, str]:
    """Return an address as the variables of libpq."""
    parts = urlsplit(plain(url))
    asked = parse_qs(parts.query)
    return {"PGHOST": asked["host"][0], "PGPORT": asked["port"][0], "POSTGRES_DB": parts.path.removeprefix("/")}
