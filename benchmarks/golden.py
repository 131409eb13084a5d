"""Compare a run of the ride pipeline, row by row, with the same 21 tables computed by plain SQL from the same file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

ROOT = Path(__file__).resolve().parents[1]
SQL = Path(__file__).with_name("ride_oracle.sql")

ENTITIES = (
    *("customer", "vehicle_type", "location", "booking_status", "payment_method"),
    *("booking", "ride", "cancelled_ride", "incompleted_ride"),
)
TABLES = (
    *(f"{layer}_{entity}" for layer in ("bronze", "silver") for entity in ENTITIES),
    *("gold_daily_booking_summary", "gold_customer_analytics", "gold_location_analytics"),
)
CONTROL_TOTALS = {
    "bookings": ("gold_daily_booking_summary", "total_bookings"),
    "revenue": ("gold_daily_booking_summary", "total_revenue"),
    "customer lifetime days": ("gold_customer_analytics", "customer_lifetime_days"),
    "pickups": ("gold_location_analytics", "pickups"),
    "dropoffs": ("gold_location_analytics", "dropoffs"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one table of ours compares with the oracle's; `note` says which columns could not be compared."""

    table: str
    ours: int
    oracle: int
    differing: int
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether every row of one side stands on the other, and the columns are all there."""
        return self.differing == 0 and not self.note


def build_oracle(connection: duckdb.DuckDBPyConnection, file: Path, as_of: date) -> None:
    """Create the schema `oracle` with the 21 tables of the file; a column that the file lacks is an error."""
    connection.execute("CREATE SCHEMA oracle")
    # One thread that keeps the file's order gives each row its position; everything later goes by that number.
    connection.execute("SET preserve_insertion_order = true")
    connection.execute(
        """
        CREATE TABLE oracle.delivery AS
        SELECT row_number() OVER () AS position, *
        FROM read_csv(
            $file, header = true, all_varchar = true, delim = ',', quote = '"', escape = '"', parallel = false
        )
        """,
        {"file": str(file)},
    )
    connection.execute("SET VARIABLE as_of = $as_of", {"as_of": as_of})
    connection.execute("SET VARIABLE source_file = $name", {"name": file.name})
    connection.execute(SQL.read_text())


def compare(oracle: duckdb.DuckDBPyConnection, published: duckdb.DuckDBPyConnection, table: str) -> Verdict:
    """Compare the oracle's columns of one table by content; what ours has besides, such as stamps, is not looked at."""
    wanted = _kinds(oracle, f"oracle.{table}")
    found = _kinds(published, _published_name(table))
    ours = _count(published, _published_name(table))
    expected = _count(oracle, f"oracle.{table}")
    wrong = [name for name, kind in wanted.items() if found.get(name) != kind]
    if wrong:
        note = "; ".join(f"{name} is {found.get(name, 'missing')}, not {wanted[name]}" for name in wrong)
        return Verdict(table, ours, expected, max(ours, expected), note)
    # Through Arrow, since a relation of one connection cannot be joined with one of another.
    rows = published.sql(f"SELECT {', '.join(wanted)} FROM {_published_name(table)}").to_arrow_table()
    oracle.register("ours", rows)
    (differing,) = oracle.sql(_differing_sql(table, wanted)).fetchall()[0]
    oracle.unregister("ours")
    return Verdict(table, ours, expected, differing)


def _published_name(table: str) -> str:
    return table.replace("_", ".", 1)


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    return int(connection.sql(f"SELECT count(*) FROM {relation}").fetchall()[0][0])


def _kinds(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Return what each column holds, without widths: a text that looks like a date is not a date."""
    result = connection.sql(f"SELECT * FROM {relation}")
    return {name: _kind(str(kind)) for name, kind in zip(result.columns, result.types, strict=True)}


def _kind(name: str) -> str:
    if name.startswith("DECIMAL"):
        return "decimal"
    if name in {"FLOAT", "DOUBLE"}:
        return "double"
    if name in {"TIME", "TIME_NS"}:
        return "time"
    return (
        "integer" if name.removeprefix("U") in {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"} else name.lower()
    )


def _differing_sql(table: str, kinds: Mapping[str, str]) -> str:
    """Pair equal exact columns, the copies of a row by number; what has no partner differs, and doubles beyond 1e-9."""
    doubles = [name for name, kind in kinds.items() if kind == "double"]
    exact = [name for name in kinds if name not in doubles]
    columns = ", ".join(f"CAST({name} AS TIME) AS {name}" if kinds[name] == "time" else name for name in kinds)
    order = f"ORDER BY {', '.join(doubles)}" if doubles else ""
    numbered = f"SELECT *, row_number() OVER (PARTITION BY {', '.join(exact)} {order}) AS copy FROM"
    paired = " AND ".join(f"o.{name} IS NOT DISTINCT FROM a.{name}" for name in (*exact, "copy"))
    # Relative to the oracle's value alone: a NaN or an infinity of ours would widen its own tolerance.
    close = [f"coalesce(abs(o.{n} - a.{n}) <= 1e-9 * abs(o.{n}), o.{n} IS NULL AND a.{n} IS NULL)" for n in doubles]
    return f"""
        WITH o AS ({numbered} (SELECT {columns} FROM oracle.{table})), a AS ({numbered} (SELECT {columns} FROM ours))
        SELECT count(*) FROM o FULL JOIN a ON {paired}
        WHERE o.copy IS NULL OR a.copy IS NULL OR NOT ({" AND ".join(close) or "true"})
    """


def control_totals(connection: duckdb.DuckDBPyConnection, *, published: bool) -> dict[str, int | Decimal]:
    """Return the sums that the original system logged, of the published tables or of the oracle's."""
    totals: dict[str, int | Decimal] = {}
    for name, (table, column) in CONTROL_TOTALS.items():
        relation = _published_name(table) if published else f"oracle.{table}"
        (totals[name],) = connection.sql(f"SELECT coalesce(sum({column}), 0) FROM {relation}").fetchall()[0]
    return totals


def run_pipeline(file: Path, warehouse: Path, as_of: date) -> duckdb.DuckDBPyConnection:
    """Run ours through the public API into a warehouse folder and return a connection that reads it."""
    # Imported here, since the oracle is also used (and tested) without what it judges.
    sys.path.insert(0, str(ROOT))  # as a script, `pipelines` is not on the path
    import assay
    from pipelines.ride_bookings import ride_bookings

    result = assay.run(ride_bookings, warehouse=warehouse, sources={"bookings": file}, as_of=as_of)
    if not result.ok:
        sys.exit("\n".join(("nothing to compare, the run was not published:", *result.problems)))
    return assay.connect(warehouse)


def judge(oracle: duckdb.DuckDBPyConnection, published: duckdb.DuckDBPyConnection) -> bool:
    """Print the comparison of all tables and totals, and return whether nothing differs."""
    print(f"{'table':<28}{'rows ours':>14}{'rows oracle':>15}{'differ':>9}  ok")
    verdicts = [compare(oracle, published, table) for table in TABLES]
    for verdict in verdicts:
        line = f"{verdict.table:<28}{verdict.ours:>14,}{verdict.oracle:>15,}{verdict.differing:>9,}"
        print(f"{line}  {'yes' if verdict.ok else 'NO'}{f'  {verdict.note}' if verdict.note else ''}")
    ours, expected = control_totals(published, published=True), control_totals(oracle, published=False)
    print(f"\n{'control total':<28}{'ours':>14}{'oracle':>15}")
    for name, total in expected.items():
        print(f"{name:<28}{ours[name]:>14,}{total:>15,}{'':>9}  {'yes' if ours[name] == total else 'NO'}")
    # An oracle without rows would agree with anything that is empty.
    return all(verdict.ok for verdict in verdicts) and ours == expected and any(v.oracle for v in verdicts)


def main(arguments: list[str] | None = None) -> int:
    """Return 0 where nothing differs, 1 where something does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="ride bookings as CSV, .gz or not")
    parser.add_argument(
        "--as-of", type=date.fromisoformat, default=date(2024, 12, 1), help="the run's date: YYYY-MM-DD"
    )
    options = parser.parse_args(arguments)
    oracle = duckdb.connect()
    build_oracle(oracle, options.file, options.as_of)
    with TemporaryDirectory(prefix="assay-golden-") as folder:
        published = run_pipeline(options.file, Path(folder) / "lake", options.as_of)
        same = judge(oracle, published)
        published.close()
    print("\nevery row is the same" if same else "\nours and the oracle DIFFER")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
