"""Sample data of a shop: a Parquet file a day for each table, as dirty as wished, and a log of every fault in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.retail.dirt import CUSTOMER, LINE, ORDER, PRODUCT, SAME_PERSON, SMALL_PRODUCTS, Dirt, Row, kinds

FIRST_DAY = date(2025, 1, 1)

_MONEY, _BILL = pa.decimal128(10, 2), pa.decimal128(12, 2)
SCHEMAS = {
    CUSTOMER: pa.schema(
        {
            "customer_id": pa.string(),
            "customer_name": pa.string(),
            "email": pa.string(),
            "country": pa.string(),
            "segment": pa.string(),
            "signup_date": pa.date32(),
        }
    ),
    PRODUCT: pa.schema(
        {
            "product_id": pa.string(),
            "product_name": pa.string(),
            "category": pa.string(),
            "price": _MONEY,
            "cost": _MONEY,
        }
    ),
    ORDER: pa.schema(
        {
            "order_id": pa.string(),
            "customer_id": pa.string(),
            "order_date": pa.date32(),
            "status": pa.string(),
            "total_amount": _BILL,
        }
    ),
    LINE: pa.schema(
        {
            "order_item_id": pa.string(),
            "order_id": pa.string(),
            "product_id": pa.string(),
            "quantity": pa.int32(),
            "unit_price": _MONEY,
            "discount_percent": pa.decimal128(5, 2),
        }
    ),
}

_FIRST_NAMES = (
    "Ada", "Amara", "Björn", "Carlos", "Chloé", "Dmitri", "Emeka", "Fatima", "Grace", "Hiro", "Ingrid", "Jean-Luc",
    "José", "Kavya", "Liam", "Mary-Jane", "Nadia", "Olga", "Pablo", "Quinn", "Rosa", "Sean", "Tomás", "Zoë",
)  # fmt: skip
_LAST_NAMES = (
    "Brown", "D'Angelo", "Fernández", "Haddad", "Ito", "Jones", "Kowalski", "Lindqvist", "McDonald", "McKenzie",
    "Müller", "Nguyen", "O'Brien", "O'Connor", "Okafor", "Patel", "Smith", "Smith-Jones", "da Silva", "de la Cruz",
    "van Dijk", "van der Berg", "von Braun", "Wójcik",
)  # fmt: skip
_BEHIND = ("MD", "PhD", "DDS", "Jr.", "III")
_COUNTRIES = ("Germany", "Brazil", "Japan", "Kenya", "Canada", "India", "Norway", "Spain")
_SEGMENTS = ("Standard", "Premium", "Business")
_CATEGORIES = ("Beauty", "Books", "Clothing", "Electronics", "Home", "Sports", "Toys")
_KINDS_OF_PRODUCT = ("Basic", "Classic", "Compact", "Deluxe", "Eco", "Family", "Giant", "Home", "Junior", "Travel")
_PRODUCTS = ("Box", "Set", "Kit", "Pack", "Case", "Bundle", "Line", "Range", "Series", "Choice")
_STATUSES = {"completed": 0.70, "pending": 0.10, "cancelled": 0.10, "returned": 0.10}
_DISCOUNTS = tuple(Decimal(percent).quantize(Decimal("0.01")) for percent in (0, 0, 0, 0, 5, 10, 15, 20))
_CENT = Decimal("0.01")
_FEWEST_FOR_LATE = 3


@dataclass(slots=True)
class _Shop:
    """The shop so far: who has signed up, and how many of each there are."""

    rng: Random
    products: list[Row]
    customers: list[str] = field(default_factory=list)
    orders: int = 0
    lines: int = 0


def generate(folder: Path, *, days: int = 365, seed: int = 42, hard: bool = False) -> dict[str, Path]:
    """Write `folder/raw_data/TABLE/DAY/data.parquet` and `folder/truth.jsonl`; equal arguments give equal rows.

    From the second day on, customers of earlier days order. With `hard` there are more kinds of faults, a corrupt file
    and a late one; `folder/later` then has what is delivered afterwards: the whole file, the late one, and one mended.
    """
    rng = Random(seed)
    dirt = Dirt(Random(seed + 1), kinds(hard=hard))
    shop = _Shop(rng, _products(rng, dirt))
    late = _late_days(days) if hard else {}
    for day in (FIRST_DAY + timedelta(days=number) for number in range(days)):
        for table, rows in _day(shop, dirt, day).items():
            place = Path("raw_data", table, day.isoformat(), "data.parquet")
            _write(folder, place, table, rows, late.get((table, (day - FIRST_DAY).days), ""), dirt)
    dirt.write(folder / "truth.jsonl")
    return {table: folder / "raw_data" / table / "*" / "data.parquet" for table in SCHEMAS}


def _late_days(days: int) -> dict[tuple[str, int], str]:
    """Return which day of which table comes corrupt, late, or once more."""
    if days < _FEWEST_FOR_LATE:
        return {}
    middle = days // 2
    return {(ORDER, middle): "corrupt", (LINE, days - 1): "late", (CUSTOMER, 0): "delivered anew"}


def _write(folder: Path, place: Path, table: str, rows: list[Row], fault: str, dirt: Dirt) -> None:
    columns = [pa.array(column, kind.type) for column, kind in zip(_turned(rows, table), SCHEMAS[table], strict=True)]
    found = pa.table(columns, schema=SCHEMAS[table])
    whole = folder / ("later" if fault in ("corrupt", "late") else "") / place
    whole.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(found, whole, write_page_checksum=True)
    if fault:
        dirt.note(date.fromisoformat(place.parent.name), table, fault, str(place))
    if fault == "corrupt":
        corrupt = folder / place
        corrupt.parent.mkdir(parents=True, exist_ok=True)
        content = whole.read_bytes()
        corrupt.write_bytes(content[: len(content) * 2 // 3])
    if fault == "delivered anew":
        anew = folder / "later" / place
        anew.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table([*columns[:2], _mended(columns[2]), *columns[3:]], schema=SCHEMAS[table]), anew)


def _mended(addresses: pa.Array) -> pa.Array:
    """Return addresses with their @ back."""
    return pa.array([address and address.replace("_at_", "@") for address in addresses.to_pylist()])


def _turned(rows: list[Row], table: str) -> list[tuple[object, ...]]:
    return list(zip(*rows, strict=True)) if rows else [() for _ in SCHEMAS[table]]


def _products(rng: Random, dirt: Dirt) -> list[Row]:
    names = [f"{kind} {product}" for kind in _KINDS_OF_PRODUCT for product in _PRODUCTS]
    rows: list[Row] = []
    for number, name in enumerate(names, 1):
        price = Decimal(rng.randint(199, 49_999)) / 100
        cost = (price * rng.randint(40, 80) / 100).quantize(_CENT)
        rows.append([f"P{number:03}", name, _CATEGORIES[number % len(_CATEGORIES)], price, cost])
    kind, count = SMALL_PRODUCTS
    for row in dirt.rng.sample(rows, count):
        dirt.note(FIRST_DAY, PRODUCT, kind, row[0], was=row[1])
        row[1] = row[1].lower()
    return rows


def _day(shop: _Shop, dirt: Dirt, day: date) -> dict[str, list[Row]]:
    """Return all rows of a day; its orders are of customers who signed up before."""
    orders, lines = _orders(shop, day) if shop.customers else ([], [])
    customers = [_customer(shop, number, day) for number in range(shop.rng.randint(20, 40))]
    kind, rate = SAME_PERSON
    for row in dirt.chosen(CUSTOMER, kind, rate, customers):
        customers.append([f"C{len(shop.customers) + len(customers) + 1:06}", *row[1:]])
        dirt.note(day, CUSTOMER, kind, customers[-1][0], first=row[0])
    shop.customers += [row[0] for row in customers]
    found = {CUSTOMER: customers, ORDER: orders, LINE: lines}
    for table, rows in found.items():
        dirt.spoil(day, table, rows)
    dirt.double(day, ORDER, orders)
    dirt.double(day, LINE, lines)
    return {CUSTOMER: customers, PRODUCT: shop.products, ORDER: orders, LINE: lines}


def _customer(shop: _Shop, number: int, day: date) -> Row:
    rng = shop.rng
    first, last = rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)
    behind = f" {rng.choice(_BEHIND)}" if rng.random() < 0.05 else ""
    customer = len(shop.customers) + number + 1
    letters = "".join(sign for sign in (first + last).lower() if sign.isascii() and sign.isalpha())
    address = f"{letters}{customer}@example.com"
    return [f"C{customer:06}", f"{first} {last}{behind}", address, rng.choice(_COUNTRIES), rng.choice(_SEGMENTS), day]


def _orders(shop: _Shop, day: date) -> tuple[list[Row], list[Row]]:
    rng, orders, lines = shop.rng, [], []
    count = rng.randint(250, 383)
    statuses = rng.choices(list(_STATUSES), list(_STATUSES.values()), k=count)
    for status in statuses:
        shop.orders += 1
        order = f"O{shop.orders:07}"
        found = list(_lines(shop, order))
        total = sum((row[3] * row[4] * (100 - row[5]) / 100 for row in found), start=Decimal(0)).quantize(_CENT)
        orders.append([order, rng.choice(shop.customers), day, status, total])
        lines += found
    return orders, lines


def _lines(shop: _Shop, order: str) -> Iterator[Row]:
    for product in shop.rng.choices(shop.products, k=shop.rng.randint(1, 5)):
        shop.lines += 1
        discount = shop.rng.choice(_DISCOUNTS)
        yield [f"I{shop.lines:08}", order, product[0], shop.rng.randint(1, 5), product[3], discount]
