"""Mirrors the source database into the target every hour, as `assay sync` does on the command line."""

import datetime as dt

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    "mirror",
    description="The tables of the source database, all of one moment, in the target.",
    schedule="@hourly",
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": dt.timedelta(minutes=5), "execution_timeout": dt.timedelta(minutes=30)},
):
    # What is left of a run that was ended needs no care: the next one reads from where the last publish was.
    BashOperator(task_id="sync", bash_command="/srv/assay/bin/assay sync env:SHOP_URL --log json", cwd="/srv/shop")
