"""The shop's DAG file: extract_load >> dbt_run >> dbt_test, and nothing is swapped where a test or model fails."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from airflow.sdk import DAG

import assay
from pipelines.shop import generate, shop
from tests.airflow.running import Outcome, cleared, dag_in, run
from tests.conformance.processes import ROOT

FILE = ROOT / "pipelines/shop/dag.py"
ITEMS = "insert into order_items (id, order_id, product_id, quantity, unit_price) values"
STAGES = ("dbt_run", "dbt_test", "publish")


@dataclass(frozen=True)
class Night:
    """The shop's DAG, its source and the warehouse that it publishes in."""

    dag: DAG
    source: str
    warehouse: str

    def change(self, statement: str) -> None:
        with psycopg.connect(self.source, autocommit=True) as connection:
            connection.execute(statement.encode())

    def sales(self) -> int:
        with psycopg.connect(self.warehouse) as connection:
            ((count,),) = connection.execute("select count(*) from marts.fct_sales").fetchall()
        return int(count)


@pytest.fixture
def night(dags: Path, postgres_url: str, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    source, warehouse = (url.replace("+psycopg", "") for url in (postgres_url, empty_url))
    with psycopg.connect(source, autocommit=True) as connection:
        generate.create(connection)
        generate.fill(connection)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SHOP_URL", source)
    monkeypatch.setenv("ASSAY_WAREHOUSE", warehouse)
    assay.migrate(shop, warehouse=warehouse)
    return Night(dag_in(dags, FILE), source, warehouse)


def ended(outcome: Outcome, *tasks: str) -> list[str]:
    return [outcome.tasks[task] for task in tasks]


@pytest.mark.row("002-13")
def test_the_stages_are_seen_in_their_order_with_schedule_retries_and_timeout(dags: Path) -> None:
    dag = dag_in(dags, FILE)
    assert dag.schedule == "0 2 * * *"
    assert {(task.retries, task.retry_delay, task.execution_timeout) for task in dag.tasks} == {
        (3, dt.timedelta(minutes=5), dt.timedelta(minutes=30))
    }
    loads = set(dag.task_group.get_task_group_dict()["extract_load"].iter_tasks())
    assert {task.task_id for task in loads} == {"extract_raw_customers"}
    assert {follows for task in loads for follows in task.downstream_task_ids} == {"dbt_run", "publish"}
    assert dag.get_task("dbt_test").upstream_task_ids == {"dbt_run"}
    assert "dbt_test" in dag.get_task("publish").upstream_task_ids


@pytest.mark.row("002-13")
def test_a_failing_test_or_model_stops_the_swap_and_what_is_mended_goes_on(night: Night) -> None:
    first = run(night.dag)
    assert (first.state, night.sales()) == ("success", 15)
    assert first.named("skipped") == {"staging_published", "intermediate_published"}

    night.change("alter table order_items drop constraint order_items_quantity_check")
    night.change(f"{ITEMS} (98, 1, 1, -1, 5)")
    failed = run(night.dag)
    assert ended(failed, "extract_raw_customers", *STAGES) == ["success", "success", "failed", "failed"]
    assert (failed.state, failed.tries["dbt_test"], night.sales()) == ("failed", 1, 15)
    night.change("update order_items set quantity = 4 where id = 98")
    # What was read before is kept, and dbt finds in it what it found.
    again = cleared(night.dag, failed, "dbt_run")
    assert (ended(again, *STAGES), night.sales()) == (["success", "failed", "failed"], 15)
    assert (run(night.dag).state, night.sales()) == ("success", 16)

    night.change(f"{ITEMS} (99, 1, 1, 90, 9999999999.99), (100, 1, 1, 90, 9999999999.99)")
    failed = run(night.dag)
    assert ended(failed, *STAGES) == ["failed", "upstream_failed", "failed"]
    assert (failed.state, failed.tasks["marts_published"], night.sales()) == ("failed", "skipped", 16)
    states = [past.state for past in assay.history(night.warehouse)]
    assert states == ["failed", "published", "failed", "published"]
