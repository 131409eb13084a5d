"""A workflow as a DAG: a group a phase, in order; a run of its own in the history; what a cleared task goes on with."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.sdk import DAG

import assay
from assay import assembly
from assay.orchestrators.airflow import to_dag
from pipelines.table_fleet.generate import locked, make
from tests.airflow.running import cleared, dag_in, dag_of, run
from tests.conformance.processes import ROOT
from tests.orchestrators.flows import deliver

NIGHTLY = """
    import datetime as dt
    import json
    from pathlib import Path
    from assay import TaskRun, Workflow, connect, task
    from tests.orchestrators.flows import pipeline

    FOLDER = Path({folder!r})

    @task(retries=1, retry_seconds=0)
    def early():
        with (FOLDER / "tries").open("a") as tries:
            tries.write("x")
        if len((FOLDER / "tries").read_text()) == 1:
            raise ConnectionError("it was away")
        return {{"checked": 3}}

    @task()
    def late(run: TaskRun):
        if (FOLDER / "broken").exists():
            raise ValueError("the total is wrong")
        with connect(run.warehouse) as lake:
            total = lake.execute("select sum(amount)::bigint from gold.orders").fetchone()[0]
        return {{"total": total, "as_of": str(run.as_of), "returned": dict(run.returned)}}

    nightly = Workflow(
        "nightly",
        phases={{"before": [early, pipeline("orders", FOLDER)], "after": [late], "last": [pipeline("visits", FOLDER)]}},
    )
    dag = to_dag(nightly, warehouse=str(FOLDER / "lake"), retry_delay=dt.timedelta(0))
"""


@pytest.fixture
def nightly(dags: Path, tmp_path: Path) -> DAG:
    deliver("orders", tmp_path, 10, 20, 30)
    deliver("visits", tmp_path, 1, 2)
    return dag_of(dags, NIGHTLY.format(folder=str(tmp_path)))


def past(lake: Path) -> list[tuple[str, str]]:
    """Every run, the oldest first."""
    return [(run.pipeline, run.state) for run in reversed(assay.history(lake))]


def recorded(lake: Path, workflow: str) -> dict[str, dict[str, Any]]:
    """What the newest run of a workflow recorded of its steps."""
    found = assembly.warehouse(assembly.current_settings(), lake, create=False).newest(workflow)
    assert found is not None
    return {name: dict(body) for name, body in found.nodes.items()}


def test_phases_follow_each_other_and_the_run_is_recorded_as_that_of_one_process(nightly: DAG, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    groups = nightly.task_group.get_task_group_dict()
    assert {"nightly__before", "nightly__after", "nightly__last", "orders", "orders__gold"} <= groups.keys()
    assert nightly.get_task("late").upstream_task_ids == {"early", "orders.publish"}
    assert nightly.get_task("visits.begin").upstream_task_ids == {"late"}
    outcome = run(nightly, as_of="2026-03-01")
    assert (outcome.state, set(outcome.tasks.values())) == ("success", {"success"})
    assert (outcome.tries["early"], outcome.tries["late"]) == (2, 1)
    assert past(lake) == [("nightly", "done"), ("orders", "published"), ("visits", "published")]
    steps = recorded(lake, "nightly")
    assert {name: (step["kind"], step["status"], step["run"]) for name, step in steps.items()} == {
        "early": ("task", "done", None),
        "orders": ("pipeline", "done", 2),
        "late": ("task", "done", None),
        "visits": ("pipeline", "done", 3),
    }
    assert steps["late"]["value"] == {"total": 60, "as_of": "2026-03-01", "returned": {"early": {"checked": 3}}}
    assert (steps["early"]["attempts"], steps["early"]["retried"]) == (2, ["ConnectionError: it was away"])
    assert max(steps[name]["ended_at"] for name in ("early", "orders")) <= steps["late"]["started_at"]

    again = run(nightly)
    assert (again.state, again.tasks["visits.publish"], again.tasks["late"]) == ("success", "skipped", "success")
    assert past(lake)[3:] == [("nightly", "done")]


def test_a_task_that_fails_keeps_later_phases_from_beginning_until_it_is_cleared(nightly: DAG, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    (tmp_path / "broken").touch()
    failed = run(nightly, as_of="2026-03-01")
    assert (failed.state, failed.tasks["late"], failed.tasks["end"]) == ("failed", "failed", "failed")
    assert failed.named("upstream_failed") == {name for name in failed.tasks if name.startswith("visits.")}
    assert past(lake) == [("nightly", "failed"), ("orders", "published")]
    (workflow,) = (run for run in assay.history(lake) if run.pipeline == "nightly")
    assert workflow.problems == ("late failed: ValueError: the total is wrong",)
    (tmp_path / "broken").unlink()
    mended = cleared(nightly, failed, "late")
    assert (mended.state, mended.tries["orders.extract_bronze_orders"]) == ("success", 1)
    assert past(lake) == [("nightly", "done"), ("orders", "published"), ("visits", "published")]


def test_a_workflow_is_asked_what_it_can_be_asked_embedded(nightly: DAG, tmp_path: Path) -> None:
    for wrong in ({"select": ["bronze_orders"]}, {"month": "2026-03"}, {"sources": {"rows": "else.csv"}}):
        assert run(nightly, **wrong).tasks["begin"] == "failed"
    assert not (tmp_path / "tries").exists()


SLOW = """
    import datetime as dt
    import sys
    from threading import Event
    from assay import Workflow, task

    @task()
    def slow():
        Event().wait()

    @task()
    def leaves():
        sys.exit(0)

    flow = Workflow("w", phases={{"work": [{name}]}})
    dag = to_dag(flow, warehouse={lake!r}, retries=0, timeout=dt.timedelta(seconds=2))
"""


@pytest.mark.parametrize(("name", "why"), [("slow", "AirflowTaskTimeout"), ("leaves", "SystemExit: 0")])
def test_a_task_that_does_not_end_well_leaves_its_reason(dags: Path, tmp_path: Path, name: str, why: str) -> None:
    lake = tmp_path / "lake"
    failed = run(dag_of(dags, SLOW.format(name=name, lake=str(lake))))
    assert (failed.state, failed.tasks[name]) == ("failed", "failed")
    (past_run,) = assay.history(lake)
    assert past_run.problems[0].startswith(f"{name} failed: {why}")


@pytest.mark.parametrize("name", ["begin", "end"])
def test_a_step_may_not_be_called_as_what_begins_or_ends_a_dag(name: str) -> None:
    def function() -> None:
        """Do nothing."""

    function.__name__ = name
    with pytest.raises(assay.DeclarationError, match=f"a DAG has a task '{name}' of its own"):
        to_dag(assay.Workflow("nightly", phases={"work": [assay.task()(function)]}))


@pytest.fixture
def source(logical_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    """The fleet's database, at the address that the pipeline looks for."""
    url = logical_url.replace("+psycopg", "")
    monkeypatch.setenv("FLEET_URL", url)
    monkeypatch.setenv("ASSAY_WAREHOUSE", str(tmp_path / "lake"))
    with psycopg.connect(url, autocommit=True) as connection:
        make(connection, rows=20, seed=1, lock_timeout="50ms")
        yield connection


def test_the_fleet_fails_by_one_table_and_goes_on_with_that_alone(
    dags: Path, source: psycopg.Connection[Any], tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    dag = dag_in(dags, ROOT / "pipelines/table_fleet/dag.py")
    for task in dag.tasks:
        task.retries, task.retry_delay = min(task.retries, 1), dt.timedelta(0)
    with psycopg.connect(source.info.dsn, autocommit=True) as other, locked(other, 7):
        failed = run(dag)
    tables = {f"process_tables.extract_bronze_table_{number:02}": "success" for number in range(20)}
    tables["process_tables.extract_bronze_table_07"] = "failed"
    assert {name: state for name, state in failed.tasks.items() if "extract" in name} == tables
    assert failed.tries["process_tables.extract_bronze_table_07"] == 2
    assert {name: failed.tasks[name] for name in ("pre_etl.end", "sub_etl.end", "final_etl.end", "end")} == {
        "pre_etl.end": "success",
        "sub_etl.end": "failed",
        "final_etl.end": "upstream_failed",
        "end": "failed",
    }
    assert dict(past(lake)) == {
        "main_etl": "failed",
        "pre_etl": "done",
        "sub_etl": "failed",
        "table_fleet": "failed",
    }
    mended = cleared(dag, failed, "process_tables.extract_bronze_table_07")
    assert (mended.state, mended.tries["process_tables.extract_bronze_table_06"]) == ("success", 1)
    assert sorted(past(lake)) == [
        ("final_etl", "done"),
        ("main_etl", "done"),
        ("pre_etl", "done"),
        ("sub_etl", "done"),
        ("table_fleet", "published"),
        ("table_fleet", "published"),
    ]
    told = recorded(lake, "final_etl")["target_equals_source"]["value"]
    assert told == {"tables": 20, "rows": 400}
    assert json.dumps(told)
