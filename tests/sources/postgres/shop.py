"""A small shop in a database, and the pipeline that follows it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from narwhals import LazyFrame, col

import assay
from assay import Merge, Pipeline, RunResult, groups, postgres, relation, table
from assay.model.database import Mode

DAY = dt.date(2026, 3, 1)
SCHEMA = """
create table customers (id bigint primary key, name text, updated_at timestamptz not null default now());
create table orders (id bigint primary key, customer_id bigint not null, status text not null default 'open',
    amount numeric(12,2) not null, note text, updated_at timestamptz not null default now());
create index on customers (updated_at);
create index on orders (updated_at);
"""


@table(write=Merge(), key="id")
def silver_orders(orders: LazyFrame[Any]) -> LazyFrame[Any]:
    """Every order as it is."""
    return orders


@table(rows=groups("status", total="amount"))
def gold_revenue(silver_orders: LazyFrame[Any]) -> LazyFrame[Any]:
    """Orders and revenue by status."""
    return silver_orders.group_by("status").agg(orders=col("id").count(), amount=col("amount").sum())


@dataclass
class Shop:
    """The database, a lake, and how the one is read into the other."""

    url: str
    lake: Path
    mode: Mode = "horizon"
    deletes: bool = False
    mirrors: bool = False
    """Whether the sources are published, and nothing else."""
    key: tuple[str, ...] = ("id",)
    stamp: str = "TIMESTAMPTZ"
    """The type of the orders' stamp."""
    more: dict[str, str] = field(default_factory=dict)
    """Other columns of the orders."""

    @property
    def pipeline(self) -> Pipeline:
        customers = relation(
            "customers",
            key="id",
            updated="updated_at",
            deletes=self.deletes,
            publish=self.mirrors,
            columns={"id": "BIGINT", "name": "VARCHAR", "updated_at": "TIMESTAMPTZ"},
        )
        orders = relation(
            "orders",
            key=self.key,
            updated="updated_at",
            deletes=self.deletes,
            publish=self.mirrors,
            columns={"id": "BIGINT", "customer_id": "BIGINT", "status": "VARCHAR", "amount": "DECIMAL(12,2)"}
            | {"note": "VARCHAR", "updated_at": self.stamp}
            | self.more,
        )
        if self.mirrors:
            mirrors = {"raw_orders": orders, "raw_customers": customers}
            return Pipeline(
                "mirror", tables=[], layers=["raw"], sources=postgres(self.url, mode=self.mode, tables=mirrors)
            )
        sources = postgres(self.url, mode=self.mode, tables={"orders": orders, "customers": customers})
        return Pipeline(
            "shop",
            tables=[silver_orders, gold_revenue],
            sources=sources,
        )

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection in autocommit, as the shop's own programs do."""
        return psycopg.connect(self.url, autocommit=True)

    def execute(self, *statements: str) -> None:
        """Carry out statements, each in a transaction of its own."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def run(self, **options: Any) -> RunResult:
        """Read what has changed, and publish."""
        return assay.run(self.pipeline, **{"warehouse": self.lake, "as_of": DAY, **options})

    @contextmanager
    def running(self, **options: Any) -> Iterator[Callable[[], RunResult]]:
        """Read what has changed meanwhile; what is yielded waits for the end of it."""
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(self.run, **options).result

    def wait_for(self, query: str) -> None:
        """Wait until the database answers a query with a row."""
        end = time.monotonic() + 30
        with self.connect() as connection:
            while not connection.execute(query.encode()).fetchall():
                assert time.monotonic() < end, f"nobody answers {query}"
                time.sleep(0.01)

    def here(self, columns: str = "id, customer_id, status, amount, note, updated_at") -> list[tuple[Any, ...]]:
        """Return the orders that are published."""
        with assay.connect(self.lake) as connection:
            return connection.execute(f"select {columns} from silver.orders order by id").fetchall()

    def there(self, columns: str = "id, customer_id, status, amount, note, updated_at") -> list[tuple[Any, ...]]:
        """Return the orders that are in the database."""
        with self.connect() as connection:
            return connection.execute(f"select {columns} from orders order by id").fetchall()


def opened(url: str, folder: Path) -> Shop:
    """Open a shop with three orders that were made a day ago, in a database with nothing in it."""
    shop = Shop(url.replace("+psycopg", ""), folder / "lake")
    shop.execute(
        *SCHEMA.strip().split(";\n"),
        "insert into customers select n, 'customer ' || n, now() - interval '1 day' from generate_series(1, 3) n",
        "insert into orders select n, n, 'open', n * 1.5, null, now() - interval '1 day' from generate_series(1, 3) n",
    )
    return shop
