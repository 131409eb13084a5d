"""Measure the retail pipeline on PostgreSQL against SQL written by hand for the same server: `make bench-retail`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from assay.warehouses.postgres.server.embedded import embedded
from benchmarks.measure import ROOT, assay, in_turn, measure, python
from benchmarks.report import Figure, write

AS_OF = "2026-01-01"
OURS, FLOOR, NOTHING = "assay, a year", "COPY and SQL, a year", "assay, nothing new"
SOURCES = ("customers", "products", "orders", "order_items")
COUNTED = (
    *(f"raw.{name}" for name in SOURCES),
    *(f"staging.{name}" for name in SOURCES),
    *("prod.daily_sales", "prod.monthly_sales", "prod.daily_category_metrics", "prod.daily_product_metrics"),
    "prod.customer_metrics",
)
TARGETS = {"wall": 2.0, "nothing": 1.5, "peak": 500.0}


def run(data: Path, url: str) -> list[str]:
    """Return the command that runs the pipeline over a year of files into a database."""
    given = [part for name in SOURCES for part in ("--source", f"{name}={data}/raw_data/{name}/*/data.parquet")]
    return assay("run", "retail", *given, "--as-of", AS_OF, "--warehouse", url)


def bench(server: str, data: Path, scratch: Path, runs: int) -> None:
    """Run both in turn, each in a database of its own; ends where their tables have other rows."""

    def fresh(name: str, *, migrated: bool) -> str:
        with psycopg.connect(server, autocommit=True) as connection:
            for statement in ("drop database if exists {} with (force)", "create database {}"):
                connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
            connection.execute("checkpoint")
        url = server.replace("/assay?", f"/{name}?", 1)
        if migrated:
            measure(assay("migrate", "retail", "--warehouse", url))
        return url

    def ours(_: Path) -> Sequence[str]:
        return run(data, fresh("ours", migrated=True))

    def nothing(_: Path) -> Sequence[str]:
        return run(data, server.replace("/assay?", "/ours?", 1))

    def floor(_: Path) -> Sequence[str]:
        return python("benchmarks.retail_floor", fresh("floor", migrated=False), data, "--as-of", AS_OF)

    found = in_turn({OURS: ours, NOTHING: nothing, FLOOR: floor}, runs, scratch)
    _compare(server)
    walls = {name: [sample.wall for sample in samples] for name, samples in found.items()}
    figures = [
        Figure("a year, s", walls[OURS], TARGETS["wall"], walls[FLOOR]),
        Figure("a year, the client's CPU s", [s.cpu for s in found[OURS]], None, [s.cpu for s in found[FLOOR]]),
        Figure("a year, the client's peak MB", [sample.peak for sample in found[OURS]], TARGETS["peak"]),
        Figure("nothing new, s", walls[NOTHING], TARGETS["nothing"]),
    ]
    write(ROOT / "build" / "bench" / "retail.json", figures, found)


def _compare(server: str) -> None:
    counts = []
    for name in ("ours", "floor"):
        with psycopg.connect(server.replace("/assay?", f"/{name}?", 1)) as connection:
            query = " union all ".join(f"select '{table}', count(*) from {table}" for table in COUNTED)
            revenue = "select 'revenue', sum(total_revenue) from prod.daily_sales"
            counts.append(connection.execute(f"{query} union all {revenue}".encode()).fetchall())
    differing = [pair for pair in zip(*counts, strict=True) if pair[0] != pair[1]]
    if differing:
        sys.exit(f"the two are not the same: {differing}")
    print(f"  both have {sum(int(count) for _, count in counts[0][:-1]):,} rows and equal revenue", file=sys.stderr)


def main() -> None:
    """Read the options, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often each is run (default: 5)")
    parser.add_argument("--days", type=int, default=365, help="days of sample data (default: 365)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        data = Path(folder, "data")
        measure(assay("sample", "retail", data, "--days", asked.days))
        with embedded(Path(folder, "server")) as server:
            bench(server.replace("+psycopg", "", 1), data, Path(folder, "scratch"), asked.runs)


if __name__ == "__main__":
    main()
