"""Makes the shop's source database: its tables, the sample or as many rows as are wanted, and changes that come later.

    python -m pipelines.shop.generate sample postgresql://me@localhost/shop
    python -m pipelines.shop.generate grow --customers 1000 --orders 10000
    python -m pipelines.shop.generate change --rounds 3

Where no address is given, PostgreSQL's own variables (PGHOST, PGDATABASE, ...) name the database; with `--schema raw`
the tables are where the dbt project looks for them.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[Any]

SOURCE = Path(__file__).parent / "source"


def enter(connection: Connection, schema: str) -> None:
    """Let all that follows on this connection be about the tables of a schema, which is made where it is missing."""
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
    connection.execute(sql.SQL("set search_path = {}").format(sql.Identifier(schema)))


def create(connection: Connection) -> None:
    """Make the tables, their triggers and indexes in the schema that is first on the search path."""
    _execute(connection, "schema")


def fill(connection: Connection) -> None:
    """Put the sample into tables that are empty: 5 customers, 10 products, 7 orders of 15 items."""
    _execute(connection, "sample")


def grow(connection: Connection, *, customers: int, products: int, orders: int, seed: int) -> int:
    """Add customers, products and orders; return how many items these have. The same seed adds the same."""
    *_, items = _execute(connection, "grow", customers=customers, products=products, orders=orders, seed=seed)
    return items


def change(connection: Connection, *, rows: int, seed: int) -> tuple[int, int, int]:
    """Let orders come, change and go in one transaction; return how many rows of orders and items each were."""
    with connection.transaction():
        came = rows + grow(connection, customers=0, products=0, orders=rows, seed=seed)
        orders_before = _count(connection)
        moved, more, *_ = _execute(connection, "change", rows=rows, seed=seed)
        return came, moved + more, orders_before - _count(connection)


def _count(connection: Connection) -> int:
    counted = connection.execute("select (select count(*) from orders) + (select count(*) from order_items)").fetchone()
    return int(counted[0]) if counted else 0


def _execute(connection: Connection, name: str, **settings: int) -> list[int]:
    """Carry out a file of statements in one transaction; return how many rows each was about."""
    with connection.transaction():
        for setting, value in settings.items():
            connection.execute("select set_config(%s, %s, true)", (f"shop.{setting}", str(value)))
        cursor = connection.execute((SOURCE / f"{name}.sql").read_bytes())
        return [result.rowcount for result in cursor.results()]


def _told(connection: Connection, options: argparse.Namespace) -> Iterator[str]:
    """Do what was asked for, and say of each step what it did."""
    match options.what:
        case "sample":
            create(connection)
            fill(connection)
            yield "made a shop of 5 customers, 10 products, 7 orders and 15 items"
        case "grow":
            much = {name: getattr(options, name) for name in ("customers", "products", "orders")}
            items = grow(connection, **much, seed=options.seed)
            yield ", ".join(f"{count:,} {name}" for name, count in (much | {"items": items}).items()) + " came"
        case "change":
            for number in range(1, options.rounds + 1):
                came, changed, went = change(connection, rows=options.rows, seed=options.seed + number)
                yield f"round {number}: {came:,} rows came, {changed:,} changed, {went:,} went"
                time.sleep(options.pause)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m pipelines.shop.generate", description="The shop's source database.")
    parser.add_argument("--schema", default="public", help="where the tables are (public)")
    parser.add_argument("--seed", type=int, default=1, help="another seed makes other rows (1)")
    kinds = parser.add_subparsers(dest="what", required=True)
    sample = kinds.add_parser("sample", help="make the tables, with 15 items of 7 orders in them")
    more = kinds.add_parser("grow", help="add customers, products and orders")
    more.add_argument("--customers", type=int, default=1000, help="how many (1000)")
    more.add_argument("--products", type=int, default=100, help="how many (100)")
    more.add_argument("--orders", type=int, default=10_000, help="how many, of three items on average (10000)")
    later = kinds.add_parser("change", help="let orders come, change and go")
    later.add_argument("--rounds", type=int, default=1, help="transactions, one after another (1)")
    later.add_argument("--rows", type=int, default=20, help="orders that come, and as many that change, in each (20)")
    later.add_argument("--pause", type=float, default=0, help="seconds between them (0)")
    for kind in (sample, more, later):
        kind.add_argument("address", nargs="?", default="", help="postgresql://..., else PGHOST, PGDATABASE, ...")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Make the shop, or change it, and tell each step in a line."""
    options = _options(arguments)
    with psycopg.connect(options.address, autocommit=True) as connection:
        enter(connection, options.schema)
        for line in _told(connection, options):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
