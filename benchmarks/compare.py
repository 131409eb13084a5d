"""Compare a lake of the ride pipeline with the floor's Parquet files: all 21 tables, every column, every row."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":  # as a script, neither `pipelines` nor `benchmarks` is on the path
    sys.path.insert(0, str(ROOT))

import assay  # noqa: E402
from benchmarks.golden import TABLES, compare  # noqa: E402


def open_floor(folder: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection in which the floor's tables stand in the schema `oracle`, as `compare` wants them."""
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA oracle")
    for table in TABLES:
        files = f"{folder / table}/*.parquet" if table.startswith("bronze") else f"{folder / table}.parquet"
        query = f"SELECT * FROM read_parquet('{files}', hive_partitioning = false)"
        connection.execute(f"CREATE VIEW oracle.{table} AS {query}")
    return connection


def differences(floor: duckdb.DuckDBPyConnection, lake: duckdb.DuckDBPyConnection) -> list[str]:
    """Return what differs, a line a table; rows are paired one by one only where two sums of hashes differ."""
    found = []
    for table in TABLES:
        ours, theirs = table.replace("_", ".", 1), f"oracle.{table}"
        described = floor.sql(f"SELECT * FROM {theirs}")
        kinds = dict(zip(described.columns, map(str, described.types), strict=True))
        extra = set(lake.sql(f"SELECT * FROM {ours}").columns) ^ set(kinds)
        if extra:
            found.append(f"{table}: only one of the two has {', '.join(sorted(extra))}")
        elif _fingerprint(lake, ours, kinds) != _fingerprint(floor, theirs, kinds):
            # Averages may differ in their last digit, which this tells from a real difference.
            verdict = compare(floor, lake, table)
            if not verdict.ok:
                counts = f"{verdict.ours:,} rows of ours, {verdict.oracle:,} of the floor's"
                found.append(f"{table}: {counts}, {verdict.differing:,} differ {verdict.note}".rstrip())
    return found


def _fingerprint(connection: duckdb.DuckDBPyConnection, relation: str, kinds: dict[str, str]) -> tuple[int, int]:
    """Return the number of rows and the sum of their hashes, which does not depend on their order."""
    row = ", ".join(f"CAST({name} AS {kind})" for name, kind in kinds.items())
    query = f"SELECT count(*), coalesce(sum(CAST(hash({row}) AS HUGEINT)), 0) FROM {relation}"
    ((rows, total),) = connection.sql(query).fetchall()
    return int(rows), int(total)


def main() -> int:
    """Return 0 where nothing differs, 1 where something does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake", type=Path)
    parser.add_argument("floor", type=Path)
    options = parser.parse_args()
    with assay.connect(options.lake) as lake, open_floor(options.floor) as floor:
        found = differences(floor, lake)
        rows = sum(int(lake.sql(f"SELECT count(*) FROM {t.replace('_', '.', 1)}").fetchall()[0][0]) for t in TABLES)
    print("\n".join(found) or f"{len(TABLES)} tables with {rows:,} rows are the same")
    return 1 if found or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
