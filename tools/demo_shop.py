"""Shows the shop from nothing, for `make demo-shop`: its database, marts in another, changes, a load that fails."""

from __future__ import annotations

import psycopg

from pipelines.shop import generate
from tools.demo import Demo, say

DEMO = Demo("shop")
BAD = "alter table orders drop constraint orders_status_check; update orders set status = 'lost' where id % 1000 = 0"
MARTS = "select count(*) as orders, sum(order_total::decimal(14,2)) as sales from marts.fct_orders"


def show(connection: psycopg.Connection[object]) -> None:
    """Go through it, step by step."""
    say("# A shop with 1,000 customers and 10,000 orders, in a database of its own")
    generate.create(connection)
    generate.fill(connection)
    items = generate.grow(connection, customers=1000, products=100, orders=10_000, seed=1)
    say(f"made 10,007 orders with {items + 15:,} items")
    say("# All of it is loaded, and dbt builds and tests its models before anybody sees them")
    DEMO.assay("run", "shop")
    DEMO.assay("sql", MARTS)
    say("# Orders come, change and go; only what they touch is built again")
    came, changed, went = generate.change(connection, rows=50, seed=2)
    say(f"{came} rows came, {changed} changed, {went} went")
    DEMO.assay("run", "shop")
    DEMO.assay("sql", MARTS)
    say("# A bad load: some orders have a status that the project does not know")
    connection.execute(BAD.encode())
    DEMO.assay("run", "shop", expected=1)
    say("# The marts are as they were")
    DEMO.assay("sql", MARTS)
    say("# Mended at the source, it is published")
    connection.execute("update orders set status = 'pending' where status = 'lost'")
    DEMO.assay("run", "shop")
    DEMO.assay("history")


if __name__ == "__main__":
    DEMO.go(show, "SHOP_URL")
