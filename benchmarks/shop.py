"""Measure the dbt step of a run of the shop against `dbt build` of the same project alone: `make bench-shop`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from assay.warehouses.postgres.server.embedded import embedded
from benchmarks.measure import ROOT, Sample, assay, measure
from benchmarks.report import Figure, write
from pipelines.shop import generate

DBT = ROOT / "build/dbt-env/bin/dbt"
PROJECT = ROOT / "pipelines/shop/dbt"
TABLES = ("customers", "products", "orders", "order_items")
TARGET = 1.25
COLUMNS = """
select string_agg(format('%%I %%s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum),
  string_agg(quote_ident(attname), ', ' order by attnum)
from pg_attribute where attrelid = %s::regclass and attnum > 0 and attname <> '_assay_file'
"""
SHARE = 100
"""One order in so many comes, and as many change, before each build."""


@dataclass
class Bench:
    """A server with the shop, the warehouse of its runs and a database in which dbt builds alone."""

    server: str
    folder: Path
    orders: int
    runs: int
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    steps: dict[str, list[float]] = field(default_factory=dict)

    def at(self, name: str) -> str:
        """Return the address of a database."""
        return self.server.replace("/assay?", f"/{name}?", 1)

    def fill(self) -> None:
        """Make the shop and both targets."""
        with psycopg.connect(self.server, autocommit=True) as connection:
            for name in ("shop", "ours", "floor"):
                connection.execute(f"create database {name}".encode())
        with psycopg.connect(self.at("shop"), autocommit=True) as connection:
            generate.create(connection)
            generate.fill(connection)
            generate.grow(connection, customers=self.orders // 10, products=500, orders=self.orders, seed=1)
        measure(assay("migrate", "shop", "--warehouse", self.at("ours")))

    def change(self, seed: int) -> None:
        """Let orders come, change and go."""
        with psycopg.connect(self.at("shop"), autocommit=True) as connection:
            generate.change(connection, rows=self.orders // SHARE, seed=seed)

    def load(self) -> None:
        """Give the database of dbt alone the rows that a run has loaded, as tables that the server knows as well."""
        with (
            psycopg.connect(self.at("ours"), autocommit=True) as here,
            psycopg.connect(self.at("floor"), autocommit=True) as there,
        ):
            there.execute("create schema if not exists raw")
            for name in TABLES:
                columns = here.execute(COLUMNS, [f"raw.{name}"]).fetchall()[0]
                there.execute(f"create table if not exists raw.{name} ({columns[0]}, primary key (id))".encode())
                there.execute(f"truncate raw.{name}".encode())
                out = f"copy (select {columns[1]} from raw.{name}) to stdout (format binary)"
                into = f"copy raw.{name} from stdin (format binary)"
                with here.cursor().copy(out.encode()) as rows, there.cursor().copy(into.encode()) as copied:
                    for piece in rows:
                        copied.write(piece)
                there.execute(f"analyze raw.{name}".encode())

    def run(self, what: str) -> None:
        """Run the shop, and dbt alone on the rows that the run has loaded."""
        ours = measure(assay("run", "shop", "--warehouse", self.at("ours"), "--json", "--log", "none"))
        self.samples.setdefault(f"{what}: assay run", []).append(ours)
        seconds = json.loads(ours.output)["steps"]["dbt"]["seconds"]
        self.steps.setdefault(what, []).append(seconds)
        self.load()
        floor = measure([str(DBT), "--quiet", "build", "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)])
        self.samples.setdefault(f"{what}: dbt build", []).append(floor)
        print(f"  {what}: the step {seconds:.2f} s, dbt build {floor.wall:.2f} s", file=sys.stderr)

    def figures(self) -> list[Figure]:
        """Return what was measured."""
        found = []
        for what, seconds in self.steps.items():
            floor = [sample.wall for sample in self.samples[f"{what}: dbt build"]]
            found.append(Figure(f"{what}: the step of a run, s", seconds, TARGET, floor))
            walls = [sample.wall for sample in self.samples[f"{what}: assay run"]]
            found.append(Figure(f"{what}: the whole run, s", walls, None, floor))
        return found


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as place:
        folder = Path(place)
        with embedded(folder / "server") as url:
            bench = Bench(url.replace("+psycopg", "", 1), folder, options.orders, options.runs)
            part = conninfo_to_dict(bench.at("floor"))
            os.environ |= {
                "SHOP_URL": bench.at("shop"),
                "PGHOST": str(part["host"]),
                "PGPORT": str(part["port"]),
                "PGUSER": str(part["user"]),
                "PGDATABASE": "floor",
                "DBT_TARGET_PATH": str(folder / "target"),
                "DBT_LOG_PATH": str(folder / "logs"),
                "XDG_CACHE_HOME": str(folder / "cache"),
            }
            bench.fill()
            bench.run("all is new")
            for turn in range(options.runs):
                bench.change(turn)
                bench.run("1 % has changed")
            write(ROOT / "build/bench/shop.json", bench.figures(), bench.samples)


if __name__ == "__main__":
    main()
