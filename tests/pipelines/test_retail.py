"""The retail pipeline: what is kept, mended and refused is what the log of planted faults says, row by row."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import assay
from assay.model.run import RunResult
from assay.settings import Settings
from pipelines.retail import COLUMNS, retail
from pipelines.retail.generate import SCHEMAS, generate

DAYS = 5
AS_OF = dt.date(2025, 1, 8)
SETTINGS = Settings(workers=2, retries=0)
PRODS = ("daily_sales", "monthly_sales", "daily_category_metrics", "daily_product_metrics", "customer_metrics")
STAGED = ("customers", "products", "orders", "order_items")
Fault = dict[str, str]

_REFUSED = "select node, row, reasons from meta.quarantine where stands and node like 'staging_%'"
REASONS = {
    ("customers", "no name"): "not_null(customer_name)",
    ("customers", "broken address"): "email is no address",
    ("customers", "no signup date"): "not_null(signup_date)",
    ("orders", "unknown customer"): "its customer is not in staging_customers",
    ("orders", "day ahead"): "order_date is after the day of its delivery",
    ("orders", "day long ago"): "order_date is before 2000",
    ("orders", "unknown status"): "accepted(status: completed, pending, cancelled, returned)",
    ("orders", "no status"): "not_null(status)",
    ("orders", "negative amount"): "total_amount is negative",
    ("orders", "no amount"): "not_null(total_amount)",
    ("order_items", "unknown order"): "its order is not in staging_orders",
    ("order_items", "unknown product"): "its product is not in staging_products",
    ("order_items", "no quantity"): "not_null(quantity)",
    ("order_items", "quantity of zero"): "quantity is not above zero",
    ("order_items", "negative price"): "unit_price is negative",
    ("order_items", "no price"): "not_null(unit_price)",
    ("order_items", "discount above 100"): "between(discount_percent, 0, 100)",
}
"""The faults for which a row is refused, and the reason that the quarantine gives."""


@dataclass(frozen=True)
class Place:
    """A folder of deliveries with the log of their faults, and a lake."""

    folder: Path
    lake: Path

    def run(self, as_of: dt.date = AS_OF, **how: Any) -> RunResult:
        sources = {name: self.folder / "raw_data" / name / "*" / "data.parquet" for name in COLUMNS}
        # Of few days, one whose orders are corrupt is a large part: all of its lines are refused.
        pipeline = retail.allowing(0.9)
        result = assay.run(pipeline, sources=sources, warehouse=self.lake, as_of=as_of, settings=SETTINGS, **how)
        assert result.ok, result.problems
        return result

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with assay.connect(self.lake) as lake:
            return lake.sql(text).fetchall()

    @cached_property
    def faults(self) -> list[Fault]:
        return [json.loads(line) for line in (self.folder / "truth.jsonl").read_text().splitlines()]

    def delivered(self, table: str) -> list[dict[str, Any]]:
        """Every row of the files, as another reader has them."""
        corrupt = {fault["key"] for fault in self.faults if fault["kind"] == "corrupt"}
        files = sorted((self.folder / "raw_data" / table).glob("*/data.parquet"))
        files = [file for file in files if str(file.relative_to(self.folder)) not in corrupt]
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    def tables(self) -> dict[str, Counter[tuple[Any, ...]]]:
        """What is published in staging and prod."""
        names = [f"staging.{name}" for name in STAGED] + [f"prod.{name}" for name in PRODS]
        return {name: Counter(self.query(f"from {name}")) for name in names}

    def refused(self) -> dict[tuple[str, str], Counter[str]]:
        """By table and reason, how often each key stands in the quarantine."""
        found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for node, row, reasons in self.query(_REFUSED):
            for reason in json.loads(reasons):
                found[node.removeprefix("staging_"), reason][next(iter(json.loads(row).values()))] += 1
        return found


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return published(tmp_path_factory.mktemp("ordinary"), hard=False)


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return published(tmp_path_factory.mktemp("hard"), hard=True)


def published(folder: Path, *, hard: bool) -> Place:
    generate(folder / "in", days=DAYS, hard=hard)
    place = Place(folder / "in", folder / "lake")
    assert place.run().state == "published"
    return place


def expected(place: Place) -> dict[tuple[str, str], Counter[str]]:
    """By table and reason, the keys that must be refused: by the log of faults, and by what is refused before them."""
    rows = {table: place.delivered(table) for table in COLUMNS}
    count = {table: Counter(row[next(iter(row))] for row in found) for table, found in rows.items()}
    refused: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for fault in place.faults:
        table, key = fault["table"], fault["key"]
        if (table, fault["kind"]) in REASONS and count[table][key]:
            refused[table, REASONS[table, fault["kind"]]][key] = count[table][key]
    for table, own, other, reason in (
        ("orders", "order_id", "customer_id", REASONS["orders", "unknown customer"]),
        ("order_items", "order_item_id", "order_id", REASONS["order_items", "unknown order"]),
    ):
        above = "customers" if table == "orders" else "orders"
        out = {key for (name, _), keys in refused.items() if name == above for key in keys}
        known = set(count[above]) - out
        refused[table, reason] = Counter(row[own] for row in rows[table] if row[other] not in known)
    return {reason: keys for reason, keys in refused.items() if keys}


@pytest.mark.row("003-02", "003-04")
@pytest.mark.parametrize("kind", ["ordinary", "hard"])
def test_what_is_refused_is_what_the_log_says_for_every_reason(kind: str, request: pytest.FixtureRequest) -> None:
    place: Place = request.getfixturevalue(kind)
    wanted = expected(place)
    assert place.refused() == wanted
    assert len(wanted) == (4 if kind == "ordinary" else len(set(REASONS.values())))


@pytest.mark.row("003-04")
@pytest.mark.parametrize("kind", ["ordinary", "hard"])
def test_every_other_row_is_kept_once(kind: str, request: pytest.FixtureRequest) -> None:
    place: Place = request.getfixturevalue(kind)
    refused: dict[str, set[str]] = defaultdict(set)
    for (table, _), keys in expected(place).items():
        refused[table] |= set(keys)
    for table in STAGED:
        keys = [row[next(iter(row))] for row in place.delivered(table)]
        kept = [key for (key,) in place.query(f"select #1 from staging.{table}")]
        assert sorted(kept) == sorted(set(keys) - refused[table])


@pytest.mark.row("003-03", "003-18")
def test_raw_has_every_row_as_it_was_delivered(ordinary: Place) -> None:
    for table, columns in COLUMNS.items():
        found = ordinary.query(f"select {', '.join(columns)} from raw.{table}")
        assert Counter(found) == Counter(tuple(row.values()) for row in ordinary.delivered(table))
    days = ordinary.query("select distinct _partition_date, _source_file, _ingested_at from raw.orders order by 1")
    assert [day for day, _, _ in days] == [dt.date(2025, 1, 1) + dt.timedelta(days=n) for n in range(1, DAYS)]
    assert days[0][1:] == ("2025-01-02/data.parquet", dt.datetime.fromisoformat("2025-01-08"))


def test_names_made_small_are_what_they_were_and_nulls_have_what_stands_for_them(hard: Place) -> None:
    names = dict(hard.query("select customer_id, customer_name from staging.customers"))
    names |= dict(hard.query("select product_id, product_name from staging.products"))
    small = [fault for fault in hard.faults if fault["kind"] == "small name" and fault["key"] in names]
    assert len(small) > 20
    assert {fault["key"]: names[fault["key"]] for fault in small} == {f["key"]: f["was"] for f in small}
    for kind, column, value in (("no country", "country", "Unknown"), ("no segment", "segment", "Standard")):
        keys = {f["key"] for f in hard.faults if f["kind"] == kind} & names.keys()
        found = {k for (k,) in hard.query(f"select customer_id from staging.customers where {column} = '{value}'")}
        assert keys
        assert keys <= found


def test_a_corrupt_file_is_reported_and_the_rest_goes_on(hard: Place) -> None:
    (corrupt,) = [fault for fault in hard.faults if fault["kind"] == "corrupt"]
    day = dt.date.fromisoformat(corrupt["day"])
    (found,) = hard.query("select node, source_file from meta.quarantine where node = 'orders' and stands")
    assert found == ("orders", f"{day}/data.parquet")
    days = [found for (found,) in hard.query("select distinct _partition_date from raw.orders")]
    assert day not in days
    assert len(days) == DAYS - 2


@pytest.mark.faults
@pytest.mark.row("003-03")
def test_what_comes_later_makes_the_tables_what_they_would_be_had_all_come_at_once(tmp_path: Path) -> None:
    generate(tmp_path / "in", days=4, hard=True)
    place = Place(tmp_path / "in", tmp_path / "lake")
    place.run()
    before = place.tables()
    shutil.copytree(tmp_path / "in" / "later" / "raw_data", tmp_path / "in" / "raw_data", dirs_exist_ok=True)
    # It mends addresses of the first day, and lines of orders that were refused come back with the corrupt file.
    assert place.run().state == "published"
    whole = Place(tmp_path / "in", tmp_path / "whole")
    whole.run()
    assert place.tables() == whole.tables() != before
    assert place.refused() == whole.refused()


@pytest.mark.row("003-03")
def test_a_day_more_is_the_same_as_all_days_at_once_and_a_rerun_does_nothing(ordinary: Place, tmp_path: Path) -> None:
    place = Place(tmp_path / "in", tmp_path / "lake")
    for until in (3, DAYS):
        for table in COLUMNS:
            for day in sorted((ordinary.folder / "raw_data" / table).iterdir())[:until]:
                shutil.copytree(day, tmp_path / "in" / "raw_data" / table / day.name, dirs_exist_ok=True)
        place.run()
    assert place.tables() == ordinary.tables()
    assert place.run().run is None


def test_the_sample_is_the_same_for_the_same_seed_and_another_for_another(tmp_path: Path) -> None:
    def content(name: str, **how: Any) -> dict[str, bytes]:
        generate(tmp_path / name, days=2, **how)
        found = [*sorted((tmp_path / name).rglob("*.parquet")), tmp_path / name / "truth.jsonl"]
        return {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in found}

    assert content("a", seed=1) == content("b", seed=1) != content("c", seed=2)


def deliver(folder: Path, table: str, day: str, rows: Iterable[tuple[Any, ...]]) -> None:
    path = folder / "raw_data" / table / day / "data.parquet"
    path.parent.mkdir(parents=True)
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, kind.type) for column, kind in zip(columns, SCHEMAS[table], strict=True)]
    pq.write_table(pa.table(arrays, schema=SCHEMAS[table]), path)


DAY_1, DAY_2, DAY_3 = (dt.date(2025, 1, 31), dt.date(2025, 2, 1), dt.date(2025, 2, 2))
CUSTOMERS = [
    ("C1", "ann o'brien md", " Ann@Example.com ", None, None, DAY_1),
    ("C2", "Bo  van der Berg", "bo@example.org", "Kenya", "Premium", DAY_1),
    ("C3", None, "nobody@example.org", "Kenya", "Premium", DAY_1),
    ("C4", "Dora", "dora_at_example.org", "Kenya", "Premium", DAY_1),
    ("C1", "Somebody Else", "else@example.org", "Kenya", "Premium", DAY_1),
]
PRODUCTS = [
    ("P1", "garden chair", "Home", Decimal("10.00"), Decimal("4.00")),
    ("P2", "Lamp", "Home", Decimal("3.33"), Decimal("1.00")),
    ("P3", "Ball", "Sports", Decimal("5.00"), Decimal("-1.00")),
    ("P4", "Kite", "Sports", Decimal("7.50"), Decimal("2.00")),
]
ORDERS = [
    ("O1", "C1", DAY_1, "completed", Decimal("26.66")),
    ("O2", "C2", DAY_2, "completed", Decimal("6.66")),
    ("O3", "C1", DAY_2, "completed", Decimal("7.13")),
    ("O4", "C1", DAY_2, "pending", Decimal("10.00")),
    ("O5", "C3", DAY_2, "completed", Decimal("10.00")),
    ("O6", "C2", DAY_2, "completed", Decimal("0.00")),
    ("O2", "C2", DAY_2, "completed", Decimal("6.66")),
]
LINES = [
    ("I1", "O1", "P1", 2, Decimal("10.00"), None),
    ("I2", "O1", "P2", 2, Decimal("3.33"), Decimal("0.00")),
    ("I3", "O2", "P2", 2, Decimal("3.33"), Decimal("0.00")),
    ("I4", "O3", "P4", 1, Decimal("7.50"), Decimal("5.00")),
    ("I5", "O4", "P1", 1, Decimal("10.00"), Decimal("0.00")),
    ("I6", "O5", "P1", 1, Decimal("10.00"), Decimal("0.00")),
    ("I7", "O2", "P3", 1, Decimal("5.00"), Decimal("0.00")),
    ("I3", "O2", "P2", 2, Decimal("3.33"), Decimal("0.00")),
]


@pytest.mark.row("003-05", "003-13", "003-16")
def test_every_figure_of_a_small_shop_is_what_it_comes_to_by_hand(tmp_path: Path) -> None:
    rows: Mapping[str, Any] = {"customers": CUSTOMERS, "products": PRODUCTS, "orders": ORDERS, "order_items": LINES}
    for table, found in rows.items():
        deliver(tmp_path, table, "2025-02-01", found)
    place = Place(tmp_path, tmp_path / "lake")
    sources = {name: tmp_path / "raw_data" / name / "*" / "data.parquet" for name in COLUMNS}
    # Of so few rows a third is refused.
    result = assay.run(retail.allowing(0.5), sources=sources, warehouse=place.lake, as_of=DAY_3, settings=SETTINGS)
    assert result.state == "published"
    cent = Decimal
    assert place.query("select * from staging.customers order by 1") == [
        ("C1", "Ann O'Brien MD", "ann@example.com", "Unknown", "Standard", DAY_1),
        ("C2", "Bo van der Berg", "bo@example.org", "Kenya", "Premium", DAY_1),
    ]
    assert place.query("select product_id, product_name from staging.products order by 1") == [
        ("P1", "Garden Chair"),
        ("P2", "Lamp"),
        ("P4", "Kite"),
    ]
    assert place.query("select order_item_id, line_total from staging.order_items order by 1") == [
        ("I1", cent("20.000000")),
        ("I2", cent("6.660000")),
        ("I3", cent("6.660000")),
        ("I4", cent("7.125000")),
        ("I5", cent("10.000000")),
    ]
    # O1 on the 31st; O2 and O3 on the 1st: 6.66 + 7.125 = 13.785. O6 has no lines, and so is no sale.
    assert place.query("select * from prod.daily_sales order by 1") == [
        (DAY_1, 1, 4, cent("26.66"), 1, 26.66),
        (DAY_2, 2, 3, cent("13.79"), 2, 6.9),
    ]
    assert place.query("select * from prod.monthly_sales order by 1") == [
        ("2025-01", 1, 4, cent("26.66"), 1, 26.66),
        ("2025-02", 2, 3, cent("13.79"), 2, 6.9),
    ]
    assert place.query("select * from prod.daily_category_metrics order by 1, 2") == [
        (DAY_1, "Home", 1, 4, cent("26.66"), 2),
        (DAY_2, "Home", 1, 2, cent("6.66"), 1),
        (DAY_2, "Sports", 1, 1, cent("7.13"), 1),
    ]
    assert place.query("select * from prod.daily_product_metrics order by 1, 2") == [
        (DAY_1, "P1", "Garden Chair", "Home", 1, 2, cent("20.00")),
        (DAY_1, "P2", "Lamp", "Home", 1, 2, cent("6.66")),
        (DAY_2, "P2", "Lamp", "Home", 1, 2, cent("6.66")),
        (DAY_2, "P4", "Kite", "Sports", 1, 1, cent("7.13")),
    ]
    # C1: 26.66 + 7.125 = 33.785 in two orders; the first 2 days before the run's date, the last 1.
    assert place.query("select * exclude (customer_name, country, segment) from prod.customer_metrics order by 1") == [
        ("C1", DAY_1, 2, 5, cent("33.79"), 16.9, DAY_1, DAY_2, 2, 2, 1),
        ("C2", DAY_1, 1, 2, cent("6.66"), 6.66, DAY_2, DAY_2, 2, 1, 1),
    ]


@pytest.mark.faults
@pytest.mark.row("003-01", "003-02", "003-04", "003-05")
def test_a_year_has_the_shape_and_the_dirt_of_the_system_it_replaces(tmp_path: Path) -> None:
    generate(tmp_path / "in")
    place = Place(tmp_path / "in", tmp_path / "lake")
    result = place.run(dt.date(2026, 1, 1))
    rows = {name: node.rows for name, node in result.tables.items()}
    golden = {"raw_customers": 11_116, "raw_products": 36_500, "raw_orders": 119_726, "raw_order_items": 360_327}
    golden |= {"staging_customers": 10_680, "staging_orders": 110_791, "staging_order_items": 333_217}
    golden |= {"prod_daily_product_metrics": 35_837, "prod_customer_metrics": 10_680}
    assert {name for name, count in golden.items() if abs(rows[name] / count - 1) > 0.03} == set()
    exact = {"staging_products": 100, "prod_daily_sales": 364, "prod_monthly_sales": 12}
    exact |= {"prod_daily_category_metrics": 2_548}
    assert {name: rows[name] for name in exact} == exact
    count = Counter((fault["table"], fault["kind"]) for fault in place.faults)
    dirt = {
        ("customers", "no name"): 0.02,
        ("customers", "small name"): 0.10,
        ("customers", "no country"): 0.01,
        ("customers", "broken address"): 0.02,
        ("customers", "same person twice"): 0.018,
        ("orders", "delivered twice"): 0.037,
        ("order_items", "delivered twice"): 0.038,
    }
    shares = {(table, kind): count[table, kind] / rows[f"raw_{table}"] for table, kind in dirt}
    assert {kind: share for kind, share in shares.items() if abs(share / dirt[kind] - 1) > 0.1} == {}
    assert count["products", "small name"] == 13
    assert place.refused() == expected(place)
    assert place.run(dt.date(2026, 1, 1)).run is None
