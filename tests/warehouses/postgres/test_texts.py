"""Rows of a file as the server's COPY reads them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assay.warehouses.postgres.texts import rows_as_text

MICROSECONDS_OF_A_YEAR = 365 * 24 * 3600 * 1_000_000


def texts(folder: Path, **columns: pa.Array) -> list[bytes]:
    path = folder / "rows.parquet"
    pq.write_table(pa.table(columns), path)
    return list(rows_as_text(path, list(columns), 7))


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
