"""The ride bookings, every night."""

from assay.orchestrators.airflow import to_dag

dag = to_dag("ride_bookings", schedule="0 2 * * *")
