"""The floor of the retail pipeline: COPY of all rows into PostgreSQL, and the best SQL in the server, by hand."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from psycopg import sql

SQL = Path(__file__).with_name("retail_floor.sql")
RAW = {
    "customers": "customer_id text, customer_name text, email text, country text, segment text, signup_date date",
    "products": "product_id text, product_name text, category text, price numeric(10,2), cost numeric(10,2)",
    "orders": "order_id text, customer_id text, order_date date, status text, total_amount numeric(12,2)",
    "order_items": "order_item_id text, order_id text, product_id text, quantity integer, unit_price numeric(10,2), "
    "discount_percent numeric(5,2)",
}
DELIVERY = "_ingested_at timestamp, _source_file text, _partition_date date"
_WRITTEN = pa.csv.WriteOptions(include_header=False, quoting_style="all_valid")


def build(url: str, data: Path, as_of: str) -> None:
    """Make all tables in an empty database, in one transaction."""
    with psycopg.connect(url) as connection:
        for layer in ("raw", "staging", "prod"):
            connection.execute(sql.SQL("create schema {}").format(sql.Identifier(layer)))
        for name, columns in RAW.items():
            _copy(connection, name, columns, sorted(data.glob(f"raw_data/{name}/*/data.parquet")), as_of)
        connection.execute(SQL.read_text(encoding="utf-8").replace("%(as_of)s", f"'{as_of}'").encode())


def _copy(connection: psycopg.Connection, name: str, columns: str, files: list[Path], as_of: str) -> None:
    table, names = sql.Identifier("raw", name), [part.split()[0] for part in columns.split(", ")]
    connection.execute(f"create table raw.{name} ({columns}, {DELIVERY})".encode())
    with connection.cursor() as cursor, cursor.copy(sql.SQL("copy {} from stdin (format csv)").format(table)) as copy:
        for file in files:
            rows = pa.parquet.read_table(file, columns=names, use_threads=False)
            for constant in (as_of, file.relative_to(file.parents[1]).as_posix(), file.parent.name):
                rows = rows.append_column(f"c{rows.num_columns}", pa.repeat(constant, rows.num_rows))
            written = io.BytesIO()
            pa.csv.write_csv(rows, written, _WRITTEN)
            copy.write(written.getvalue())
    connection.execute(sql.SQL("analyze {}").format(table))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("data", type=Path)
    parser.add_argument("--as-of", default="2026-01-01")
    asked = parser.parse_args()
    build(asked.url, asked.data, asked.as_of)
