"""The floor: the fastest DuckDB script for the 21 ride tables, from one CSV to bare Parquet in a folder."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import duckdb

SQL = Path(__file__).with_name("floor.sql")
COLUMNS = {
    "Date": "DATE",
    "Time": "TIME",
    "Booking ID": "VARCHAR",
    "Booking Status": "VARCHAR",
    "Customer ID": "VARCHAR",
    "Vehicle Type": "VARCHAR",
    "Pickup Location": "VARCHAR",
    "Drop Location": "VARCHAR",
    "Avg VTAT": "DOUBLE",
    "Avg CTAT": "DOUBLE",
    "Cancelled Rides by Customer": "BIGINT",
    "Reason for cancelling by Customer": "VARCHAR",
    "Cancelled Rides by Driver": "BIGINT",
    "Driver Cancellation Reason": "VARCHAR",
    "Incomplete Rides": "BIGINT",
    "Incomplete Rides Reason": "VARCHAR",
    "Booking Value": "DECIMAL(12,2)",
    "Ride Distance": "DOUBLE",
    "Driver Ratings": "DOUBLE",
    "Customer Rating": "DOUBLE",
    "Payment Method": "VARCHAR",
}
# The longest first, so that no worker is left with one of them at the end.
ORDER = (
    *("bronze_booking", "silver_booking", "bronze_location", "bronze_ride", "bronze_customer", "silver_ride"),
    *("bronze_vehicle_type", "bronze_booking_status", "bronze_payment_method", "gold_customer_analytics"),
    *("silver_customer", "bronze_cancelled_ride", "silver_cancelled_ride", "gold_daily_booking_summary"),
    *("bronze_incompleted_ride", "silver_incompleted_ride", "gold_location_analytics", "silver_location"),
    *("silver_vehicle_type", "silver_booking_status", "silver_payment_method"),
)


def build(file: Path, folder: Path, as_of: date, *, workers: int, memory_limit: str) -> None:
    """Write every table to a file or, if it is one of bronze, a folder of months, named after it."""
    spill = str(folder / "spill")
    connection = duckdb.connect(config={"threads": "1", "memory_limit": memory_limit, "temp_directory": spill})
    kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    connection.execute(
        f"""
        CREATE VIEW delivery AS SELECT * FROM read_csv(
            '{file}', header = true, auto_detect = false, delim = ',', quote = '"', escape = '"', new_line = '\\n',
            nullstr = ['', 'null'], columns = {{{kinds}}}
        )
        """
    )
    _variables(connection, file, as_of)
    connection.execute(SQL.read_text())

    def write(table: str) -> None:
        with connection.cursor() as cursor:
            _variables(cursor, file, as_of)
            cursor.execute(_copy(table, folder))

    # Each of two queries on a thread of its own is faster than one after another on two threads.
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(write, table) for table in ORDER]:
            done.result()


def _variables(connection: duckdb.DuckDBPyConnection, file: Path, as_of: date) -> None:
    connection.execute(f"SET VARIABLE as_of = DATE '{as_of}'; SET VARIABLE source_file = '{file.name}'")


def _copy(table: str, folder: Path) -> str:
    options = "FORMAT parquet, COMPRESSION zstd"
    if table.startswith("bronze"):
        options += ", PARTITION_BY (extraction_month), WRITE_PARTITION_COLUMNS true, HIVE_FILE_PATTERN false"
        options += ", FILENAME_PATTERN '{uuid}'"
        return f"COPY (FROM {table}) TO '{folder / table}' ({options})"
    return f"COPY (FROM {table}) TO '{folder / table}.parquet' ({options})"


def main() -> None:
    """Read the arguments and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--as-of", type=date.fromisoformat, default=date(2024, 12, 1))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory-limit", default="1GB")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    build(options.file, options.folder, options.as_of, workers=options.workers, memory_limit=options.memory_limit)


if __name__ == "__main__":
    main()
