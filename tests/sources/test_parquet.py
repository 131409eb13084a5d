"""Parquet as a source: columns by name and type, positions, slices, and files that cannot be read."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import assay
from assay.model.errors import DeclarationError, SourceError, UsageError
from assay.model.files import Damaged
from assay.model.run import RunResult
from assay.model.source import FileIdentity, Slice
from assay.runtime.extracting.columnar import batches
from assay.settings import Settings
from assay.sources.looks import damage_of

DAY = dt.date(2025, 2, 1)
COLUMNS = {"id": "BIGINT", "price": "DECIMAL(10,2)", "day": "DATE", "name": "VARCHAR"}


@assay.table(write=assay.Append())
def raw_sale(sales: Any) -> Any:
    """Every sale as delivered, with where it came from."""
    return sales.with_columns(
        _source_file=assay.source_file(),
        _partition_date=assay.partition_date(),
        _ingested_on=assay.extracted_on(),
        place=assay.position(),
    )


def rows(*ids: int, **more: Any) -> pa.Table:
    """A file's rows, as pyarrow writes them; `more` replaces or adds columns."""
    columns = {
        "id": pa.array(ids, pa.int64()),
        "price": pa.array([Decimal(i) for i in ids], pa.decimal128(10, 2)),
        "day": pa.array([dt.date(2025, 1, i) for i in ids], pa.date32()),
        "name": pa.array([f"n{i}" for i in ids]),
    }
    return pa.table({**columns, **more})


class Sales:
    """A folder of day folders, and a lake."""

    def __init__(self, folder: Path) -> None:
        self.lake, self.inbox = folder / "lake", folder / "in"

    def deliver(self, day: str, found: pa.Table | bytes, **how: Any) -> Path:
        path = self.inbox / day / "data.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(found, bytes):
            path.write_bytes(found)
        else:
            pq.write_table(found, path, **how)
        return path

    def run(
        self,
        damaged: Damaged = "refuse",
        columns: dict[str, str] = COLUMNS,
        repeats: bool = False,
        as_of: dt.date = DAY,
        **how: Any,
    ) -> RunResult:
        source = assay.parquet(
            str(self.inbox / "*" / "data.parquet"), columns=columns, damaged=damaged, repeats=repeats
        )
        pipeline = assay.Pipeline("sales", tables=[raw_sale], sources={"sales": source}, layers=("raw",))
        settings = Settings(retries=0, workers=2)
        return assay.run(pipeline, warehouse=self.lake, as_of=as_of, settings=settings, **how)

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with assay.connect(self.lake) as lake:
            return lake.sql(text).fetchall()


@pytest.fixture
def sales(tmp_path: Path) -> Sales:
    return Sales(tmp_path)


@pytest.mark.row("003-15", "003-03")
def test_rows_come_with_their_types_their_file_its_day_and_their_place(sales: Sales) -> None:
    sales.deliver("2025-01-01", rows(1, 2))
    sales.deliver("2025-01-02", rows(3))
    assert sales.run().state == "published"
    found = sales.query("select id, price, day, name, _source_file, _partition_date, _ingested_on, place from raw.sale")
    first, day = "2025-01-01/data.parquet", dt.date(2025, 1, 1)
    assert sorted(found) == [
        (1, Decimal("1.00"), dt.date(2025, 1, 1), "n1", first, day, DAY, (1 << 41) + 1),
        (2, Decimal("2.00"), dt.date(2025, 1, 2), "n2", first, day, DAY, (1 << 41) + 2),
        (
            3,
            Decimal("3.00"),
            dt.date(2025, 1, 3),
            "n3",
            "2025-01-02/data.parquet",
            dt.date(2025, 1, 2),
            DAY,
            (2 << 41) + 1,
        ),
    ]
    kinds = sales.query("select column_type from (describe raw.sale)")
    assert [kind for (kind,) in kinds[:4]] == ["BIGINT", "DECIMAL(10,2)", "DATE", "VARCHAR"]


@pytest.mark.row("003-18")
def test_a_new_day_adds_its_rows_a_replaced_one_replaces_its_own_and_the_earlier_stays_readable(sales: Sales) -> None:
    sales.deliver("2025-01-01", rows(1, 2))
    first = sales.run()
    sales.deliver("2025-01-02", rows(3))
    assert sales.run(as_of=dt.date(2025, 2, 2)).tables["raw_sale"].ledger.written == 1
    assert sales.run().run is None
    sales.deliver("2025-01-01", rows(1, 7))
    sales.run(as_of=dt.date(2025, 2, 3))
    assert sales.query("select id, _ingested_on from raw.sale order by id") == [
        (1, dt.date(2025, 2, 3)),
        (3, dt.date(2025, 2, 2)),
        (7, dt.date(2025, 2, 3)),
    ]
    with assay.connect(sales.lake, at=first.run) as then:
        assert then.sql("select id from raw.sale order by id").fetchall() == [(1,), (2,)]


def test_the_same_content_under_a_new_name_is_refused_unless_the_source_says_that_it_repeats(sales: Sales) -> None:
    sales.deliver("2025-01-01", rows(1))
    sales.deliver("2025-01-02", rows(1))
    with pytest.raises(SourceError, match=r"already has this content as '2025-01-01/data.parquet'"):
        sales.run()
    sales.run(repeats=True)
    assert sales.query("select count(*) from raw.sale") == [(2,)]


FITTING = [
    ("BIGINT", pa.int32(), 7),
    ("BIGINT", pa.uint32(), 7),
    ("INTEGER", pa.int8(), 7),
    ("DOUBLE", pa.int32(), 7),
    ("DOUBLE", pa.float32(), 0.5),
    ("DECIMAL(12,2)", pa.int32(), 7),
    ("DECIMAL(12,3)", pa.decimal128(10, 2), Decimal("1.25")),
    ("VARCHAR", pa.large_string(), "x"),
    ("VARCHAR", pa.dictionary(pa.int8(), pa.string()), "x"),
    ("TIMESTAMP", pa.timestamp("ns"), dt.datetime.fromisoformat("2025-01-01T10:00:00.000001")),
    ("TIMESTAMP", pa.timestamp("ms"), dt.datetime.fromisoformat("2025-01-01T10:00:00")),
    ("TIME", pa.time32("ms"), dt.time(10, 30)),
    ("BOOLEAN", pa.bool_(), True),
    ("BLOB", pa.binary(), b"\xff\x00"),
    ("VARCHAR", pa.null(), None),
]
"""Type declared, type in the file, and a value."""


@pytest.mark.row("003-15")
def test_a_type_that_loses_nothing_is_taken_for_the_one_declared(sales: Sales) -> None:
    found = {f"c{n}": pa.array([value], kind) for n, (_, kind, value) in enumerate(FITTING)}
    sales.deliver("2025-01-01", pa.table(found))
    assert sales.run(columns={f"c{n}": declared for n, (declared, _, _) in enumerate(FITTING)}).ok
    names = ", ".join(found)
    assert sales.query(f"select {names} from raw.sale") == [tuple(value for _, _, value in FITTING)]
    kinds = sales.query("select column_type from (describe raw.sale) where column_name[1] = 'c'")
    spelled = {"REAL": "FLOAT"}
    assert [kind for (kind,) in kinds] == [spelled.get(declared, declared) for declared, _, _ in FITTING]


@pytest.mark.parametrize(
    ("declared", "array", "told"),
    [
        ("BIGINT", pa.array([1.5]), "column 'more' is DOUBLE, and declared as BIGINT."),
        ("INTEGER", pa.array([1]), "column 'more' is BIGINT, and declared as INTEGER."),
        ("DECIMAL(10,2)", pa.array([1]), "column 'more' is BIGINT, and declared as DECIMAL(10,2)."),
        (
            "DECIMAL(10,2)",
            pa.array([Decimal("1.125")]),
            "column 'more' is DECIMAL(4,3), and declared as DECIMAL(10,2).",
        ),
        ("DATE", pa.array(["2025-01-01"]), "column 'more' is VARCHAR, and declared as DATE."),
        ("VARCHAR", pa.array([b"x"]), "column 'more' is BLOB, and declared as VARCHAR."),
        ("VARCHAR", pa.array([[1]]), "column 'more' is list<element: int64>, and declared as VARCHAR."),
        ("TIMESTAMP", pa.array([0], pa.timestamp("us", "UTC")), "is TIMESTAMPTZ, and declared as TIMESTAMP."),
        ("TIMESTAMP", pa.array([1], pa.timestamp("ns")), "column 'more' has parts of a microsecond"),
        ("DATE", pa.array([2932897], pa.date32()), "column 'more' has a day before the year 1 or after 9999."),
    ],
)
def test_a_wrong_type_is_one_error_that_names_the_file_and_the_column(
    sales: Sales, declared: str, array: pa.Array, told: str
) -> None:
    path = sales.deliver("2025-01-01", rows(1, more=array))
    source = assay.parquet(str(path), columns={"id": "BIGINT", "more": declared})
    with pytest.raises(SourceError) as error:
        damage_of(source, str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert told in str(error.value)


def test_a_missing_column_is_refused_and_others_are_reported(sales: Sales) -> None:
    path = sales.deliver("2025-01-01", rows(1, extra=pa.array([1])))
    result = sales.run()
    (verdict,) = [v for v in result.nodes["sales"].verdicts if v.broken]
    assert (verdict.check, verdict.detail) == ("columns that are not declared", "extra")
    with pytest.raises(SourceError) as error:
        sales.run(columns={"id": "BIGINT", "names": "VARCHAR"})
    assert str(error.value) == (
        f"{path}: has no column 'names'. Did you mean 'name'? It has: id, price, day, name, extra."
    )


def test_columns_that_differ_in_case_alone_are_refused(sales: Sales) -> None:
    sales.deliver("2025-01-01", rows(1, ID=pa.array([1])))
    with pytest.raises(SourceError, match="has 'id' and 'ID'; upper and lower case are one name"):
        sales.run()


def damages() -> dict[str, bytes]:
    """Files that cannot be read to their end, by what was done to them."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows(*range(1, 31)), sink, compression="none", use_dictionary=False, write_page_checksum=True)
    good = sink.getvalue().to_pybytes()
    flipped = bytearray(good)
    flipped[150] ^= 0xFF
    text = rows(1, name=pa.array([b"\xff\xfe"]).view(pa.string()))
    sink = pa.BufferOutputStream()
    pq.write_table(text, sink)
    return {
        "empty": b"",
        "text": b"id,price\n1,2\n",
        "cut in half": good[: len(good) // 2],
        "without its last byte": good[:-1],
        "without its beginning": good[100:],
        "a flipped byte": bytes(flipped),
        "no UTF-8": sink.getvalue().to_pybytes(),
    }


@pytest.mark.parametrize("damage", damages())
def test_a_damaged_file_is_told_by_name_and_why(sales: Sales, damage: str) -> None:
    path = str(sales.deliver("2025-01-02", damages()[damage]))
    with pytest.raises(SourceError) as error:
        damage_of(assay.parquet(path, columns=COLUMNS), path)
    assert str(error.value).startswith(f"{path}: is damaged, or no Parquet file: ")
    why = damage_of(assay.parquet(path, columns=COLUMNS, damaged="quarantine"), path)
    assert str(error.value) == f"{path}: {why}"


def test_a_damaged_file_stops_the_run_and_changes_nothing(sales: Sales) -> None:
    sales.deliver("2025-01-01", rows(1))
    sales.run()
    sales.deliver("2025-01-02", damages()["a flipped byte"])
    sales.deliver("2025-01-03", rows(3))
    with pytest.raises(SourceError, match="is damaged, or no Parquet file: could not verify page integrity"):
        sales.run()
    assert sales.query("select id from raw.sale") == [(1,)]
    assert sales.query("select count(*) from meta.run") == [(1,)]


def test_where_the_source_says_so_each_damaged_file_is_an_entry_of_the_quarantine_and_the_rest_goes_on(
    sales: Sales,
) -> None:
    days = {f"2025-01-1{n}": content for n, content in enumerate(damages().values())}
    paths = {day: sales.deliver(day, content) for day, content in days.items()}
    sales.deliver("2025-01-01", rows(1))
    sales.deliver("2025-01-30", rows(3))
    result = sales.run("quarantine")
    assert sales.query("select id from raw.sale order by id") == [(1,), (3,)]
    entries = sales.query("select source_file, row, reasons from meta.quarantine where stands order by 1")
    assert [file for file, _, _ in entries] == [f"{day}/data.parquet" for day in days]
    assert [json.loads(row)["path"] for _, row, _ in entries] == [str(path) for path in paths.values()]
    assert all("is damaged, or no Parquet file: " in reasons for _, _, reasons in entries)
    (verdict,) = [v for v in result.nodes["sales"].verdicts if v.broken]
    assert (verdict.check, verdict.action, verdict.broken) == ("damaged files", "warn", len(days))
    assert sales.run("quarantine").run is None
    sales.deliver("2025-01-12", rows(2))
    sales.run("quarantine")
    assert sales.query("select id from raw.sale order by id") == [(1,), (2,), (3,)]
    left = sales.query("select source_file from meta.quarantine where stands order by 1")
    assert [file for (file,) in left] == [f"{day}/data.parquet" for day in days if day != "2025-01-12"]


def test_a_damaged_file_takes_no_rows_away_that_were_delivered_under_its_name(sales: Sales) -> None:
    sales.deliver("2025-01-01", rows(1, 2))
    sales.run("quarantine")
    sales.deliver("2025-01-01", b"PAR1")
    with pytest.raises(
        SourceError, match=r"is damaged, or no Parquet file: .* though 2 were delivered under this name"
    ):
        sales.run("quarantine")
    sales.run("quarantine", allow_empty=True)
    assert sales.query("select count(*) from raw.sale") == [(0,)]


def test_a_file_without_rows_is_a_delivery_without_rows(sales: Sales) -> None:
    sales.deliver("2025-01-01", rows(1).slice(1))
    assert sales.run().ok
    assert sales.query("select count(*) from raw.sale") == [(0,)]


def test_files_that_differ_in_columns_or_their_order_are_read_each_by_its_own(sales: Sales) -> None:
    sales.deliver("2025-01-01", rows(1))
    sales.deliver("2025-01-02", rows(2).select(["name", "day", "price", "id"]))
    sales.deliver("2025-01-03", rows(3, id=pa.array([3], pa.int8())))
    sales.deliver("2025-01-04", rows(4, extra=pa.array(["x"])))
    sales.deliver("2025-01-05", rows(5))
    result = sales.run()
    found = sales.query("select id, name, _source_file, place >> 41, place & 7 from raw.sale order by id")
    assert found == [(n, f"n{n}", f"2025-01-0{n}/data.parquet", n, 1) for n in range(1, 6)]
    assert dict(result.nodes["sales"].ledger.read) == {f"2025-01-0{n}/data.parquet": 1 for n in range(1, 6)}
    # Each is a slice of its own still: one that comes anew leaves the others alone.
    sales.deliver("2025-01-05", rows(6))
    assert dict(sales.run().nodes["sales"].ledger.read) == {"2025-01-05/data.parquet": 1}
    assert sales.query("select count(*), sum(id) from raw.sale") == [(5, 16)]


def test_small_files_are_read_together_and_large_ones_alone() -> None:
    sizes = [1, 2, 9, 30, 3, 3, 4, 1]
    parts = [Slice(str(n), n, FileIdentity("", size, 0, 0, 0, ""), "", 0) for n, size in enumerate(sizes)]
    assert [[part.identity.size for part in batch] for batch in batches(parts, 10)] == [
        [1, 2],
        [9],
        [30],
        [3, 3, 4],
        [1],
    ]


def test_names_that_are_patterns_elsewhere_are_names(sales: Sales) -> None:
    sales.deliver("[1]*", rows(1))
    sales.deliver("day=3", rows(3))
    sales.run()
    found = sales.query("select id, _source_file, _partition_date from raw.sale order by id")
    assert found == [(1, "[1]*/data.parquet", None), (3, "day=3/data.parquet", None)]


def test_a_declaration_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(DeclarationError, match="declares no columns"):
        assay.parquet("a.parquet", columns={})
    with pytest.raises(DeclarationError, match="damaged= is 'refuse' or 'quarantine', not 'skip'"):
        assay.parquet("a.parquet", columns={"a": "BIGINT"}, damaged=cast("Damaged", "skip"))


def test_lines_of_a_file_without_lines_cannot_be_mended(sales: Sales) -> None:
    sales.deliver("2025-01-01", rows(1))
    sales.run()
    source = assay.parquet(str(sales.inbox / "*" / "data.parquet"), columns=COLUMNS)
    pipeline = assay.Pipeline("sales", tables=[raw_sale], sources={"sales": source}, layers=("raw",))
    with pytest.raises(UsageError, match="Source 'sales' has no lines to mend"):
        assay.replay(pipeline, mended="x.csv", warehouse=sales.lake)
