"""Gold: bookings by day, by customer and by place."""

from __future__ import annotations

from typing import Any

import narwhals as nw
from narwhals import LazyFrame, col

from assay import Overwrite, days_between, drop_where, groups, lookup, reconciles, table

Frame = LazyFrame[Any]
DAY = ("booking_date", "vehicle_type_name", "booking_status_name")


@table(
    write=Overwrite(stamps=True),
    key=DAY,
    rows=groups(
        *DAY,
        count="total_bookings",
        total={"total_revenue": "booking_value"},
        lookup=("silver_vehicle_type", "silver_booking_status"),
    ),
)
def gold_daily_booking_summary(
    silver_booking: Frame, silver_vehicle_type: Frame, silver_booking_status: Frame
) -> Frame:
    """Bookings and revenue for each day, vehicle type and status; bookings without one of them are left out."""
    named = silver_booking.join(
        silver_vehicle_type.select("vehicle_type_id", "vehicle_type_name"), on="vehicle_type_id", how="left"
    ).join(silver_booking_status.select("booking_status_id", "booking_status_name"), on="booking_status_id", how="left")
    for name in DAY:
        named = drop_where(named, f"no {name}", col(name).is_null())
    return named.group_by(*DAY).agg(
        total_bookings=nw.len(),
        total_revenue=col("booking_value").sum(),
        avg_booking_value=col("booking_value").mean(),
    )


@table(
    write=Overwrite(stamps=True),
    key="customer_id",
    rows=lookup("silver_booking"),
    checks=[reconciles("total_bookings", "silver_booking.customer_id", count=True)],
)
def gold_customer_analytics(silver_customer: Frame, silver_booking: Frame) -> Frame:
    """What each customer booked and spent, and the days between first and last booking."""
    spent = silver_booking.group_by("customer_id").agg(
        total_bookings=nw.len(),
        total_spent=col("booking_value").sum(),
        avg_booking_value=col("booking_value").mean(),
        first_booking_date=col("booking_date").min(),
        last_booking_date=col("booking_date").max(),
    )
    lifetime = days_between("first_booking_date", "last_booking_date").alias("customer_lifetime_days")
    return silver_customer.select("customer_id").join(spent, on="customer_id", how="left").with_columns(lifetime)


@table(
    write=Overwrite(stamps=True),
    key="location_id",
    rows=lookup("silver_booking"),
    checks=[
        reconciles("pickups", "silver_booking.pickup_location_id", count=True),
        reconciles("dropoffs", "silver_booking.drop_location_id", count=True),
    ],
)
def gold_location_analytics(silver_location: Frame, silver_booking: Frame) -> Frame:
    """How many bookings begin and end at each place; the average value is that of bookings which begin there."""
    begins = silver_booking.group_by("pickup_location_id").agg(
        pickups=nw.len(), avg_booking_value=col("booking_value").mean()
    )
    ends = silver_booking.group_by("drop_location_id").agg(dropoffs=nw.len())
    counted = (
        silver_location.select("location_id", "location_name")
        .join(begins, left_on="location_id", right_on="pickup_location_id", how="left")
        .join(ends, left_on="location_id", right_on="drop_location_id", how="left")
    )
    return counted.select(
        "location_id",
        "location_name",
        col("pickups").fill_null(0),
        col("dropoffs").fill_null(0),
        (col("pickups").fill_null(0) + col("dropoffs").fill_null(0)).alias("total_activity"),
        col("avg_booking_value").fill_null(0.0),
    )
