"""Ride bookings: one CSV of a year's bookings to nine bronze, nine silver and three gold tables."""

from assay import Pipeline, csv
from pipelines.ride_bookings import bronze, gold, silver
from pipelines.ride_bookings.generate import generate

ride_bookings = Pipeline(
    "ride_bookings",
    tables=[
        bronze.load_and_prepare,
        bronze.bronze_customer,
        bronze.bronze_vehicle_type,
        bronze.bronze_location,
        bronze.bronze_booking_status,
        bronze.bronze_payment_method,
        bronze.bronze_booking,
        bronze.bronze_ride,
        bronze.bronze_cancelled_ride,
        bronze.bronze_incompleted_ride,
        silver.silver_customer,
        silver.silver_vehicle_type,
        silver.silver_location,
        silver.silver_booking_status,
        silver.silver_payment_method,
        silver.silver_booking,
        silver.silver_ride,
        silver.silver_cancelled_ride,
        silver.silver_incompleted_ride,
        gold.gold_daily_booking_summary,
        gold.gold_customer_analytics,
        gold.gold_location_analytics,
    ],
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
