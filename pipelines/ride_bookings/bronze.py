"""Bronze: nine extracts of the bookings file, each row once for its key and month, as delivered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from narwhals import Expr, LazyFrame, col, lit

from assay import (
    Append,
    Table,
    accepted,
    clean_text,
    drop_where,
    extracted_on,
    first_in_source,
    month_of,
    not_null,
    position,
    row_count,
    source_file,
    stack,
    table,
    times,
    view,
)

Frame = LazyFrame[Any]

MONTH = "extraction_month"
DELIVERY = ("extraction_date", MONTH, "source_file")
STATUSES = ("Completed", "Cancelled by Driver", "Cancelled by Customer", "No Driver Found", "Incomplete")

TEXT = {
    "booking_id": "Booking ID",
    "booking_status_name": "Booking Status",
    "customer_id": "Customer ID",
    "vehicle_type_name": "Vehicle Type",
    "pickup_location": "Pickup Location",
    "drop_location": "Drop Location",
    "customer_cancellation_reason": "Reason for cancelling by Customer",
    "driver_cancellation_reason": "Driver Cancellation Reason",
    "incomplete_reason": "Incomplete Rides Reason",
    "payment_method_name": "Payment Method",
}
PLAIN = {
    "booking_date": "Date",
    "booking_time": "Time",
    "avg_vtat": "Avg VTAT",
    "avg_ctat": "Avg CTAT",
    "cancelled_by_customer": "Cancelled Rides by Customer",
    "cancelled_by_driver": "Cancelled Rides by Driver",
    "incomplete_rides": "Incomplete Rides",
    "booking_value": "Booking Value",
    "ride_distance": "Ride Distance",
    "driver_rating": "Driver Ratings",
    "customer_rating": "Customer Rating",
}
MEASURES = ("booking_value", "ride_distance", "avg_vtat", "avg_ctat", "driver_rating", "customer_rating")


@view()
def load_and_prepare(bookings: Frame) -> Frame:
    """Every booking with plain column names, text without quotes and blanks, and the month of its date."""
    return bookings.select(
        *(clean_text(column, strip='"').alias(name) for name, column in TEXT.items()),
        *(col(column).alias(name) for name, column in PLAIN.items()),
        extracted_on().alias("extraction_date"),
        month_of("Date").alias(MONTH),
        source_file().alias("source_file"),
        position(),
    )


def extract(*key: str, rows: Any = None, checks: Sequence[Any] = ()) -> Callable[[Callable[..., Frame]], Table]:
    """Declare a bronze table: appended by delivery, one row for each key and month, the first in the file stays."""
    return table(
        write=Append(),
        key=(*key, MONTH),
        keep=first_in_source(),
        checks=[not_null(key[0]), not_null(*key[1:], MONTH, action="warn"), row_count(min=1), *checks],
        rows=rows,
        partition_by=MONTH,
    )


def with_value(frame: Frame, name: str) -> Frame:
    """Return the rows in which the column has a value; the others are counted as filtered."""
    return drop_where(frame, f"no {name}", col(name).is_null())


@extract("customer_id", "booking_id")
def bronze_customer(load_and_prepare: Frame) -> Frame:
    """Who booked what."""
    frame = with_value(load_and_prepare, "customer_id")
    return frame.select("customer_id", "booking_id", "booking_date", *DELIVERY, position())


@extract("vehicle_type_name", "booking_id")
def bronze_vehicle_type(load_and_prepare: Frame) -> Frame:
    """Which vehicle type each booking asked for."""
    frame = with_value(load_and_prepare, "vehicle_type_name")
    return frame.select("vehicle_type_name", "booking_id", *DELIVERY, position())


@extract("location_name", "location_type", "booking_id", rows=times(2))
def bronze_location(load_and_prepare: Frame) -> Frame:
    """Where each booking begins and ends: all pickups of a delivery, then all drops."""
    ends = [
        load_and_prepare.select(
            col(f"{kind}_location").alias("location_name"),
            lit(kind).alias("location_type"),
            "booking_id",
            *DELIVERY,
            position(),
        )
        for kind in ("pickup", "drop")
    ]
    return with_value(stack(*ends), "location_name")


@extract("booking_status_name", "booking_id", checks=[accepted("booking_status_name", STATUSES)])
def bronze_booking_status(load_and_prepare: Frame) -> Frame:
    """How each booking ended."""
    frame = with_value(load_and_prepare, "booking_status_name")
    return frame.select("booking_status_name", "booking_id", *DELIVERY, position())


@extract("payment_method_name", "booking_id")
def bronze_payment_method(load_and_prepare: Frame) -> Frame:
    """How each booking was paid."""
    frame = with_value(load_and_prepare, "payment_method_name")
    return frame.select("payment_method_name", "booking_id", *DELIVERY, position())


@extract("booking_id")
def bronze_booking(load_and_prepare: Frame) -> Frame:
    """Every booking with its names and measures."""
    frame = with_value(load_and_prepare, "booking_id")
    return frame.select(
        "booking_id",
        "booking_date",
        "booking_time",
        "customer_id",
        "vehicle_type_name",
        "pickup_location",
        "drop_location",
        "booking_status_name",
        "payment_method_name",
        *MEASURES,
        *DELIVERY,
        position(),
    )


@extract("booking_id")
def bronze_ride(load_and_prepare: Frame) -> Frame:
    """Rides that were completed."""
    frame = keep_only(load_and_prepare, "not completed", col("booking_status_name") == "Completed")
    frame = with_value(frame, "booking_id")
    return frame.select("booking_id", "booking_date", "booking_time", *MEASURES, *DELIVERY, position())


@extract("booking_id")
def bronze_cancelled_ride(load_and_prepare: Frame) -> Frame:
    """Bookings cancelled by customer or driver, and why."""
    by_someone = ~col("cancelled_by_customer").is_null() | ~col("cancelled_by_driver").is_null()
    frame = with_value(keep_only(load_and_prepare, "not cancelled", by_someone), "booking_id")
    return frame.select(
        "booking_id",
        "booking_date",
        col("cancelled_by_customer").fill_null(0),
        "customer_cancellation_reason",
        col("cancelled_by_driver").fill_null(0),
        "driver_cancellation_reason",
        *DELIVERY,
        position(),
    )


@extract("booking_id")
def bronze_incompleted_ride(load_and_prepare: Frame) -> Frame:
    """Rides that began and were not completed, and why."""
    frame = keep_only(load_and_prepare, "not incomplete", ~col("incomplete_rides").is_null())
    frame = with_value(frame, "booking_id")
    return frame.select("booking_id", "booking_date", "incomplete_rides", "incomplete_reason", *DELIVERY, position())


def keep_only(frame: Frame, otherwise: str, wanted: Expr) -> Frame:
    """Return the rows for which the expression is true; those where it is false or null are counted as filtered."""
    return drop_where(frame, otherwise, ~wanted.fill_null(value=False))
