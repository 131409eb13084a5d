"""Ride bookings: one CSV of a year's bookings to nine bronze, nine silver and three gold tables."""

from assay import Pipeline, csv
from pipelines.ride_bookings import bronze, gold, silver
from pipelines.ride_bookings.generate import generate

ride_bookings = Pipeline(
    "ride_bookings",
    tables=[bronze, silver, gold],
    sources={
        "bookings": csv(
            "data/bookings.csv.gz",
            nulls=("", "null"),
            columns={
                "Date": "DATE",
                "Time": "TIME",
                "Booking ID": "VARCHAR",
                "Booking Status": "VARCHAR",
                "Customer ID": "VARCHAR",
                "Vehicle Type": "VARCHAR",
                "Pickup Location": "VARCHAR",
                "Drop Location": "VARCHAR",
                "Avg VTAT": "DOUBLE",
                "Avg CTAT": "DOUBLE",
                "Cancelled Rides by Customer": "BIGINT",
                "Reason for cancelling by Customer": "VARCHAR",
                "Cancelled Rides by Driver": "BIGINT",
                "Driver Cancellation Reason": "VARCHAR",
                "Incomplete Rides": "BIGINT",
                "Incomplete Rides Reason": "VARCHAR",
                "Booking Value": "DECIMAL(12,2)",
                "Ride Distance": "DOUBLE",
                "Driver Ratings": "DOUBLE",
                "Customer Rating": "DOUBLE",
                "Payment Method": "VARCHAR",
            },
        )
    },
    sample=generate,
)
