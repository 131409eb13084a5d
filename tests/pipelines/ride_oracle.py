"""What the 21 ride tables must hold, computed in plain Python from the CSV: neither DuckDB nor assay takes part."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Rows = list[Row]

MEASURES = ("booking_value", "ride_distance", "avg_vtat", "avg_ctat", "driver_rating", "customer_rating")
RIDE = ("booking_date", "booking_time", *MEASURES)
CANCELLED = (
    "booking_date",
    "cancelled_by_customer",
    "customer_cancellation_reason",
    "cancelled_by_driver",
    "driver_cancellation_reason",
)
INCOMPLETED = ("booking_date", "incomplete_rides", "incomplete_reason")
BOOKING = (
    "booking_date",
    "booking_time",
    "customer_id",
    "vehicle_type_name",
    "pickup_location",
    "drop_location",
    "booking_status_name",
    "payment_method_name",
    *MEASURES,
)


def oracle(path: Path, as_of: date) -> dict[str, Rows]:
    """Return each table's rows as dicts, in file order (bronze, facts), by id (dimensions) or by first appearance."""
    loaded = load(path, as_of)
    bronze = _bronze(loaded)
    silver = _dimensions(bronze)
    silver |= _facts(bronze, silver)
    return bronze | silver | _gold(silver)


def load(path: Path, as_of: date) -> Rows:
    """Return the delivery row by row: names and texts cleaned, values typed, and what the run knows of each row."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader)]
        return [_typed(dict(zip(header, line, strict=True)), as_of, path.name) for line in reader]


def _clean(text: str) -> str | None:
    stripped = text.replace('"', "").strip()
    return None if stripped in {"", "null"} else stripped


def _read(text: str, kind: Callable[[str], Any]) -> Any:
    cleaned = _clean(text)
    return None if cleaned is None else kind(cleaned)


def _typed(line: dict[str, str], as_of: date, source_file: str) -> Row:
    day: date | None = _read(line["Date"], date.fromisoformat)
    return {
        "booking_date": day,
        "booking_time": _read(line["Time"], time.fromisoformat),
        "booking_id": _clean(line["Booking ID"]),
        "booking_status_name": _clean(line["Booking Status"]),
        "customer_id": _clean(line["Customer ID"]),
        "vehicle_type_name": _clean(line["Vehicle Type"]),
        "pickup_location": _clean(line["Pickup Location"]),
        "drop_location": _clean(line["Drop Location"]),
        "avg_vtat": _read(line["Avg VTAT"], float),
        "avg_ctat": _read(line["Avg CTAT"], float),
        "cancelled_by_customer": _read(line["Cancelled Rides by Customer"], _whole),
        "customer_cancellation_reason": _clean(line["Reason for cancelling by Customer"]),
        "cancelled_by_driver": _read(line["Cancelled Rides by Driver"], _whole),
        "driver_cancellation_reason": _clean(line["Driver Cancellation Reason"]),
        "incomplete_rides": _read(line["Incomplete Rides"], _whole),
        "incomplete_reason": _clean(line["Incomplete Rides Reason"]),
        "booking_value": _read(line["Booking Value"], Decimal),
        "ride_distance": _read(line["Ride Distance"], float),
        "driver_rating": _read(line["Driver Ratings"], float),
        "customer_rating": _read(line["Customer Rating"], float),
        "payment_method_name": _clean(line["Payment Method"]),
        "extraction_date": as_of,
        "extraction_month": None if day is None else f"{day:%Y-%m}",
        "source_file": source_file,
    }


def _whole(text: str) -> int:
    number = float(text)
    assert number == int(number), f"{text} is not a whole number"
    return int(number)


def _first(rows: Iterable[Row], key: Sequence[str]) -> Rows:
    """Drop rows whose first key column is null, keep the first row of each key; null equals null, as in pandas."""
    kept: dict[Hashable, Row] = {}
    for row in rows:
        if row[key[0]] is not None:
            kept.setdefault(tuple(row[name] for name in key), row)
    return list(kept.values())


def _project(rows: Iterable[Row], columns: Sequence[str]) -> Rows:
    return [{name: row[name] for name in columns} for row in rows]


def _extract(rows: Iterable[Row], key: Sequence[str], columns: Sequence[str]) -> Rows:
    kept = _first(rows, (*key, "extraction_month"))
    return _project(kept, (*columns, "extraction_date", "extraction_month", "source_file"))


def _bronze(loaded: Rows) -> dict[str, Rows]:
    locations = [
        {**row, "location_name": row[f"{kind}_location"], "location_type": kind}
        for kind in ("pickup", "drop")
        for row in loaded
    ]
    cancelled = [
        {**row, "cancelled_by_customer": by_customer or 0, "cancelled_by_driver": by_driver or 0}
        for row in loaded
        for by_customer, by_driver in [(row["cancelled_by_customer"], row["cancelled_by_driver"])]
        if by_customer is not None or by_driver is not None
    ]
    completed = [row for row in loaded if row["booking_status_name"] == "Completed"]
    incompleted = [row for row in loaded if row["incomplete_rides"] is not None]
    customer = ("customer_id", "booking_id")
    location = ("location_name", "location_type", "booking_id")
    booking = ("booking_id",)
    return {
        "bronze_customer": _extract(loaded, customer, (*customer, "booking_date")),
        **{
            f"bronze_{entity}": _extract(loaded, (f"{entity}_name", "booking_id"), (f"{entity}_name", "booking_id"))
            for entity in ("vehicle_type", "booking_status", "payment_method")
        },
        "bronze_location": _extract(locations, location, location),
        "bronze_booking": _extract(loaded, booking, ("booking_id", *BOOKING)),
        "bronze_ride": _extract(completed, booking, ("booking_id", *RIDE)),
        "bronze_cancelled_ride": _extract(cancelled, booking, ("booking_id", *CANCELLED)),
        "bronze_incompleted_ride": _extract(incompleted, booking, ("booking_id", *INCOMPLETED)),
    }


def _group(rows: Iterable[Row], key: Sequence[str]) -> dict[tuple[Any, ...], Rows]:
    """Group rows in order of first appearance; a row with a null in its key belongs to no group."""
    groups: dict[tuple[Any, ...], Rows] = defaultdict(list)
    for row in rows:
        values = tuple(row[name] for name in key)
        if None not in values:
            groups[values].append(row)
    return groups


def _present(rows: Iterable[Row], column: str) -> list[Any]:
    return [row[column] for row in rows if row[column] is not None]


def _mean(values: Sequence[Decimal]) -> float | None:
    return float(sum(values, Decimal(0)) / len(values)) if values else None


def _dimensions(bronze: dict[str, Rows]) -> dict[str, Rows]:
    silver: dict[str, Rows] = {"silver_customer": []}
    for (customer,), bookings in _group(bronze["bronze_booking"], ["customer_id"]).items():
        days = _present(bookings, "booking_date")
        silver["silver_customer"].append(
            {
                "customer_id": customer,
                "first_seen": min(days, default=None),
                "last_seen": max(days, default=None),
                "total_bookings": len(bookings),
            }
        )
    for entity in ("vehicle_type", "location", "booking_status", "payment_method"):
        names = dict.fromkeys(row[f"{entity}_name"] for row in bronze[f"bronze_{entity}"])
        silver[f"silver_{entity}"] = [
            {f"{entity}_id": number, f"{entity}_name": name} for number, name in enumerate(names, start=1)
        ]
    return silver


def _facts(bronze: dict[str, Rows], silver: dict[str, Rows]) -> dict[str, Rows]:
    ids = {
        entity: {row[f"{entity}_name"]: row[f"{entity}_id"] for row in silver[f"silver_{entity}"]}
        for entity in ("vehicle_type", "location", "booking_status", "payment_method")
    }
    bookings = [
        {
            "vehicle_type_id": ids["vehicle_type"].get(row["vehicle_type_name"]),
            "pickup_location_id": ids["location"].get(row["pickup_location"]),
            "drop_location_id": ids["location"].get(row["drop_location"]),
            "booking_status_id": ids["booking_status"].get(row["booking_status_name"]),
            "payment_method_id": ids["payment_method"].get(row["payment_method_name"]),
            **{name: row[name] for name in ("booking_id", "extraction_month", "customer_id", *RIDE)},
        }
        for row in bronze["bronze_booking"]
    ]
    return {
        "silver_booking": bookings,
        "silver_ride": _numbered(bronze["bronze_ride"], "ride_id", RIDE),
        "silver_cancelled_ride": _numbered(bronze["bronze_cancelled_ride"], "cancellation_id", CANCELLED),
        "silver_incompleted_ride": _numbered(bronze["bronze_incompleted_ride"], "incompleted_id", INCOMPLETED),
    }


def _numbered(rows: Rows, name: str, columns: Sequence[str]) -> Rows:
    kept = ("booking_id", "extraction_month", *columns)
    return [{name: number, **row} for number, row in enumerate(_project(rows, kept), start=1)]


def _gold(silver: dict[str, Rows]) -> dict[str, Rows]:
    names = {
        entity: {row[f"{entity}_id"]: row[f"{entity}_name"] for row in silver[f"silver_{entity}"]}
        for entity in ("vehicle_type", "booking_status")
    }
    named = [
        {
            "booking_date": row["booking_date"],
            "booking_value": row["booking_value"],
            "vehicle_type_name": names["vehicle_type"].get(row["vehicle_type_id"]),
            "booking_status_name": names["booking_status"].get(row["booking_status_id"]),
        }
        for row in silver["silver_booking"]
    ]
    day = ("booking_date", "vehicle_type_name", "booking_status_name")
    return {
        "gold_daily_booking_summary": [
            {**dict(zip(day, key, strict=True)), **_money(bookings, "total_revenue")}
            for key, bookings in _group(named, day).items()
        ],
        "gold_customer_analytics": _customer_analytics(silver),
        "gold_location_analytics": _location_analytics(silver),
    }


def _money(bookings: Rows, total: str) -> Row:
    values = _present(bookings, "booking_value")
    return {"total_bookings": len(bookings), total: sum(values, Decimal(0)), "avg_booking_value": _mean(values)}


def _customer_analytics(silver: dict[str, Rows]) -> Rows:
    bookings = _group(silver["silver_booking"], ["customer_id"])
    analytics = []
    for customer in silver["silver_customer"]:
        own = bookings[(customer["customer_id"],)]
        days = _present(own, "booking_date")
        analytics.append(
            {
                "customer_id": customer["customer_id"],
                **_money(own, "total_spent"),
                "first_booking_date": min(days, default=None),
                "last_booking_date": max(days, default=None),
                "customer_lifetime_days": (max(days) - min(days)).days if days else None,
            }
        )
    return analytics


def _location_analytics(silver: dict[str, Rows]) -> Rows:
    pickups = _group(silver["silver_booking"], ["pickup_location_id"])
    drops = _group(silver["silver_booking"], ["drop_location_id"])
    analytics = []
    for location in silver["silver_location"]:
        key = (location["location_id"],)
        picked, dropped = pickups.get(key, []), drops.get(key, [])
        analytics.append(
            {
                **location,
                "pickups": len(picked),
                "dropoffs": len(dropped),
                "total_activity": len(picked) + len(dropped),
                "avg_booking_value": _mean(_present(picked, "booking_value")) or 0.0,
            }
        )
    return analytics
