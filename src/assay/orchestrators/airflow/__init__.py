"""Pipelines and workflows as DAGs of Airflow: `to_dag` makes one, in a DAG file of one line."""

from assay.orchestrators.airflow.dags import to_dag

__all__ = ["to_dag"]
