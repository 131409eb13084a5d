"""Sample ride bookings with the shape, the rates and the traps of the real delivery."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

HEADER = (
    "Date,Time,Booking ID,Booking Status,Customer ID,Vehicle Type,Pickup Location,Drop Location,Avg VTAT,Avg CTAT,"
    "Cancelled Rides by Customer,Reason for cancelling by Customer,"
    "Cancelled Rides by Driver,Driver Cancellation Reason,Incomplete Rides,Incomplete Rides Reason,"
    "Booking Value,Ride Distance,Driver Ratings,Customer Rating,Payment Method\n"
)

STATUSES = {
    "Completed": 0.62,
    "Cancelled by Driver": 0.18,
    "No Driver Found": 0.07,
    "Cancelled by Customer": 0.07,
    "Incomplete": 0.06,
}
VEHICLES = {
    "Auto": 0.249,
    "Go Mini": 0.199,
    "Go Sedan": 0.181,
    "Bike": 0.150,
    "Premier Sedan": 0.121,
    "eBike": 0.070,
    "Uber XL": 0.030,
}
PAYMENTS = {"UPI": 0.45, "Cash": 0.25, "Uber Wallet": 0.12, "Credit Card": 0.10, "Debit Card": 0.08}
CUSTOMER_REASONS = {
    "Driver is not moving towards pickup location": 0.23,
    "Wrong Address": 0.22,
    "Change of plans": 0.22,
    "Driver asked to cancel": 0.22,
    "AC is not working": 0.11,
}
DRIVER_REASONS = {
    "Customer related issue": 0.26,
    "The customer was coughing/sick": 0.25,
    "More than permitted people in there": 0.25,
    "Personal & Car related issues": 0.24,
}
INCOMPLETE_REASONS = {"Customer Demand": 0.34, "Other Issue": 0.33, "Vehicle Breakdown": 0.33}
DRIVER_RATINGS = {f"{tenths / 10:.1f}": 1 / (1 + abs(tenths - 43)) for tenths in range(30, 51)}
CUSTOMER_RATINGS = {f"{tenths / 10:.1f}": 1 / (1 + abs(tenths - 46)) for tenths in range(30, 51)}
HOURS = dict(enumerate((1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 5, 6, 7, 8, 9, 8, 7, 6, 4, 2)))

# 16 x 11 = the 176 places of the real file.
_AREAS = (
    "Amber", "Banyan", "Cedar Hill", "Dune", "Eastgate", "Fountain", "Garnet", "Harbour",
    "Indigo", "Jasmine", "Kite", "Lotus", "Mango", "North", "Old Fort", "Pearl",
)  # fmt: skip
_PLACES = ("Bagh", "Bypass", "Chowk", "Colony", "Enclave", "Metro", "Nagar", "Park", "Road", "Sector 9", "Vihar")
LOCATIONS = tuple(f"{area} {place}" for area in _AREAS for place in _PLACES)

# The real file covers 2024 up to 30 December.
DAYS = tuple((date(2024, 1, 1) + timedelta(days=day)).isoformat() for day in range(365))

# What two copies of a booking share besides the id, and the status of both where it is fixed.
_ALL = ("customers", "vehicles", "pickups", "drops", "payments", "dates", "times")
_COPIES: tuple[tuple[tuple[str, ...], str | None], ...] = (
    ((), None),
    (("customers", "vehicles"), "Completed"),
    ((), "Cancelled by Driver"),
    ((), "Incomplete"),
    (("payments",), "Completed"),
    (_ALL, "Completed"),
    (("pickups",), "Cancelled by Customer"),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Bookings:
    """The columns that traps are planted in, one list a column, in file order."""

    dates: list[str]
    times: list[str]
    booking_ids: list[str]
    statuses: list[str]
    customers: list[str]
    vehicles: list[str]
    pickups: list[int]
    drops: list[int]
    payments: list[str]


def generate(folder: Path, *, rows: int = 150_000, seed: int = 42) -> dict[str, Path]:
    """Write `folder/bookings.csv.gz`; equal seed and rows give equal bytes. Memory grows by about 0.5 kB a row."""
    rng = Random(seed)
    bookings = _draw(rng, rows)
    _plant(rng, bookings, rows)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bookings.csv.gz"
    # A file name or a time in gzip's header would make equal content differ by bytes. Level 1: time matters, size not.
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed,
        io.BufferedWriter(packed, 1 << 20) as buffered,
        io.TextIOWrapper(buffered, encoding="utf-8", newline="") as text,
    ):
        text.write(HEADER)
        csv.writer(text, lineterminator="\n").writerows(_rows(rng, bookings))
    return {"bookings": path}


def _pick(rng: Random, weights: Mapping[T, float], count: int) -> list[T]:
    return rng.choices(list(weights), list(weights.values()), k=count)


def _ids(rng: Random, prefix: str, count: int) -> list[str]:
    """Distinct 7-digit ids (more digits beyond a million rows), in the quotes that belong to the value."""
    low = 1_000_000
    while low < count:
        low *= 10
    return [f'"{prefix}{number}"' for number in rng.sample(range(low, 10 * low), count)]


def _draw(rng: Random, rows: int) -> _Bookings:
    places = len(LOCATIONS)
    pickups = rng.choices(range(places), k=rows)
    return _Bookings(
        dates=rng.choices(DAYS, k=rows),
        times=[_time(rng, hour) for hour in _pick(rng, HOURS, rows)],
        booking_ids=_ids(rng, "CNR", rows),
        statuses=_pick(rng, STATUSES, rows),
        customers=_ids(rng, "CID", rows),
        vehicles=_pick(rng, VEHICLES, rows),
        pickups=pickups,
        drops=[(pickup + 1 + int(rng.random() * (places - 1))) % places for pickup in pickups],
        payments=_pick(rng, PAYMENTS, rows),
    )


def _time(rng: Random, hour: int) -> str:
    return f"{hour:02}:{int(rng.random() * 60):02}:{int(rng.random() * 60):02}"


def _plant(rng: Random, bookings: _Bookings, rows: int) -> None:
    """Plant the traps at the real file's rates, but always some of each; no row belongs to two of them."""
    wanted = {
        "first appearance": 1,
        "same month": max(14, rows * 113 // 150_000),
        "other month": max(7, rows * 1_108 // 150_000),
        "customer": max(6, rows * 890 // 150_000),
        "tie": 6,  # large samples have the real file's 468 by chance
    }
    free = range(4, rows)
    triples = rng.sample(free, 3 * min(sum(wanted.values()), len(free) // 3))
    groups = iter(sorted(triples[start : start + 3]) for start in range(0, len(triples), 3))
    for trap, count in wanted.items():
        for number, (first, second, third) in zip(range(count), groups, strict=False):
            match trap:
                case "first appearance":
                    _first_appearance(rng, bookings, first, second)
                case "same month":
                    _same_month(rng, bookings, first, second, newer_first=number % 2 == 0)
                    _share(bookings, first, second, *_COPIES[number % len(_COPIES)])
                    if number % 12 == 0:  # a third time, in another month
                        _other_month(rng, bookings, first, third)
                case "other month":
                    _share(bookings, first, second, *_COPIES[number % len(_COPIES)])
                    _other_month(rng, bookings, first, second)
                case "customer":
                    for later in (second, third) if number % 200 == 0 else (second,):
                        bookings.customers[later] = bookings.customers[first]
                    if number % 2:  # with another booking in the same month
                        bookings.dates[second] = bookings.dates[first]
                case _:
                    bookings.dates[second] = bookings.dates[first]
                    bookings.times[second] = bookings.times[first]


def _first_appearance(rng: Random, bookings: _Bookings, *copies: int) -> None:
    """Let the first two rows, with which names appear for the first time, come again: keep-last would renumber them."""
    bookings.vehicles[:4] = rng.sample(list(VEHICLES), 4)
    bookings.pickups[:4], bookings.drops[:4] = rng.sample(range(88), 4), rng.sample(range(88, 176), 4)
    bookings.statuses[:4] = "Completed", "Incomplete", "Cancelled by Driver", "Completed"
    bookings.payments[0], bookings.payments[1], bookings.payments[3] = rng.sample(list(PAYMENTS), 3)
    for row, copy in enumerate(copies):
        _share(bookings, row, copy, _ALL, bookings.statuses[row])
        _same_month(rng, bookings, row, copy, newer_first=row == 0)


def _share(bookings: _Bookings, first: int, second: int, shared: tuple[str, ...], status: str | None) -> None:
    for name in shared:
        column = getattr(bookings, name)
        column[second] = column[first]
    if bookings.drops[second] == bookings.pickups[second]:
        bookings.drops[second] = bookings.drops[first]
    if status is not None:
        bookings.statuses[first] = bookings.statuses[second] = status


def _same_month(rng: Random, bookings: _Bookings, first: int, second: int, *, newer_first: bool) -> None:
    month = bookings.dates[first][:7]
    early, late = f"{month}-{rng.randint(1, 14):02}", f"{month}-{rng.randint(15, 28):02}"
    bookings.dates[first], bookings.dates[second] = (late, early) if newer_first else (early, late)
    bookings.booking_ids[second] = bookings.booking_ids[first]


def _other_month(rng: Random, bookings: _Bookings, first: int, second: int) -> None:
    bookings.booking_ids[second] = bookings.booking_ids[first]
    while bookings.dates[second][:7] == bookings.dates[first][:7]:
        bookings.dates[second] = rng.choice(DAYS)


def _rows(rng: Random, bookings: _Bookings) -> Iterator[tuple[str, ...]]:
    """Yield the rows as text; what a status does not know is the word null."""
    count = len(bookings.dates)
    driver_ratings, customer_ratings = _pick(rng, DRIVER_RATINGS, count), _pick(rng, CUSTOMER_RATINGS, count)
    by_customer, by_driver = _pick(rng, CUSTOMER_REASONS, count), _pick(rng, DRIVER_REASONS, count)
    incomplete = _pick(rng, INCOMPLETE_REASONS, count)
    for row in range(count):
        status = bookings.statuses[row]
        vtat = ctat = value = distance = driver_rating = customer_rating = payment = "null"
        cancelled = by_customer_reason = rejected = by_driver_reason = broken_off = broken_off_reason = "null"
        if status != "No Driver Found":
            vtat = _tenths(rng, 4, 20) if status == "Cancelled by Customer" else _tenths(rng, 2, 15)
        if status == "Cancelled by Customer":
            cancelled, by_customer_reason = "1", by_customer[row]
        elif status == "Cancelled by Driver":
            rejected, by_driver_reason = "1", by_driver[row]
        elif status != "No Driver Found":
            ctat, payment = _tenths(rng, 10, 45), bookings.payments[row]
            value = str(min(4277, 50 - int(458 * math.log(1 - rng.random()))))
            distance = str(int(100 + rng.random() * 4901) / 100)
            if status == "Incomplete":
                broken_off, broken_off_reason = "1", incomplete[row]
            else:
                driver_rating, customer_rating = driver_ratings[row], customer_ratings[row]
        yield (
            bookings.dates[row], bookings.times[row], bookings.booking_ids[row], status, bookings.customers[row],
            bookings.vehicles[row], LOCATIONS[bookings.pickups[row]], LOCATIONS[bookings.drops[row]], vtat, ctat,
            cancelled, by_customer_reason, rejected, by_driver_reason, broken_off, broken_off_reason,
            value, distance, driver_rating, customer_rating, payment,
        )  # fmt: skip


def _tenths(rng: Random, low: int, high: int) -> str:
    return str(int(low * 10 + rng.random() * (10 * (high - low) + 1)) / 10)
