"""The shop's source: its keys and stamps, indexes that are used, and rows that are the same for the same seed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pipelines.shop import generate

TABLES = ("customers", "products", "orders", "order_items")
CONTENT = {
    "customers": "id, first_name, last_name, email, country",
    "products": "id, name, category, price",
    "orders": "id, customer_id, order_date, status",
    "order_items": "id, order_id, product_id, quantity, unit_price",
}


@pytest.fixture
def source(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the shop with its sample."""
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        generate.create(connection)
        generate.fill(connection)
        yield connection


def rows(connection: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode()).fetchall()


def content(connection: psycopg.Connection[Any]) -> list[list[tuple[Any, ...]]]:
    return [rows(connection, f"select {columns} from {table} order by id") for table, columns in CONTENT.items()]


@pytest.mark.row("002-01")
def test_the_shop_has_four_tables_with_keys_and_foreign_keys(source: psycopg.Connection[Any]) -> None:
    counts = {table: len(rows(source, f"select from {table}")) for table in TABLES}
    assert counts == {"customers": 5, "products": 10, "orders": 7, "order_items": 15}
    keys = rows(
        source,
        "select conrelid::regclass::text, contype::text, pg_get_constraintdef(oid) from pg_constraint "
        "where contype in ('p', 'f') and connamespace = 'public'::regnamespace order by 1, 2, 3",
    )
    assert keys == [
        ("customers", "p", "PRIMARY KEY (id)"),
        ("order_items", "f", "FOREIGN KEY (order_id) REFERENCES orders(id)"),
        ("order_items", "f", "FOREIGN KEY (product_id) REFERENCES products(id)"),
        ("order_items", "p", "PRIMARY KEY (id)"),
        ("orders", "f", "FOREIGN KEY (customer_id) REFERENCES customers(id)"),
        ("orders", "p", "PRIMARY KEY (id)"),
        ("products", "p", "PRIMARY KEY (id)"),
    ]


@pytest.mark.row("002-01")
@pytest.mark.parametrize("table", TABLES)
def test_every_insert_and_update_is_stamped_whatever_it_says(source: psycopg.Connection[Any], table: str) -> None:
    with source.transaction():
        source.execute(f"update {table} set updated_at = '1999-01-01' where id = 1".encode())
        assert rows(source, f"select updated_at = now(), created_at < now() from {table} where id = 1") == [
            (True, True)
        ]
        names = CONTENT[table].removeprefix("id, ")
        values = names.replace("email", "'new@example.com'")
        copied = f"select {values}, '1999-01-01' from {table} where id = 1"
        source.execute(f"insert into {table} ({names}, updated_at) {copied}".encode())
        assert rows(source, f"select updated_at = now() from {table} order by id desc limit 1") == [(True,)]


@pytest.mark.row("002-16")
def test_what_has_changed_is_found_by_an_index_in_every_table(source: psycopg.Connection[Any]) -> None:
    generate.grow(source, customers=5000, products=5000, orders=5000, seed=1)
    source.execute("analyze")
    ((before,),) = rows(source, "select clock_timestamp()")
    generate.change(source, rows=10, seed=2)
    for table in TABLES:
        query = f"explain (format json) select * from {table} where updated_at >= '{before}'"
        plan = json.dumps(rows(source, query))
        assert f'"{table}_updated_at"' in plan
        assert "Seq Scan" not in plan


def test_the_same_seed_makes_the_same_shop_and_another_makes_another(source: psycopg.Connection[Any]) -> None:
    made = []
    for schema, seed in (("one", 7), ("again", 7), ("other", 8)):
        generate.enter(source, schema)
        generate.create(source)
        generate.fill(source)
        items = generate.grow(source, customers=40, products=20, orders=200, seed=seed)
        assert len(rows(source, "select from order_items")) == 15 + items
        generate.change(source, rows=20, seed=seed)
        made.append(content(source))
    assert made[0] == made[1]
    assert [table == other for table, other in zip(made[0], made[2], strict=True)] == [False] * 4


def test_rows_come_change_and_go_as_many_as_are_told(source: psycopg.Connection[Any]) -> None:
    generate.grow(source, customers=20, products=5, orders=300, seed=3)
    before = dict(rows(source, "select id, updated_at from orders"))
    items = dict(rows(source, "select id, updated_at from order_items"))
    came, changed, went = generate.change(source, rows=30, seed=4)
    orders_now, items_now = (dict(rows(source, f"select id, updated_at from {table}")) for table in TABLES[2:])
    assert len(orders_now) == len(before) + 30 - 3
    assert len(orders_now) + len(items_now) == len(before) + len(items) + came - went
    assert changed == 60  # a step of 30 orders, one more of 30 items; some of them were struck as well
    moved = sum(orders_now.get(order, stamp) != stamp for order, stamp in before.items())
    assert 0 < moved <= 30


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["grow", "--customers", "3", "--products", "2", "--orders", "0"],
            "3 customers, 2 products, 0 orders, 0 items came",
        ),
        (
            ["change", "--rounds", "2", "--rows", "0"],
            "round 1: 0 rows came, 0 changed, 0 went\nround 2: 0 rows came, 0 changed, 0 went",
        ),
    ],
)
def test_each_step_is_told_in_a_line(
    source: psycopg.Connection[Any],
    postgres_url: str,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    generate.main([*arguments, postgres_url.replace("+psycopg", "")])
    assert capsys.readouterr().out == f"{told}\n"


def test_the_sample_is_made_by_a_command(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    generate.main(["sample", postgres_url.replace("+psycopg", "")])
    assert capsys.readouterr().out == "made a shop of 5 customers, 10 products, 7 orders and 15 items\n"
