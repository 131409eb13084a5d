"""Rows of a file as the server's COPY reads them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.warehouses.postgres.sending import Sent, rows_of

TIMES = ("timestamp without time zone", "timestamp with time zone")
MICROSECONDS_OF_A_YEAR = 365 * 24 * 3600 * 1_000_000


def sent(folder: Path, kinds: str, **columns: pa.Array) -> Sent:
    """Send columns to a table whose columns are of these kinds."""
    path = folder / "rows.parquet"
    pq.write_table(pa.table(columns), path)
    return rows_of(path, dict(zip(columns, kinds.split(", "), strict=True)), 7)


def texts(folder: Path, **columns: pa.Array) -> list[bytes]:
    """Send columns to a table of which one is of a type that no file has."""
    going = sent(folder, ", ".join(["jsonb"] * len(columns)), **columns)
    assert going.form == "csv"
    return list(going.pieces)


ALL = {
    "small": (pa.array([1, None, -3], pa.int16()), "smallint"),
    "wider": (pa.array([1, None, -3], pa.int16()), "integer"),
    "big": (pa.array([2**40, None, -3]), "bigint"),
    "real": (pa.array([0.5, None, float("nan")], pa.float32()), "real"),
    "double": (pa.array([0.1, None, float("-inf")]), "double precision"),
    "yes": (pa.array([True, None, False]), "boolean"),
    "word": (pa.array(["", None, "Zoë's\t\\"]), "text"),
    "short": (pa.array(["a", None, "b"]), "character varying"),
    "day": (pa.array([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)]), "date"),
    "clock": (pa.array([dt.time(23, 59, 59, 999999), None, dt.time(0)]), "time without time zone"),
    "local": (pa.array([-999_999, None, 10**15], pa.timestamp("us")), TIMES[0]),
    "stamp": (pa.array([0, None, 10**15], pa.timestamp("us", tz="Europe/Zurich")), TIMES[1]),
    "money": (pa.array([Decimal("-0.01"), None, Decimal("9999999999.99")], pa.decimal128(12, 2)), "numeric"),
    "raw": (pa.array([b"", None, b"\x00\xff"]), "bytea"),
    "id": (pa.array([b"0123456789abcdef", None, bytes(16)], pa.binary(16)), "uuid"),
}


def test_values_of_every_type_arrive_in_binary_form_as_they_do_as_texts(tmp_path: Path, postgres_url: str) -> None:
    columns = {name: values for name, (values, _) in ALL.items()}
    declared = ", ".join(f"{name} {kind}" for name, (_, kind) in ALL.items())
    as_binary = sent(tmp_path, ", ".join(kind for _, kind in ALL.values()), **columns)
    as_texts = sent(tmp_path, ", ".join("xml" for _ in ALL), **columns)
    assert (as_binary.form, as_texts.form) == ("binary", "csv")
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        found = []
        for number, going in enumerate((as_binary, as_texts)):
            connection.execute(f"create table rows_{number} ({declared}, file bigint)".encode())
            with connection.cursor().copy(f"copy rows_{number} from stdin (format {going.form})".encode()) as copy:
                for piece in going.pieces:
                    copy.write(piece)
            found.append(connection.execute(f"select rows_{number}::text from rows_{number}".encode()).fetchall())
    assert found[0] == found[1]
    assert len(found[0]) == 3


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1]), "integer"),
        (pa.array([1], pa.uint64()), "bigint"),
        (pa.array([1]), "text"),
        (pa.array(["1"]), "numeric"),
        (pa.array(["{}"]), "jsonb"),
        (pa.array([1]), "numeric"),
        (pa.array([["a"]]), "text[]"),
        (pa.array([b"a"], pa.binary(1)), "uuid"),
        (pa.array([0.5]), "real"),
    ],
)
def test_what_has_not_the_form_of_its_column_goes_as_text(tmp_path: Path, values: pa.Array, kind: str) -> None:
    assert sent(tmp_path, kind, a=values).form == "csv"


@pytest.mark.parametrize("far", [2**63 - 1, -(2**63) + 1])
def test_an_infinite_time_is_refused_and_becomes_no_year(tmp_path: Path, far: int) -> None:
    going = sent(tmp_path, TIMES[0], at=pa.array([0, far], pa.timestamp("us")))
    assert going.form == "binary"
    with pytest.raises(ValueError, match=r"timestamp out of range|Underflow"):
        list(going.pieces)


def test_null_is_nothing_an_empty_text_stands_in_quotes_and_the_number_comes_last(tmp_path: Path) -> None:
    assert texts(tmp_path, a=pa.array([None, "", 'a "b"']), b=pa.array([1, None, 3])) == [
        b',"1","7"\n"",,"7"\n"a ""b""","3","7"\n'
    ]


def test_a_stamp_is_written_in_utc_and_one_of_a_year_that_no_text_has_as_no_stamp_at_all(tmp_path: Path) -> None:
    stamps = pa.array([0, -1, 40_000 * MICROSECONDS_OF_A_YEAR], pa.timestamp("us", tz="Europe/Zurich"))
    (rows,) = texts(tmp_path, at=stamps)
    first, second, far, _ = rows.split(b"\n")
    assert (first, second) == (b'"1970-01-01 00:00:00.000000","7"', b'"1969-12-31 23:59:59.999999","7"')
    assert far.startswith(b'"<value out of range: ')


def test_many_narrow_rows_go_at_once_and_few_wide_ones(tmp_path: Path) -> None:
    narrow = texts(tmp_path, a=pa.array(range(20_000)))
    wide = texts(tmp_path, a=pa.array([f"{n:<10000}" for n in range(2_000)]))
    assert [piece.count(b"\n") for piece in narrow] == [16_384, 3_616]
    assert max(map(len, wide)) < 6 << 20
    assert sum(piece.count(b"\n") for piece in wide) == 2_000
