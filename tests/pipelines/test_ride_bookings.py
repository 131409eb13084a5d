"""The ride pipeline, run through the public API, stores what two oracles that share no code with it compute."""

from __future__ import annotations

import gzip
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

import assay
from benchmarks.golden import TABLES, build_oracle, compare, control_totals
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import HEADER, generate
from tests.pipelines.ride_oracle import MEASURES, Row, Rows, load, oracle

ROOT = Path(__file__).parents[2]
AS_OF = date(2024, 12, 1)
STAMPS = {"created_at", "updated_at"}
DOUBLES = {"ride_distance", "avg_vtat", "avg_ctat", "driver_rating", "customer_rating", "avg_booking_value"}
FACT_IDS = {"ride": "ride_id", "cancelled_ride": "cancellation_id", "incompleted_ride": "incompleted_id"}

# Rows, in the order of TABLES, and control totals: of the sample of 3,000 rows, and of the real file.
SAMPLE_ROWS = (
    *(2_994, 2_993, 5_990, 2_986, 2_030, 2_984, 1_849, 734, 179),
    *(2_960, 7, 176, 5, 5, 2_984, 1_849, 734, 179),
    *(2_267, 2_960, 176),
)
SAMPLE_TOTALS = (2_984, 1_004_109, 2_050, 2_984, 2_984)
REAL_ROWS = (
    *(150_000, 149_973, 300_000, 149_961, 101_990, 149_885, 92_969, 37_492, 8_999),
    *(148_678, 7, 176, 5, 5, 149_885, 92_969, 37_492, 8_999),
    *(12_015, 148_678, 176),
)
REAL_TOTALS = (149_885, 51_810_792, 150_437, 149_885, 149_885)
# Filtered and deduplicated of the nine bronze tables on the sample, in the order of TABLES.
SAMPLE_LEDGER = ((0, 6), (0, 7), (0, 10), (0, 14), (962, 8), (0, 16), (1_144, 7), (2_262, 4), (2_818, 3))

# What the real file happens not to have: padded names and texts, nulls in most columns, a flag that is 0, the word null
# in quotes, places that are only driven to, a customer who never paid. A ~ is the unquoted word null.
EDGES = (
    " Date ,Time,"
    + HEADER.split(",", 2)[2]
    + '''2024-03-02,10:00:00,""" B1 """, Completed ,"""C1""", Auto,Here ,There,1.5,20.0,~,~,~,~,~,~,100,1.5,~,5.0, UPI
2024-03-01,09:00:00,"""B1""",Completed,"""C2""",Auto,Here,Beyond,1.5,20.0,~,~,~,~,~,~,250,1.5,4.0,5.0,UPI
2024-03-03,09:00:00,"""B2""",Incomplete,~,Bike,There,Here,~,~,~,~,~,~,1,"""Other"" Issue",33,2.0,~,~,
2024-03-06,09:00:00,"""B3""",~,"""C1""",~,~,Here,~,~,~,~,~,~,~,~,44,~,~,~,"null"
2024-03-07,09:00:00,"""B4""",Cancelled by Driver,"""C3""",Auto,Far,Here,4.0,~,0,"",~,~,~,~,~,~,~,~,""""""
2024-03-08,09:00:00,"""B5""",Cancelled by Customer,"""C3""",Auto,Far,There,4.0,~,1,Late,1,Early,~,~,~,~,~,~,~
2024-04-01,00:00:00,"""B1""",No Driver Found,"""C4""",Auto,Far,~,~,~,~,~,~,~,~,~,~,~,~,~,~
'''.replace("~", "null")
)
NO_BOOKING_ID = '''2024-03-04,09:00:00,~,Completed,"""C1""",Bike,There,Here,2.0,3.0,~,~,~,~,~,~,70,2.0,3.0,3.5,Cash
2024-03-05,09:00:00,~,Completed,"""C1""",Bike,There,Here,2.0,3.0,~,~,~,~,~,~,80,2.0,3.0,3.5,Cash
'''.replace("~", "null")


@dataclass(frozen=True)
class Published:
    """A delivery, what the run said of it, what can be read of it, and what the oracle computed."""

    file: Path
    result: Any
    connection: duckdb.DuckDBPyConnection
    expected: dict[str, Rows]

    def rows(self, table: str) -> Rows:
        columns = list(self.expected[table][0])
        return rows(self.connection, f"select {', '.join(columns)} from {table.replace('_', '.', 1)}")


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> Rows:
    result = connection.sql(query)
    return [dict(zip(result.columns, values, strict=True)) for values in result.fetchall()]


def run(file: Path, lake: Path, as_of: date = AS_OF) -> tuple[Any, duckdb.DuckDBPyConnection]:
    result = assay.run(ride_bookings, warehouse=lake, sources={"bookings": file}, as_of=as_of)
    return result, assay.connect(lake)


def deliver(text: str, path: Path) -> Path:
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


@contextmanager
def publish(file: Path, lake: Path) -> Iterator[Published]:
    result, connection = run(file, lake)
    with connection:
        assert result.ok, result.problems
        yield Published(file, result, connection, oracle(file, AS_OF))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("sample")
    with publish(generate(folder / "data", rows=3_000)["bookings"], folder / "lake") as published:
        yield published


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("edges")
    with publish(deliver(EDGES, folder / "edges.csv.gz"), folder / "lake") as published:
        yield published


def content(table: Rows) -> dict[frozenset[tuple[str, Any]], list[tuple[float, ...]]]:
    """Each distinct exact part of a row with the doubles of its copies; a null double stands as minus infinity."""
    parts: dict[frozenset[tuple[str, Any]], list[tuple[float, ...]]] = defaultdict(list)
    for row in table:
        doubles = tuple(-math.inf if row[name] is None else row[name] for name in sorted(DOUBLES & row.keys()))
        parts[frozenset(item for item in row.items() if item[0] not in DOUBLES)].append(doubles)
    return {part: sorted(copies) for part, copies in parts.items()}


def assert_same(ours: Rows, expected: Rows) -> None:
    found, wanted = content(ours), content(expected)
    assert found.keys() - wanted.keys() == set(), "rows that the oracle does not have"
    assert wanted.keys() - found.keys() == set(), "rows that only the oracle has"
    for part, copies in wanted.items():
        assert found[part] == [pytest.approx(copy, rel=1e-9, abs=0) for copy in copies], sorted(part)


def proven(table: str) -> Any:
    """The table as a parameter, marked with the row that asks for it."""
    layer, entity = table.split("_", 1)
    ids = {"bronze": ["000-02", "000-30"], "silver": ["000-04", "000-30"], "gold": ["000-05", "000-32"]}[layer]
    if layer == "silver" and entity in {"customer", "vehicle_type", "location", "booking_status", "payment_method"}:
        ids = ["000-03"]
    return pytest.param(table, marks=pytest.mark.row(*ids))


@pytest.mark.parametrize("table", [proven(table) for table in TABLES])
@pytest.mark.parametrize("delivery", ["sample", "edges"])
def test_the_table_holds_exactly_what_the_oracle_computes(
    request: pytest.FixtureRequest, delivery: str, table: str
) -> None:
    published: Published = request.getfixturevalue(delivery)
    assert_same(published.rows(table), published.expected[table])


@pytest.mark.row("000-02")
def test_a_row_without_booking_id_counts_for_its_customer_vehicle_and_places_and_is_no_booking(tmp_path: Path) -> None:
    with publish(deliver(EDGES + NO_BOOKING_ID, tmp_path / "edges.csv.gz"), tmp_path / "lake") as published:
        for table in TABLES:
            assert_same(published.rows(table), published.expected[table])


@pytest.mark.parametrize("table", [proven(table) for table in TABLES])
def test_the_table_has_these_columns_and_no_others_but_stamps(sample: Published, table: str) -> None:
    columns = set(sample.connection.sql(f"select * from {table.replace('_', '.', 1)}").columns)
    assert columns - STAMPS == sample.expected[table][0].keys()
    assert table.startswith("bronze") or columns >= STAMPS


@pytest.mark.row("000-30")
def test_the_readme_names_each_table_and_its_columns_on_one_line(sample: Published) -> None:
    lines = (ROOT / "pipelines/ride_bookings/README.md").read_text().splitlines()
    words = [set(re.findall(r"\w+", line)) for line in lines]
    wanted = {table: {table, *sample.expected[table][0]} for table in TABLES}
    assert [table for table, names in wanted.items() if not any(names <= line for line in words)] == []


def test_the_oracle_in_sql_agrees_with_the_oracle_in_python(tmp_path: Path) -> None:
    for file in (deliver(EDGES, tmp_path / "edges.csv.gz"), generate(tmp_path, rows=3_000)["bookings"]):
        with duckdb.connect() as connection:
            build_oracle(connection, file, AS_OF)
            for table, expected in oracle(file, AS_OF).items():
                assert_same(rows(connection, f"select * from oracle.{table}"), expected)


def test_the_comparison_of_make_golden_finds_one_changed_value_and_one_lost_row(tmp_path: Path) -> None:
    file = generate(tmp_path, rows=500)["bookings"]
    with duckdb.connect() as judge, duckdb.connect() as other:
        for connection in (judge, other):
            build_oracle(connection, file, AS_OF)
        other.execute("create schema silver; create table silver.ride as from oracle.silver_ride")
        assert compare(judge, other, "silver_ride").ok
        other.execute("update silver.ride set ride_distance = ride_distance + 1e-7 where ride_id = 7")
        assert compare(judge, other, "silver_ride").differing == 1
        other.execute("delete from silver.ride where ride_id = 9")
        assert compare(judge, other, "silver_ride").differing == 2
        other.execute("alter table silver.ride drop booking_time")
        assert compare(judge, other, "silver_ride").note == "booking_time is missing, not time"


def golden_files() -> list[Any]:
    """The sample, and the real file where there is one: named by the environment (then it must exist) or beside us."""
    named, beside = os.environ.get("ASSAY_REAL_DATA"), ROOT.parent / "shared/data/ncr_ride_bookings.csv.gz"
    real = [Path(named)] if named else [beside] if beside.is_file() else []
    return [
        pytest.param(None, SAMPLE_ROWS, SAMPLE_TOTALS, id="sample"),
        *(pytest.param(path, REAL_ROWS, REAL_TOTALS, id=path.name) for path in real),
    ]


@pytest.mark.row("000-02", "000-03", "000-04", "000-05", "000-21")
@pytest.mark.parametrize(("file", "counts", "totals"), golden_files())
def test_the_row_counts_stored_and_returned_and_the_control_totals_are_the_golden_ones(
    tmp_path: Path, file: Path | None, counts: tuple[int, ...], totals: tuple[int, ...]
) -> None:
    result, connection = run(file or generate(tmp_path, rows=3_000)["bookings"], tmp_path / "lake")
    golden = dict(zip(TABLES, counts, strict=True))
    with connection:
        stored = {table: connection.sql(f"from {table.replace('_', '.', 1)}").shape[0] for table in TABLES}
        assert stored == golden
        assert tuple(control_totals(connection, published=True).values()) == totals
    assert {table: result.tables[table].rows for table in TABLES} == golden


@pytest.mark.row("000-02")
@pytest.mark.parametrize(("table", "counts"), list(zip(TABLES, SAMPLE_LEDGER, strict=False)))
def test_every_row_that_bronze_leaves_out_is_counted(sample: Published, table: str, counts: tuple[int, int]) -> None:
    line = sample.result.to_json()["tables"][table]
    assert ((line["filtered"], line["deduplicated"]), line["rejected"]) == (counts, 0)
    assert line["rows"] + sum(counts) == (6_000 if table == "bronze_location" else 3_000)


@pytest.mark.row("000-06")
def test_the_pipeline_has_22_named_nodes_each_of_them_callable() -> None:
    assert set(ride_bookings.nodes) == {"load_and_prepare", *TABLES}
    assert len(ride_bookings.nodes) == 22
    assert all(callable(node) for node in ride_bookings.nodes.values())


@pytest.mark.row("000-01")
@pytest.mark.parametrize("delivery", ["sample", "edges"])
def test_texts_are_bare_and_each_row_knows_its_month_its_run_and_its_file(
    request: pytest.FixtureRequest, delivery: str
) -> None:
    published: Published = request.getfixturevalue(delivery)
    bookings = rows(published.connection, "select * from bronze.booking")
    texts = {value for row in bookings for value in row.values() if isinstance(value, str)}
    assert [text for text in texts if '"' in text or text != text.strip() or text in {"", "null"}] == []
    assert all(row["extraction_month"] == f"{row['booking_date']:%Y-%m}" for row in bookings)
    assert {(row["extraction_date"], row["source_file"]) for row in bookings} == {(AS_OF, published.file.name)}


@pytest.mark.row("000-30")
def test_the_sum_of_each_measure_is_the_same_in_source_bronze_and_silver(sample: Published) -> None:
    first: dict[tuple[str, str], Row] = {}
    for row in load(sample.file, AS_OF):
        first.setdefault((row["booking_id"], row["extraction_month"]), row)
    for measure in MEASURES:
        source = math.fsum(row[measure] for row in first.values() if row[measure] is not None)
        for table in ("bronze.booking", "silver.booking"):
            (stored,) = sample.connection.sql(f"select sum({measure}) from {table}").fetchall()[0]
            assert float(stored) == pytest.approx(source, rel=1e-9), (table, measure)


@pytest.mark.row("000-23", "000-31")
@pytest.mark.parametrize(("fact", "number"), FACT_IDS.items())
def test_generated_ids_are_unique_and_stay_after_a_rerun_and_new_data(tmp_path: Path, fact: str, number: str) -> None:
    file = generate(tmp_path / "first", rows=400)["bookings"]
    more = generate(tmp_path / "second", rows=400, seed=7)["bookings"].rename(tmp_path / "second" / "more.csv.gz")
    seen: list[dict[tuple[str, str], int]] = []
    for delivery, as_of in ((file, AS_OF), (file, date(2024, 12, 2)), (more, date(2024, 12, 3))):
        with run(delivery, tmp_path / "lake", as_of)[1] as connection:
            stored = connection.sql(f"select booking_id, extraction_month, {number} from silver.{fact}").fetchall()
        assert len({line[2] for line in stored} - {None}) == len(stored)
        seen.append({(booking, month): key for booking, month, key in stored})
    first, rerun, grown = seen
    assert sorted(first.values()) == list(range(1, len(first) + 1))
    assert rerun == first
    assert first.items() < grown.items()
    assert min(grown[key] for key in grown.keys() - first.keys()) > len(first)


@pytest.mark.row("000-22")
def test_created_at_stays_and_updated_at_moves_only_where_a_row_changed(tmp_path: Path) -> None:
    file = generate(tmp_path / "data", rows=400)["bookings"]
    booking = oracle(file, AS_OF)["silver_ride"][0]
    text = gzip.decompress(file.read_bytes()).decode()
    line = next(line for line in text.splitlines() if booking["booking_id"] in line)
    changed = line.replace(f",{booking['booking_value']},", ",4999,")
    stamps = []
    for as_of in (AS_OF, date(2024, 12, 2), date(2024, 12, 3)):
        if as_of == date(2024, 12, 3):
            deliver(text.replace(line, changed), file)
        with run(file, tmp_path / "lake", as_of)[1] as connection:
            query = "select ride_id, booking_value, created_at, updated_at from silver.ride"
            stamps.append({row.pop("ride_id"): row for row in rows(connection, query)})
    first, rerun, later = stamps
    assert rerun == first
    assert [number for number in first if first[number] != later[number]] == [booking["ride_id"]]
    before, after = first[booking["ride_id"]], later[booking["ride_id"]]
    assert after["booking_value"] == Decimal(4999)
    assert after["created_at"] == before["created_at"] == before["updated_at"] < after["updated_at"]
