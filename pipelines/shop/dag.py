"""The shop and its dbt project, every night at two: extract_load >> dbt_run >> dbt_test, then all is published."""

from datetime import timedelta

from assay.orchestrators.airflow import to_dag

dag = to_dag("shop", schedule="0 2 * * *", retries=3, retry_delay=timedelta(minutes=5), timeout=timedelta(minutes=30))
