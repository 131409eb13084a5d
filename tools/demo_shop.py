"""Shows the shop from nothing, for `make demo-shop`: its database, marts in another, changes, a load that fails."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg

from assay.warehouses.postgres.server.embedded import embedded
from pipelines.shop import generate

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build/shop"
WAREHOUSE = f"postgresql:{PLACE.relative_to(ROOT)}/server"
BAD = "alter table orders drop constraint orders_status_check; update orders set status = 'lost' where id % 1000 = 0"
MARTS = "select count(*) as orders, sum(order_total::decimal(14,2)) as sales from marts.fct_orders"


def say(text: str) -> None:
    """Tell what comes next."""
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()


def assay(*arguments: str, expected: int = 0) -> None:
    """Run a command as it is shown; end with its code where that is not what was to come."""
    command = ["assay", *arguments, "--warehouse", WAREHOUSE]
    say(f"$ {shlex.join(command)}")
    code = subprocess.run([Path(sys.executable).with_name("assay"), *command[1:]], cwd=ROOT, check=False).returncode
    if code != expected:
        sys.exit(f"demo-shop: that ended with {code}, and {expected} was to come.")


def show(connection: psycopg.Connection[object]) -> None:
    """Go through it, step by step."""
    say("# A shop with 1,000 customers and 10,000 orders, in a database of its own")
    generate.create(connection)
    generate.fill(connection)
    items = generate.grow(connection, customers=1000, products=100, orders=10_000, seed=1)
    say(f"made 10,007 orders with {items + 15:,} items")
    say("# All of it is loaded, and dbt builds and tests its models before anybody sees them")
    assay("run", "shop")
    assay("sql", MARTS)
    say("# Orders come, change and go; only what they touch is built again")
    came, changed, went = generate.change(connection, rows=50, seed=2)
    say(f"{came} rows came, {changed} changed, {went} went")
    assay("run", "shop")
    assay("sql", MARTS)
    say("# A bad load: some orders have a status that the project does not know")
    connection.execute(BAD.encode())
    assay("run", "shop", expected=1)
    say("# The marts are as they were")
    assay("sql", MARTS)
    say("# Mended at the source, it is published")
    connection.execute("update orders set status = 'pending' where status = 'lost'")
    assay("run", "shop")
    assay("history")


def main() -> None:
    """Make both servers anew, and show it."""
    shutil.rmtree(PLACE, ignore_errors=True)
    with embedded(PLACE / "source") as url:
        address = url.replace("+psycopg", "", 1)
        os.environ["SHOP_URL"] = address
        with psycopg.connect(address, autocommit=True) as connection:
            show(connection)


if __name__ == "__main__":
    main()
