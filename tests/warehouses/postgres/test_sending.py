"""Rows of a file as the server's COPY reads them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.warehouses.postgres.forms import FormlessError
from assay.warehouses.postgres.sending import Sent, rows_of

TIMES = ("timestamp without time zone", "timestamp with time zone")
MICROSECONDS_OF_A_YEAR = 365 * 24 * 3600 * 1_000_000


def sent(folder: Path, kinds: Mapping[str, str], **columns: pa.Array) -> Sent:
    """Send columns to a table whose columns are of these kinds."""
    path = folder / "rows.parquet"
    pq.write_table(pa.table(columns), path)
    return rows_of(path, kinds, 7)


def texts(folder: Path, **columns: pa.Array) -> list[bytes]:
    """Send columns to a table of which one is of a type that no file has."""
    going = sent(folder, dict.fromkeys(columns, "xml"), **columns)
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


def arrived(url: str, kinds: Mapping[str, str], going: Sent, *, form: str) -> list[Any]:
    """Return the rows of a new table that took what was sent, in the form that is expected."""
    assert going.form == form
    declared = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(f"create temporary table taken ({declared}, file bigint)".encode())
        with connection.cursor().copy(f"copy taken from stdin (format {form})".encode()) as copy:
            for piece in going.pieces:
                copy.write(piece)
        found = connection.execute("select taken::text from taken").fetchall()
    assert len(found) == 3
    return found


def test_values_of_every_type_arrive_in_binary_form_as_they_do_as_texts(tmp_path: Path, postgres_url: str) -> None:
    columns = {name: values for name, (values, _) in ALL.items()}
    kinds = {name: kind for name, (_, kind) in ALL.items()}
    assert arrived(postgres_url, kinds, sent(tmp_path, kinds, **columns), form="binary") == arrived(
        postgres_url, kinds, sent(tmp_path, dict.fromkeys(kinds, "xml"), **columns), form="csv"
    )


READ = {
    "money": (["-0.01", None, "9999999999.99"], "numeric(12,2)"),
    "count": (["-12", None, "0"], "numeric(30,0)"),
    "day": (["0001-01-01", None, "9999-12-31"], "date"),
    "local": (["0001-01-01 00:00:00", None, "2026-11-20 23:59:59.000001"], TIMES[0]),
    "stamp": (["2026-11-20 23:59:59.1+00", None, "9999-12-31 23:59:59.999999+00"], TIMES[1]),
    "tree": (['{"b": [1.50, "Zoë"], "a": null}', None, "[]"], "jsonb"),
    "told": (['{"b":  1, "a": 2}', None, "[]"], "json"),
}


def test_texts_that_stand_for_values_arrive_in_binary_form_as_the_server_reads_them(
    tmp_path: Path, postgres_url: str
) -> None:
    columns = {name: pa.array(values) for name, (values, _) in READ.items()}
    kinds = {name: kind for name, (_, kind) in READ.items()}
    assert arrived(postgres_url, kinds, sent(tmp_path, kinds, **columns), form="binary") == arrived(
        postgres_url, kinds, sent(tmp_path, dict.fromkeys(kinds, "xml"), **columns), form="csv"
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("infinity", TIMES[0]),
        ("-infinity", TIMES[1]),
        ("0044-03-15 00:00:00 BC", TIMES[0]),
        ("12026-03-15 00:00:00+00", TIMES[1]),
        ("12026-03-15", "date"),
        ("infinity", "date"),
        ("NaN", "numeric(12,2)"),
    ],
)
def test_a_text_that_only_the_server_can_read_is_not_taken_for_another_value(
    tmp_path: Path, text: str, kind: str
) -> None:
    going = sent(tmp_path, {"a": kind}, a=pa.array([None, text]))
    with pytest.raises(FormlessError):
        list(going.pieces)
    path = tmp_path / "rows.parquet"
    assert list(rows_of(path, {"a": kind}, 7, as_texts=True).pieces) == [f',"7"\n"{text}","7"\n'.encode()]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1]), "integer"),
        (pa.array([1], pa.uint64()), "bigint"),
        (pa.array([1]), "text"),
        (pa.array(["1"]), "numeric"),
        (pa.array(["1"]), "numeric(50,2)"),
        (pa.array(["1"]), "numeric(2,-3)"),
        (pa.array(["12:00:00"]), "time without time zone"),
        (pa.array([1]), "numeric"),
        (pa.array([["a"]]), "text[]"),
        (pa.array([b"a"], pa.binary(1)), "uuid"),
        (pa.array([0.5]), "real"),
    ],
)
def test_what_has_not_the_form_of_its_column_goes_as_text(tmp_path: Path, values: pa.Array, kind: str) -> None:
    assert sent(tmp_path, {"a": kind}, a=values).form == "csv"


@pytest.mark.parametrize("far", [2**63 - 1, -(2**63) + 1])
def test_an_infinite_time_is_refused_and_becomes_no_year(tmp_path: Path, far: int) -> None:
    going = sent(tmp_path, {"at": TIMES[0]}, at=pa.array([0, far], pa.timestamp("us")))
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
