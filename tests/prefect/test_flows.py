"""A pipeline or workflow as a flow of Prefect does what `assay run` does, and Prefect shows each table of it."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from narwhals import LazyFrame
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterId
from prefect.exceptions import ParameterBindError
from prefect.task_runners import ProcessPoolTaskRunner

import assay
from assay import AssayError, Pipeline, TaskRun, Workflow, connect, part, sql, table, task
from assay.orchestrators.prefect import Trying, to_flow
from tests.conformance.processes import seen
from tests.orchestrators.orders import ROWS, orders
from tests.prefect.test_parity import run_again

pytestmark = pytest.mark.usefixtures("prefect_server")

AS_OF = dt.date(2024, 12, 1)
STEPS = (
    *("begin", "read_orders", "extract_bronze_order", "transform_silver_order", "aggregate_gold_customer"),
    *("aggregate_gold_day", "publish"),
)
HUSHED = "hush" * 2
AT_ONCE = Trying(retries=2, seconds=0)


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "orders.csv"
    file.write_text(ROWS)
    return {"warehouse": str(tmp_path / "lake"), "sources": {"orders": str(file)}, "as_of": "2024-12-01"}


def ran(flow: Any, **asked: Any) -> tuple[Any, UUID]:
    """Return the final state of a flow run, and its id."""
    state = flow(**asked, return_state=True)
    return state, state.state_details.flow_run_id


def task_runs(flow_run: UUID) -> dict[str, Any]:
    """Return the task runs of a flow run as the server knows them, by name."""
    with get_client(sync_client=True) as client:
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
        return {run.name: run for run in client.read_task_runs(flow_run_filter=only)}


def ledger(flow_run: UUID) -> Any:
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]))
        )
    return artifact


def whole(pipeline: Pipeline, asked: dict[str, Any], lake: Path) -> Any:
    """Return what a run in one process publishes."""
    assert assay.run(pipeline.reading(asked["sources"]), warehouse=lake, as_of=AS_OF).ok
    return seen(lake)


@pytest.mark.row("000-35")
@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_a_flow_publishes_what_one_process_would_on_either_task_runner(
    asked: dict[str, Any], tmp_path: Path, processes: bool
) -> None:
    runner = ProcessPoolTaskRunner(max_workers=2) if processes else None
    flow = to_flow("tests.orchestrators.orders:orders", name="orders-flow", task_runner=runner)
    state, flow_run = ran(flow, **asked)
    assert state.is_completed()
    assert flow.name == "orders-flow"
    assert seen(Path(asked["warehouse"])) == whole(orders, asked, tmp_path / "whole")
    runs = task_runs(flow_run)
    assert {name: run.state.name for name, run in runs.items()} == dict.fromkeys(STEPS, "Completed")
    assert runs["transform_silver_order"].tags == ["silver"]
    table = {row["table"]: row for row in json.loads(ledger(flow_run).data)}
    assert table["bronze_order"] | {"seconds": 0} == {
        "table": "bronze_order",
        "status": "written",
        "rows": 3,
        "read": 3,
        "filtered": 0,
        "returned": 3,
        "rejected": 0,
        "deduplicated": 0,
        "written": 3,
        "seconds": 0,
    }
    again, second = ran(flow, **asked)
    assert again.is_completed()
    assert set(task_runs(second)) == {"begin", "publish"}
    assert [past.state for past in assay.history(asked["warehouse"])] == ["published"]


def test_a_table_whose_rows_are_refused_is_not_tried_again_blocks_what_follows_and_nothing_is_published(
    asked: dict[str, Any],
) -> None:
    @table(key="id")
    def silver_order(bronze_order: LazyFrame[Any]) -> Any:
        """Fails where there is a row: then alone DuckDB calls it."""
        text = "select id, customer, day, amount from b where error('the disk says no') is null"
        return sql(text, b=bronze_order)

    nodes = [silver_order if name == "silver_order" else node for name, node in orders.nodes.items()]
    failing = Pipeline("orders", tables=nodes, sources=orders.sources)
    state, flow_run = ran(to_flow(failing, trying=AT_ONCE), **asked)
    assert state.is_failed()
    assert "silver_order failed: " in str(state.message)
    assert "the disk says no" in str(state.message)
    runs = task_runs(flow_run)
    assert (runs["transform_silver_order"].state.name, runs["transform_silver_order"].run_count) == ("Failed", 1)
    assert {runs[name].state.name for name in ("aggregate_gold_day", "aggregate_gold_customer")} == {"NotReady"}
    assert runs["extract_bronze_order"].state.name == "Completed"
    assert seen(Path(asked["warehouse"])) == {}
    (past,) = assay.history(asked["warehouse"])
    assert (past.state, len(past.problems)) == ("failed", 1)


def test_a_workflow_is_a_flow_with_flows_beneath_it_and_goes_phase_by_phase(asked: dict[str, Any]) -> None:
    @task(retries=1, retry_seconds=0)
    def count(run: TaskRun) -> dict[str, Any]:
        """Fail once."""
        tried["count"] += 1
        if tried["count"] == 1:
            raise OSError("not yet")
        return {"orders": len(connect(run.warehouse).execute("from silver.order").fetchall())}

    tried: Counter[str] = Counter()
    read = orders.reading(asked.pop("sources"))
    inner = Workflow("inner", phases={"load": [part("first", read, layers=["bronze", "silver"])], "count": [count]})
    outer = Workflow("outer", phases={"one": [inner], "two": [part("second", read, layers=["gold"])]})
    state, flow_run = ran(to_flow(outer), **asked)
    result = state.result()
    assert (result["state"], result["workflow"]) == ("done", "outer")
    with get_client(sync_client=True) as client:
        beneath = client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id={"any_": [flow_run]}))
        names = {client.read_flow(run.flow_id).name: run for run in beneath}
    assert set(names) == {"inner", "second"}
    assert names["inner"].end_time <= names["second"].start_time
    assert (task_runs(names["inner"].id)["count"].state.name, tried["count"]) == ("Completed", 2)
    history = {past.pipeline: past.state for past in assay.history(asked["warehouse"])}
    assert history == {"outer": "done", "inner": "done", "orders": "published"}
    assert result["phases"]["one"]["units"]["inner"]["status"] == "done"


def test_a_workflow_that_is_done_is_told_again_and_not_run_again(asked: dict[str, Any]) -> None:
    @task()
    def count() -> None:
        tried["count"] += 1

    tried: Counter[str] = Counter()
    flow = to_flow(Workflow("outer", phases={"one": [count], "two": [orders.reading(asked.pop("sources"))]}))
    state, flow_run = ran(flow, **asked)
    again = run_again(flow, flow_run)
    assert (again.is_completed(), again.result()["run"]) == (True, state.result()["run"])
    assert (tried["count"], len(assay.history(asked["warehouse"]))) == (1, 2)


def test_a_workflow_is_asked_what_it_can_be_asked_embedded(asked: dict[str, Any]) -> None:
    """Its parts say themselves which tables they are about."""
    read = orders.reading(asked.pop("sources"))
    with pytest.raises(ParameterBindError):
        to_flow(Workflow("outer", phases={"one": [read]}))(**asked, select=["gold_day"])
    with pytest.raises(ParameterBindError):
        to_flow(part("first", read, layers=["bronze"]))(**asked, layers=["gold"])


def test_a_workflow_whose_step_fails_fails_and_begins_nothing_after_it(asked: dict[str, Any]) -> None:
    @task()
    def broken() -> None:
        raise ValueError("no table is like this")

    read = orders.reading(asked.pop("sources"))
    state, _ = ran(to_flow(Workflow("outer", phases={"one": [broken], "two": [read]})), **asked)
    assert state.is_failed()
    assert "broken failed: ValueError: no table is like this" in str(state.message)
    assert [past.pipeline for past in assay.history(asked["warehouse"])] == ["outer"]


def test_a_task_alone_is_a_flow_too(asked: dict[str, Any]) -> None:
    @task()
    def told(run: TaskRun) -> str:
        return f"{run.as_of} in {Path(run.warehouse).name}"

    del asked["sources"]
    assert to_flow(told)(**asked) == "2024-12-01 in lake"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"as_of": "yesterday"}, "as_of"),
        ({"warehouse": f"postgresql://me:{HUSHED}@localhost/x"}, "Leave the password to the variable ASSAY_WAREHOUSE"),
        ({"select": ["gold_dy"]}, "gold_dy"),
        ({"sources": {"order": "x.csv"}}, "orders"),
        ({"sources": {"orders": f"postgresql://me:{HUSHED}@localhost/x"}}, "Leave the password to the variable"),
        ({"as_of": 86400}, "as_of"),
        ({"as_of": "86400"}, "as_of"),
    ],
)
def test_a_wrong_parameter_fails_the_flow_run_and_is_named(
    asked: dict[str, Any], wrong: dict[str, Any], said: str
) -> None:
    state, flow_run = ran(to_flow(orders), **{**asked, **wrong})
    assert state.is_failed()
    assert said in str(state.message)
    with get_client(sync_client=True) as client:
        told = f"{state} {client.read_flow_run(flow_run).state}"
    assert HUSHED not in told
    assert not Path(asked["warehouse"], "catalog.db").exists() or assay.history(asked["warehouse"]) == []


def test_a_flow_whose_run_failed_raises_as_any_call_does(asked: dict[str, Any]) -> None:
    Path(asked["sources"]["orders"]).unlink()
    with pytest.raises(AssayError, match="orders"):
        to_flow(orders, trying=AT_ONCE)(**asked)
