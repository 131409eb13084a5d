"""Silver: five dimensions with numbered keys, and four facts that refer to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import narwhals as nw
from narwhals import LazyFrame, col

from assay import Merge, Table, drop_where, first_in_source, groups, lookup, not_null, position, references, table
from pipelines.ride_bookings.bronze import MEASURES, MONTH

Frame = LazyFrame[Any]
BOOKING = ("booking_id", MONTH)


def dimension(entity: str) -> Callable[[Callable[..., Frame]], Table]:
    """Declare a dimension: one row for each name, numbered by first appearance in the file."""
    name = f"{entity}_name"
    return table(
        write=Merge(surrogate=f"{entity}_id", stamps=True),
        key=name,
        keep=first_in_source(),
        checks=[not_null(name)],
    )


@table(
    write=Merge(stamps=True),
    key="customer_id",
    checks=[not_null("customer_id")],
    rows=groups("customer_id", count="total_bookings"),
)
def silver_customer(bronze_booking: Frame) -> Frame:
    """Each customer, when first and last seen, and how many bookings."""
    known = drop_where(bronze_booking, "no customer_id", col("customer_id").is_null())
    return known.group_by("customer_id").agg(
        first_seen=col("booking_date").min(),
        last_seen=col("booking_date").max(),
        total_bookings=nw.len(),
    )


@dimension("vehicle_type")
def silver_vehicle_type(bronze_vehicle_type: Frame) -> Frame:
    """The vehicle types."""
    return bronze_vehicle_type.select("vehicle_type_name", position())


@dimension("location")
def silver_location(bronze_location: Frame) -> Frame:
    """The places where bookings begin or end."""
    return bronze_location.select("location_name", position())


@dimension("booking_status")
def silver_booking_status(bronze_booking_status: Frame) -> Frame:
    """The ways a booking ends."""
    return bronze_booking_status.select("booking_status_name", position())


@dimension("payment_method")
def silver_payment_method(bronze_payment_method: Frame) -> Frame:
    """The ways to pay."""
    return bronze_payment_method.select("payment_method_name", position())


@table(
    write=Merge(stamps=True),
    key=BOOKING,
    rows=lookup("silver_vehicle_type", "silver_location", "silver_booking_status", "silver_payment_method"),
    checks=[
        not_null(*BOOKING, action="reject"),
        references("customer_id", "silver_customer.customer_id"),
        references("vehicle_type_id", "silver_vehicle_type.vehicle_type_id"),
        references("pickup_location_id", "silver_location.location_id"),
        references("drop_location_id", "silver_location.location_id"),
        references("booking_status_id", "silver_booking_status.booking_status_id"),
        references("payment_method_id", "silver_payment_method.payment_method_id"),
    ],
)
def silver_booking(
    bronze_booking: Frame,
    silver_vehicle_type: Frame,
    silver_location: Frame,
    silver_booking_status: Frame,
    silver_payment_method: Frame,
) -> Frame:
    """Every booking, its names replaced by the keys of the dimensions; an unknown name gives null."""
    frame = bronze_booking
    for dimension_table, entity, column in (
        (silver_vehicle_type, "vehicle_type", "vehicle_type"),
        (silver_location, "location", "pickup_location"),
        (silver_location, "location", "drop_location"),
        (silver_booking_status, "booking_status", "booking_status"),
        (silver_payment_method, "payment_method", "payment_method"),
    ):
        name = column if column.endswith("_location") else f"{column}_name"
        known = dimension_table.select(col(f"{entity}_name").alias(name), col(f"{entity}_id").alias(f"{column}_id"))
        frame = frame.join(known, on=name, how="left")
    return frame.select(
        *BOOKING,
        "booking_date",
        "booking_time",
        "customer_id",
        "vehicle_type_id",
        "pickup_location_id",
        "drop_location_id",
        "booking_status_id",
        "payment_method_id",
        *MEASURES,
    )


def numbered_fact(surrogate: str) -> Callable[[Callable[..., Frame]], Table]:
    """Declare a fact whose rows are numbered in the order of the file."""
    return table(
        write=Merge(surrogate=surrogate, stamps=True), key=BOOKING, checks=[not_null(*BOOKING, action="reject")]
    )


@numbered_fact("ride_id")
def silver_ride(bronze_ride: Frame) -> Frame:
    """Completed rides."""
    return bronze_ride.select(*BOOKING, "booking_date", "booking_time", *MEASURES, position())


@numbered_fact("cancellation_id")
def silver_cancelled_ride(bronze_cancelled_ride: Frame) -> Frame:
    """Cancelled bookings and the reasons given."""
    return bronze_cancelled_ride.select(
        *BOOKING,
        "booking_date",
        "cancelled_by_customer",
        "customer_cancellation_reason",
        "cancelled_by_driver",
        "driver_cancellation_reason",
        position(),
    )


@numbered_fact("incompleted_id")
def silver_incompleted_ride(bronze_incompleted_ride: Frame) -> Frame:
    """Rides that were not completed and the reasons given."""
    return bronze_incompleted_ride.select(*BOOKING, "booking_date", "incomplete_rides", "incomplete_reason", position())
