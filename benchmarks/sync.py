"""Measure `assay sync` from database to database and lake, against psql's own COPY: `make bench-sync`."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from assay.warehouses.postgres.server.account import Account
from assay.warehouses.postgres.server.binaries import find_binaries
from assay.warehouses.postgres.server.embedded import embedded
from benchmarks.measure import ROOT, Sample, assay, measure
from benchmarks.report import Figure, write

TABLES = ("customers", "products", "orders", "order_items")
KEYS = {"customers": "id", "products": "id", "orders": "id", "order_items": "order_id, line"}
SHARE = 10
"""One row in so many is changed for an incremental reading."""
CHANGES = 200_000
QUIET = 20
"""Tables of the database in which nothing happens."""
TARGETS = {"full": 1 / 0.75, "peak": 100.0, "nothing": 1.0}


@dataclass
class Bench:
    """A server with a source and its targets, and what was measured there."""

    server: str
    folder: Path
    rows: int
    runs: int
    found: dict[str, list[Sample]] = field(default_factory=dict)

    def at(self, name: str) -> str:
        """Return the address of a database of the server."""
        return self.server.replace("/assay?", f"/{name}?", 1)

    def fresh(self, name: str) -> str:
        """Make a database anew; return its address."""
        self.execute("assay", f"drop database if exists {name} with (force)", f"create database {name}", "checkpoint")
        return self.at(name)

    def execute(self, name: str, *statements: str) -> None:
        """Carry out statements in a database."""
        with psycopg.connect(self.at(name), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def sync(self, source: str, target: str | Path, *options: str) -> list[str]:
        """Return the command that mirrors a database."""
        return assay("sync", self.at(source), "--warehouse", target, "--log", "none", *options)

    def measure(self, what: str, command: Sequence[str]) -> Sample:
        """Run a command, and keep what it took."""
        sample = measure(command)
        self.found.setdefault(what, []).append(sample)
        print(f"  {what}: {sample.wall:.2f} s wall, {sample.cpu:.2f} s CPU, {sample.peak:.0f} MB", file=sys.stderr)
        return sample

    def walls(self, what: str) -> list[float]:
        """Return the seconds that each run took."""
        return [sample.wall for sample in self.found[what]]

    def figures(self, what: str, *, target: float | None = None, floor: str | None = None) -> list[Figure]:
        """Return what was measured: seconds, and MB at the peak."""
        peaks = [sample.peak for sample in self.found[what]]
        most = TARGETS["peak"] if "database" in what else None
        return [
            Figure(f"{what}, s", self.walls(what), target, self.walls(floor) if floor else ()),
            Figure(f"{what}, peak MB", peaks, most),
        ]


def fill(bench: Bench, name: str, rows: int) -> None:
    """Make a source with so many rows."""
    bench.fresh(name)
    tables, filled = (Path(__file__).with_name(f"sync_{part}.sql").read_text("utf-8") for part in ("tables", "rows"))
    bench.execute(name, tables, filled.replace("{rows}", str(rows)), "checkpoint")


def full(bench: Bench) -> list[Figure]:
    """Load all rows: by psql, into a database, into a lake, in turn."""
    owner = (bench.folder / "server" / "data").stat()
    programs = find_binaries(Account(owner.st_uid, owner.st_gid), bench.folder / "server").folder
    for turn in range(bench.runs):
        bench.fresh("floor")
        bench.execute("floor", Path(__file__).with_name("sync_tables.sql").read_text("utf-8"))
        bench.measure("psql | psql", ["bash", "-c", _pipes(bench, programs / "psql")])
        target = bench.fresh("ours")
        bench.measure("all rows into a database", bench.sync("source", target, "--migrate"))
        _compare(bench, "floor")
        bench.measure("all rows into a lake", bench.sync("source", bench.folder / f"lake{turn}"))
    return [
        *bench.figures("all rows into a database", target=TARGETS["full"], floor="psql | psql"),
        *bench.figures("all rows into a lake", floor="psql | psql"),
    ]


def _pipes(bench: Bench, psql: Path) -> str:
    """Return the line of a shell that copies one table after the other."""

    def run(name: str, statement: str) -> str:
        return shlex.join([str(psql), "-X", "-q", bench.at(name), "-c", statement])

    copies = (
        f"{run('source', f'copy {table} to stdout (format binary)')} | "
        f"{run('floor', f'copy {table} from stdin (format binary)')}"
        for table in TABLES
    )
    return f"set -e -o pipefail; {'; '.join(copies)}"


def _compare(bench: Bench, floor: str) -> None:
    """End where the target has other rows than the floor."""
    for table, key in KEYS.items():
        with psycopg.connect(bench.at(floor)) as connection:
            names = (
                "select string_agg(attname, ', ' order by attnum) from pg_attribute where attnum > 0 and attrelid = "
            )
            columns = connection.execute(f"{names} '{table}'::regclass".encode()).fetchall()[0][0]
        query = f"select count(*), md5(string_agg(md5(({columns})::text), '' order by {key})) from "
        found = []
        for name, relation in ((floor, table), ("ours", f"raw.{table}")):
            with psycopg.connect(bench.at(name)) as connection:
                found.append(connection.execute(f"{query} {relation}".encode()).fetchone())
        if found[0] != found[1]:
            sys.exit(f"{table} is not the same: {found}")


def changed(bench: Bench) -> list[Figure]:
    """Change one row in ten, and read what has changed."""
    places: dict[str, str | Path] = {}
    for mode in ("xmin", "horizon"):
        places |= {f"{mode}, into a database": bench.fresh(f"ours_{mode}"), f"{mode}, into a lake": bench.folder / mode}
    modes = {what: what.partition(",")[0] for what in places}
    for what, place in places.items():
        measure(bench.sync("source", place, "--mode", modes[what], "--migrate"))
    for turn in range(bench.runs):
        updates = [f"update {table} set updated_at = now() where {_one_in_ten(table, turn)}" for table in TABLES]
        bench.execute("source", *updates, "checkpoint")
        for what, place in places.items():
            bench.measure(f"10 % changed, {what}", bench.sync("source", place, "--mode", modes[what]))
    return [figure for what in places for figure in bench.figures(f"10 % changed, {what}")]


def _one_in_ten(table: str, turn: int) -> str:
    return f"{KEYS[table].partition(',')[0]} % {SHARE} = {turn % SHARE}"


def nothing(bench: Bench) -> list[Figure]:
    """Read a database of twenty tables in which nothing has changed."""
    bench.fresh("quiet")
    for number in range(QUIET):
        columns = "id bigint primary key, name text, amount numeric(12,2), updated_at timestamptz default now()"
        bench.execute("quiet", f"create table t{number} ({columns})")
        bench.execute("quiet", f"insert into t{number} select n, 'name ' || n, n from generate_series(1, 1000) n")
    places: dict[str, str | Path] = {"a database": bench.fresh("ours_quiet"), "a lake": bench.folder / "quiet"}
    for place in places.values():
        measure(bench.sync("quiet", place, "--migrate"))
    for _ in range(bench.runs + 2):
        for into, place in places.items():
            bench.measure(f"nothing new in 20 tables, into {into}", bench.sync("quiet", place))
    return [
        figure
        for into in places
        for figure in bench.figures(f"nothing new in 20 tables, into {into}", target=TARGETS["nothing"])
    ]


def logged(bench: Bench) -> list[Figure]:
    """Read changes from the log, each of a row of its own."""
    fill(bench, "logged", CHANGES * 4)
    places: dict[str, str | Path] = {"a database": bench.fresh("ours_logged"), "a lake": bench.folder / "logged"}
    options = ("--mode", "cdc", "--migrate")
    for place in places.values():
        measure(bench.sync("logged", place, *options))
    for turn in range(bench.runs):
        # Hundreds of transactions, of hundreds of changes each.
        for start in range(0, CHANGES, CHANGES // 200):
            where = f"id > {start} and id <= {start + CHANGES // 200}"
            bench.execute("logged", f"update orders set note = 'turn {turn}', updated_at = now() where {where}")
        for into, place in places.items():
            bench.measure(f"{CHANGES:,} changes of a log, into {into}", bench.sync("logged", place, *options))
    return [figure for into in places for figure in bench.figures(f"{CHANGES:,} changes of a log, into {into}")]


def main() -> None:
    """Read the options, and measure."""
    parts = {"full": full, "changed": changed, "nothing": nothing, "logged": logged}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_200_000, help="rows of the four tables (default: 4,200,000)")
    parser.add_argument("--runs", type=int, default=3, help="how often each is run (default: 3)")
    parser.add_argument("--only", choices=parts, action="append", help="measure just this part")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        place = Path(folder, "server")
        with embedded(place) as server:
            bench = Bench(server.replace("+psycopg", "", 1), Path(folder), asked.rows, asked.runs)
            bench.execute("assay", "alter system set wal_level = logical")
        with embedded(place) as server:
            bench.server = server.replace("+psycopg", "", 1)
            fill(bench, "source", asked.rows)
            figures = [figure for part in asked.only or parts for figure in parts[part](bench)]
            write(ROOT / "build" / "bench" / "sync.json", figures, bench.found)


if __name__ == "__main__":
    main()
