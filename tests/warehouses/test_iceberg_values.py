"""Types, values, partitions and bounds of every column type survive the way from DuckDB's text to Iceberg."""

from __future__ import annotations

import math
import struct
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.conversions import from_bytes, to_bytes
from pyiceberg.expressions import EqualTo, Reference
from pyiceberg.types import DecimalType, PrimitiveType

from assay.model.data import ColumnStats, DataFile
from assay.model.errors import WarehouseError
from assay.model.schema import Schema
from assay.warehouses.iceberg.values import bound, file_metrics, iceberg_type, partition_values, stored_value
from tests.warehouses.iceberg_lake import Lake, planned, rows

ALL_TYPES = Schema.of(
    [
        ("id", "INTEGER"),
        ("flag", "BOOLEAN"),
        ("big", "BIGINT"),
        ("real", "REAL"),
        ("double", "DOUBLE"),
        ("money", "DECIMAL(9,2)"),
        ("huge", "DECIMAL(38,10)"),
        ("fraction", "DECIMAL(3,3)"),
        ("day", "DATE"),
        ("clock", "TIME"),
        ("at", "TIMESTAMP"),
        ("at_zone", "TIMESTAMPTZ"),
        ("text", "VARCHAR"),
        ("bytes", "BLOB"),
        ("key", "UUID"),
    ]
)
NO_PARTITION = ("bytes", "double", "real", "key")
FIVE_ROWS = """
    select i as id, i < 2 as flag, -9223372036854775807 + i as big, (i - 1.5) / 3 as real, 1e300 / (i + 1) as double,
        (i - 2) / 4 as money, 1234567890123456789012345678.0123456789::decimal(38,10) - i as huge,
        -0.001 * i as fraction, date '1960-02-29' + i::int as day, time '23:59:59.9' + to_microseconds(i) as clock,
        timestamp '1969-12-31 23:59:59.999998' + to_microseconds(i) as at,
        timestamptz '2024-01-01 00:00:00+02' + to_seconds(i) as at_zone, chr((233 + i)::int) || ',''"{}=' as text,
        ('\\x00\\xFF'::blob || i::varchar::blob) as bytes, ('11111111-1111-1111-1111-11111111111' || i)::uuid as key
    from range(5) t(i)"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_bounds_of_every_type_are_the_smallest_and_largest_value(lake: Lake) -> None:
    table = lake.change("all", ALL_TYPES, lake.write(FIVE_ROWS, ALL_TYPES))
    (task,) = table.scan().plan_files()
    found = rows(table)
    assert len(found) == 5
    for field in table.schema().fields:
        values = [row[field.name] for row in found]
        assert isinstance(field.field_type, PrimitiveType)
        assert task.file.lower_bounds[field.field_id] == to_bytes(field.field_type, min(values)), field.name
        assert task.file.upper_bounds[field.field_id] == to_bytes(field.field_type, max(values)), field.name
        assert (task.file.value_counts[field.field_id], task.file.null_value_counts[field.field_id]) == (5, 0)
        assert task.file.column_sizes[field.field_id] > 0


@pytest.mark.parametrize("column", ALL_TYPES.names)
def test_a_filter_on_any_type_reads_the_file_that_has_the_value(lake: Lake, column: str) -> None:
    files = tuple(lake.write(f"from ({FIVE_ROWS}) where id = {number}", ALL_TYPES)[0] for number in range(5))
    table = lake.change("all", ALL_TYPES, files)
    values = [row[column] for row in rows(table)]
    assert [planned(table, EqualTo(term=Reference(column), value=value)) for value in values] == [
        values.count(value) for value in values
    ]


@pytest.mark.parametrize("column", [name for name in ALL_TYPES.names if name not in NO_PARTITION])
def test_a_table_can_be_partitioned_by_every_exact_type(lake: Lake, column: str) -> None:
    files = lake.write(FIVE_ROWS, ALL_TYPES, (column,))
    whole = rows(lake.change("all", ALL_TYPES, files, partition_by=(column,)))
    gone = lake.engine.execute(f"select id from '{lake.root}/{files[0].path}'").fetchall()
    table = lake.change("all", ALL_TYPES, (), (files[0].path,), partition_by=(column,))  # reads and rewrites entries
    assert rows(table) == [row for row in whole if (row["id"],) not in gone]
    kept = {str(task.file.partition[0]) for task in table.scan().plan_files()}
    assert kept == {str(partition_values(ALL_TYPES, file, (column,))[0]) for file in files[1:]}
    found = [planned(table, EqualTo(term=Reference(column), value=row[column])) for row in rows(table)]
    assert found == [1] * (len(whole) - len(gone))


@pytest.mark.parametrize("column", NO_PARTITION)
def test_a_type_that_is_not_exact_cannot_partition(lake: Lake, column: str) -> None:
    files = lake.write(FIVE_ROWS, ALL_TYPES, (column,))
    with pytest.raises(WarehouseError, match=f"column '{column}' cannot partition its table: a .* is no partition"):
        lake.stage("all", ALL_TYPES, files, partition_by=(column,))


def test_a_partition_that_cannot_be_kept_is_an_error() -> None:
    with pytest.raises(WarehouseError, match="column 'day' cannot partition its table: '10001-01-01' is not a DATE"):
        partition_values(ALL_TYPES, DataFile("a", 1, 1, {"day": "10001-01-01"}), ("day",))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("DATE", "infinity"),
        ("DATE", "5000-01-01 (BC)"),
        ("DATE", "10001-01-01"),
        ("TIME", "24:00:00"),
        ("TIMESTAMP", "infinity"),
        ("TIMESTAMP", "0044-03-15 (BC) 10:00:00"),
        ("TIMESTAMP", "294247-01-10 04:00:54.775806"),
        ("TIMESTAMPTZ", "2024-01-01 00:00:00"),
        ("REAL", "1e39"),
        ("DOUBLE", "nan"),
        ("INTEGER", "2147483648"),
        ("BIGINT", "9223372036854775808"),
        ("BOOLEAN", "yes"),
        ("DECIMAL(9,2)", "nan"),
        ("DECIMAL(9,2)", ""),
        ("BLOB", "\\x00"),
        ("UUID", "no"),
        ("VARCHAR", None),
    ],
)
def test_a_bound_that_is_not_known_for_certain_is_left_out(kind: str, text: str | None) -> None:
    assert bound(kind, text) is None


def test_what_has_no_bounds_keeps_its_counts() -> None:
    schema = Schema.of([("a", "DOUBLE"), ("b", "VARCHAR"), ("c", "DATE")])
    stats = {
        "a": ColumnStats(None, None, 1, 3, 9),
        "b": ColumnStats("x", None, 0, 3, 8),
        "z": ColumnStats("1", "1", 0, 3, 7),
    }
    assert file_metrics(schema, DataFile("f", 3, 1, stats=stats)) == {
        "column_sizes": {1: 9, 2: 8},
        "value_counts": {1: 3, 2: 3},
        "null_value_counts": {1: 1, 2: 0},
        "lower_bounds": {2: b"x"},
        "upper_bounds": {},
    }


@pytest.mark.parametrize("text", ["0.0", "-0.0"])
def test_a_zero_bound_covers_both_zeros(text: str) -> None:
    schema, stats = Schema.of([("a", "DOUBLE")]), {"a": ColumnStats(text, text, 0, 1, 1)}
    metrics = file_metrics(schema, DataFile("f", 1, 1, stats=stats))
    lower, upper = (struct.unpack("<d", metrics[name][1])[0] for name in ("lower_bounds", "upper_bounds"))
    assert (math.copysign(1, lower), math.copysign(1, upper)) == (-1, 1)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**27), max_value=10**27))
def test_decimals_are_written_as_pyiceberg_writes_them(value: Decimal) -> None:
    kind = DecimalType(38, 10)
    assert iceberg_type("DECIMAL(38,10)").replace(" ", "") == str(kind).replace(" ", "")
    written = bound("DECIMAL(38,10)", f"{value:f}")
    assert written == to_bytes(kind, value)
    assert from_bytes(kind, written) == value


def as_duckdb_writes(kind: str, value: object) -> str:
    text = "hex(?::blob)" if kind == "BLOB" else f"?::{kind}::varchar"
    with duckdb.connect() as connection:
        row = connection.execute(f"select {text}", [value]).fetchone()
    assert row
    return str(row[0])


@given(st.dates())
def test_dates_are_days(value: date) -> None:
    assert stored_value("DATE", as_duckdb_writes("DATE", value)) == value.toordinal() - date(1970, 1, 1).toordinal()


@given(st.times())
def test_times_are_microseconds(value: time) -> None:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    assert stored_value("TIME", as_duckdb_writes("TIME", value)) == seconds * 10**6 + value.microsecond


@given(st.datetimes())
def test_timestamps_are_microseconds(value: datetime) -> None:
    micros = (value - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
    assert stored_value("TIMESTAMP", as_duckdb_writes("TIMESTAMP", value)) == micros
    assert stored_value("TIMESTAMPTZ", as_duckdb_writes("TIMESTAMP", value) + "+01:30") == micros - 5400 * 10**6


@given(st.one_of(st.uuids(), st.binary(max_size=40), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)))
def test_other_values_come_back_exactly(value: UUID | bytes | int | float) -> None:
    kind = {UUID: "UUID", bytes: "BLOB", int: "BIGINT", float: "DOUBLE"}[type(value)]
    assert stored_value(kind, as_duckdb_writes(kind, value)) == value


@given(st.floats(allow_nan=False, width=32).filter(lambda value: value != 0))
def test_a_real_is_the_same_four_bytes(value: float) -> None:
    assert bound("REAL", as_duckdb_writes("REAL", value)) == struct.pack("<f", value)
