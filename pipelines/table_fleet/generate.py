"""Makes the fleet's source database: tables that are alike, changes that come later, and a lock that blocks readers.

    python -m pipelines.table_fleet.generate make postgresql://me@localhost/fleet
    python -m pipelines.table_fleet.generate change --rows 100
    python -m pipelines.table_fleet.generate lock --table 7 --seconds 60

Where no address is given, PostgreSQL's own variables (PGHOST, PGDATABASE, ...) name the database.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from pipelines.table_fleet.tables import TABLES

Connection = psycopg.Connection[Any]

SOURCE = Path(__file__).parent / "source"


def make(connection: Connection, *, rows: int, seed: int, lock_timeout: str = "2s") -> None:
    """Make the tables anew, with so many rows in each; readers wait so long for one that is locked."""
    _execute(connection, "schema", lock_timeout=lock_timeout)
    _execute(connection, "fill", rows=rows, seed=seed)


def change(connection: Connection, *, rows: int, seed: int) -> None:
    """Let so many rows of every table change, and half as many go, in one transaction."""
    _execute(connection, "change", rows=rows, seed=seed)


@contextmanager
def locked(connection: Connection, table: int) -> Iterator[None]:
    """Let nobody read a table until the block ends, as a migration does that takes its time."""
    with connection.transaction():
        name = sql.Identifier("fleet", TABLES[table])
        connection.execute(sql.SQL("lock table {} in access exclusive mode").format(name))
        yield


def _execute(connection: Connection, name: str, **settings: object) -> None:
    """Carry out a file of statements in one transaction."""
    with connection.transaction():
        for setting, value in {"tables": len(TABLES), **settings}.items():
            connection.execute("select set_config(%s, %s, true)", (f"fleet.{setting}", str(value)))
        connection.execute((SOURCE / f"{name}.sql").read_bytes())


def _told(connection: Connection, options: argparse.Namespace) -> Iterator[str]:
    """Do what was asked for, and say what was done."""
    match options.what:
        case "make":
            make(connection, rows=options.rows, seed=options.seed, lock_timeout=options.lock_timeout)
            yield f"made {len(TABLES)} tables of {options.rows:,} rows"
        case "change":
            change(connection, rows=options.rows, seed=options.seed)
            yield f"{options.rows:,} rows of every table changed, {options.rows // 2:,} went"
        case "lock":
            with locked(connection, options.table):
                yield f"{TABLES[options.table]} is locked for {options.seconds:g} seconds"
                time.sleep(options.seconds)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m pipelines.table_fleet.generate", description="The fleet's source.")
    parser.add_argument("--seed", type=int, default=1, help="another seed makes other rows (1)")
    kinds = parser.add_subparsers(dest="what", required=True)
    first = kinds.add_parser("make", help="make the tables anew, with rows in them")
    first.add_argument("--rows", type=int, default=1000, help="rows of each table (1000)")
    first.add_argument("--lock-timeout", default="2s", help="how long readers wait for a table that is locked (2s)")
    later = kinds.add_parser("change", help="let rows change and go")
    later.add_argument("--rows", type=int, default=100, help="rows of each table that change (100)")
    lock = kinds.add_parser("lock", help="let nobody read a table")
    lock.add_argument("--table", type=int, default=7, choices=range(len(TABLES)), metavar="N", help="which one (7)")
    lock.add_argument("--seconds", type=float, default=60, help="for how long (60)")
    for kind in (first, later, lock):
        kind.add_argument("address", nargs="?", default="", help="postgresql://..., else PGHOST, PGDATABASE, ...")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Make the fleet, change it or lock a table of it, and tell it in a line."""
    options = _options(arguments)
    with psycopg.connect(options.address, autocommit=True) as connection:
        for line in _told(connection, options):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
