"""The fleet of tables in phases, every night: looked at and loaded side by side, then reported on."""

from assay.orchestrators.airflow import to_dag

dag = to_dag("main_etl", schedule="0 3 * * *")
