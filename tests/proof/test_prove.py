"""`assay prove`: what nothing but the rows should change is run in many ways, and what differs is told by its rows."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import narwhals as nw
import pytest
from narwhals import LazyFrame, col

import assay
from assay import Append, Merge, Pipeline, csv, first_in_source, free, groups, latest, lookup, position
from assay.model.errors import UsageError
from assay.proof.proving.evidence import Finding, Proof
from assay.settings import Settings
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.conformance.processes import call

Frame = LazyFrame[Any]
REAL = Path(__file__).parents[3] / "shared" / "data" / "ncr_ride_bookings.csv.gz"
SETTINGS = Settings(workers=2, retry_seconds=0)
DAY = dt.date(2024, 12, 1)
COLUMNS = {"id": "BIGINT", "day": "DATE", "amount": "BIGINT", "buyer": "VARCHAR"}


@assay.table(write=Append())
def bronze_sale(sales: Frame) -> Frame:
    """Every sale as delivered."""
    return sales


@assay.table(key="day", keep=first_in_source())
def silver_first(bronze_sale: Frame) -> Frame:
    """The first sale of each day."""
    return bronze_sale.select("day", "amount", position())


@assay.table(key="day", keep=latest("amount"))
def silver_largest(bronze_sale: Frame) -> Frame:
    """The largest sale of each day, the last of equals."""
    return bronze_sale


@assay.table(key="day", rows=free("one a day"))
def silver_tied(bronze_sale: Frame) -> Any:
    """Some sale of each day: the order leaves all of them tied."""
    numbered = "select *, row_number() over (partition by day order by day) as n from s"
    return assay.sql(f"select day, id from ({numbered}) where n = 1", s=bronze_sale)


@assay.table(key="day", rows=groups("day", count="sales"))
def silver_any(bronze_sale: Frame) -> Any:
    """The first sale of each day, of no order."""
    return assay.sql("select day, count(*) as sales, first(id) as id from s group by day", s=bronze_sale)


@assay.table(rows=free("three are enough"))
def silver_some(bronze_sale: Frame) -> Any:
    """Any three sales."""
    return assay.sql("select id, day from s limit 3", s=bronze_sale)


@assay.table(rows=free("one row for all"))
def gold_tied(silver_tied: Frame) -> Frame:
    """The sum of some ids."""
    return silver_tied.select(ids=col("id").sum())


@assay.table(rows=free("one will do"))
def gold_any(silver_first: Frame) -> Any:
    """Some day: three steps from the source, as what is read may be stored in another order, too."""
    return assay.sql("select first(day) as day from s", s=silver_first)


@assay.table(key="day")
def gold_first(silver_first: Frame) -> Frame:
    """The first sale of each day, doubled."""
    return silver_first.select("day", (col("amount") * 2).alias("twice"))


TOTAL = (bronze_sale, silver_first, silver_largest, gold_first)
NOT_TOTAL = (silver_tied, silver_any, silver_some, gold_tied, gold_any)


def shop(folder: Path, *tables: assay.Table) -> Pipeline:
    """A pipeline over one file of sales: ten days, of each day six sales."""
    folder.mkdir(exist_ok=True)
    lines = [f"{n},2024-11-{n % 10 + 1:02},{n % 4},b{n % 7}" for n in range(60)]
    (folder / "sales.csv").write_text("\n".join([",".join(COLUMNS), *lines, ""]))
    return Pipeline("shop", tables=tables, sources={"sales": csv(f"{folder}/sales.csv", columns=COLUMNS)})


def prove(pipeline: Pipeline, **asked: Any) -> Proof:
    given: dict[str, Any] = {"as_of": DAY, "settings": SETTINGS, "workers": 1, "batches": 2}
    return assay.prove(pipeline, **(given | asked))


def rows(lake: Path, query: str) -> list[tuple[Any, ...]]:
    with assay.connect(lake) as connection:
        return sorted(connection.execute(query).fetchall())


def verdicts(proof: Proof) -> dict[str, str]:
    return {finding.tried: finding.verdict for finding in proof.findings if not finding.tried.startswith("  ")}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finding]:
    """What a proof finds of tables that are functions of their rows, and of some that are not."""
    pipeline = shop(tmp_path_factory.mktemp("shop"), *TOTAL, *NOT_TOTAL)
    proof = prove(pipeline, permute_source=True)
    assert not proof.ok
    return {finding.tried: finding for finding in proof.findings}


def test_tables_that_choose_without_a_total_order_differ_when_rows_are_presented_in_other_orders(
    found: Mapping[str, Finding],
) -> None:
    orders = [found[f"rows presented in order {order}"] for order in ("1", "1, backwards", "2")]
    assert [finding.verdict for finding in orders] == ["differs"] * 3
    differing = {table for finding in orders[:2] for table in finding.differing}
    assert differing == {table.name for table in NOT_TOTAL}
    assert not {table.name for table in TOTAL} & set(orders[2].differing)


def test_the_first_table_that_differs_is_told_with_rows_of_both_sides(found: Mapping[str, Finding]) -> None:
    first = found["rows presented in order 1"].first
    assert first is not None
    assert (first.table, first.columns, first.telling) == ("silver_tied", ("day", "id"), ("day", "id"))
    # Of every day another sale was chosen, but where the shuffled order begins with the same.
    assert 10 < first.rows <= 20
    assert len(first.as_delivered) == len(first.here) == 5
    assert [day for day, _ in first.as_delivered] == [day for day, _ in first.here]
    assert all(day.day == number + 1 for day, number in first.as_delivered), "the first sale of the day, as delivered"


def test_what_is_stored_is_as_it_was_after_a_run_with_nothing_to_do_and_after_a_full_one(
    found: Mapping[str, Finding],
) -> None:
    assert [found[name].verdict for name in ("as delivered", "the same rows", "  and again")] == ["same"] * 3
    assert found["as delivered"].detail == "60 rows"


def test_tables_that_choose_by_position_are_order_dependent_and_no_fault(tmp_path: Path) -> None:
    pipeline = shop(tmp_path, *TOTAL)
    proof = prove(pipeline, batches=1, permute_source=True)
    assert proof.ok
    moved = proof.findings[-1]
    assert (moved.tried, moved.verdict) == ("lines of the source in another order", "order-dependent")
    assert moved.differing == ("silver_first", "silver_largest", "gold_first")
    assert {finding.verdict for finding in proof.findings[:-1]} == {"same"}
    assert proof.runs == len(proof.findings) == 9


CUSTOMERS = {"name": "VARCHAR", "city": "VARCHAR"}


@assay.table(write=Append())
def bronze_buyer(buyers: Frame) -> Frame:
    """Every buyer as delivered."""
    return buyers


@assay.table(write=Merge(surrogate="city_id"), key="city", keep=first_in_source())
def silver_city(bronze_buyer: Frame) -> Frame:
    """The cities, numbered."""
    return bronze_buyer.select("city", position())


@assay.table(write=Merge(surrogate="buyer_id"), key=("name", "city_id"), rows=lookup("silver_city"))
def silver_buyer(bronze_buyer: Frame, silver_city: Frame) -> Frame:
    """The buyers, numbered, each with the number of the city: a part of the key."""
    return bronze_buyer.join(silver_city.select("city", "city_id"), on="city").select("name", "city_id", position())


@assay.table(
    write=Merge(surrogate="sale_id", stamps=True),
    key="id",
    rows=lookup("silver_buyer"),
    checks=[assay.row_count(min=40, action="block")],
)
def silver_sale(bronze_sale: Frame, silver_buyer: Frame) -> Frame:
    """Every sale with the number of its buyer, -1 for one that is not known."""
    named = bronze_sale.select("id", "amount", col("buyer").alias("name"))
    found = named.join(silver_buyer.select("name", "buyer_id"), on="name", how="left")
    return found.select("id", "amount", "name", col("buyer_id").fill_null(-1))


@assay.table(key="buyer_id", rows=groups("buyer_id", count="sales", total="amount"))
def gold_buyer(silver_sale: Frame) -> Frame:
    """Sales of each buyer."""
    return silver_sale.group_by("buyer_id").agg(sales=nw.len(), amount=col("amount").sum())


def star(folder: Path) -> Pipeline:
    """Sales, and buyers whose numbers and those of their cities are keys elsewhere."""
    shop(folder, bronze_sale)
    (folder / "buyers.csv").write_text("\n".join(["name,city", *(f"b{n},c{n % 3}" for n in range(7)), ""]))
    return Pipeline(
        "star",
        tables=[bronze_sale, bronze_buyer, silver_city, silver_buyer, silver_sale, gold_buyer],
        sources={
            "sales": csv(f"{folder}/sales.csv", columns=COLUMNS),
            "buyers": csv(f"{folder}/buyers.csv", columns=CUSTOMERS),
        },
    )


@pytest.mark.faults
def test_numbers_are_compared_by_the_keys_that_they_stand_for_and_batches_may_wait_for_others(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    proof = prove(star(tmp_path), batches=3, keep=kept)
    assert proof.ok, [(f.tried, f.verdict, f.detail, f.first) for f in proof.findings if not f.ok]
    backwards = next(f for f in proof.findings if f.tried == "3 batches, last to first")
    assert backwards.runs == 3
    # The first batch has 39 of the 60 sales.
    assert backwards.detail.startswith("batch 1 waited for the next: silver_sale: check row_count")
    (lake,) = kept.glob("*-3-batches-last-to-first/lake")
    delivered, here = (
        rows(place, "select name, buyer_id from silver.buyer") for place in (kept / "as-delivered", lake)
    )
    assert delivered == [(f"b{n}", n + 1) for n in range(7)]
    assert here != delivered
    assert sorted(number for _, number in here) == list(range(1, 8))


def test_a_pipeline_that_cannot_be_run_is_told_so_and_nothing_else_is_tried(tmp_path: Path) -> None:
    @assay.table(checks=[assay.row_count(min=100, action="block")])
    def bronze_many(sales: Frame) -> Frame:
        """More sales than there are."""
        return sales

    (only,) = prove(shop(tmp_path, bronze_many)).findings
    assert (only.tried, only.verdict) == ("as delivered", "failed")
    assert only.detail.startswith("bronze_many: check row_count")


def test_scratch_warehouses_are_kept_only_in_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("x")
    with pytest.raises(UsageError, match="is not empty"):
        prove(shop(tmp_path / "shop", *TOTAL), keep=tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["precious"]


DECLARED = '''
"""The first sale of each day, of no order."""
import assay
from assay import Pipeline, csv, free, table

@table(key="day", rows=free("one a day"))
def bronze_any(sales):
    """Some sale of each day."""
    return assay.sql("select day, first(id) as id from s group by day", s=sales)

sales = csv("sales.csv", columns={"id": "BIGINT", "day": "DATE"})
shop = Pipeline("shop", tables=[bronze_any], sources={"sales": sales})
'''


def test_the_command_shows_rows_that_differ_and_ends_with_1(tmp_path: Path) -> None:
    shop(tmp_path)
    (tmp_path / "declared.py").write_text(DECLARED)
    ended = call("prove", "declared:shop", "--batches", "1", "--workers", "1", "--as-of", "2024-12-01", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (1, "")
    lines = ended.stdout.splitlines()
    assert lines[0] == "shop, as of 2024-12-01: 1 table"
    assert "rows presented in order 1                1  differ: bronze_any" in lines, ended.stdout
    (place,) = (
        n for n, line in enumerate(lines) if line.startswith("rows presented in order 1: bronze_any differs in ")
    )
    head, row = (line.split() for line in lines[place + 1 : place + 3])
    assert (head, row[:2]) == (["day", "id"], ["as", "delivered"])
    assert dt.date.fromisoformat(row[2]).day == int(row[3]) + 1, "the first sale of the day, as delivered"
    assert lines[-1].startswith("not proven: 3 of 8 went wrong (")
    assert not (tmp_path / "lake").exists()


@pytest.mark.faults
@pytest.mark.parametrize("on", ["lake", "postgresql"])
def test_a_pipeline_that_was_just_begun_is_proven(tmp_path: Path, on: str) -> None:
    assert call("new", "shop", cwd=tmp_path).returncode == 0
    ended = call("prove", "shop", "--permute-source", "--on", on, "--json", cwd=tmp_path / "shop")
    report = json.loads(ended.stdout)
    assert (ended.returncode, report["ok"], report["tables"], report["runs"]) == (0, True, 3, 23)
    assert {finding["verdict"] for finding in report["findings"]} == {"same"}


@pytest.mark.faults
def test_the_ride_bookings_are_proven(tmp_path: Path, sweep: bool) -> None:
    rows = 150_000 if sweep else 2_000
    source = REAL if REAL.exists() else generate(tmp_path, rows=rows)["bookings"]
    head = tmp_path / "head.csv"
    with gzip.open(source, "rt", newline="") as whole, head.open("w", newline="") as part:
        part.writelines(line for n, line in enumerate(whole) if n <= rows)
    proof = assay.prove(ride_bookings, sources={"bookings": head}, as_of=DAY, settings=SETTINGS, permute_source=True)
    assert proof.ok, [(f.tried, f.detail, f.first) for f in proof.findings if not f.ok]
    assert (proof.tables, proof.runs) == (21, 23)
    assert set(verdicts(proof).values()) <= {"same", "order-dependent"}
