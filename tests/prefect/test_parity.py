"""What fails and passes on Prefect does so as in one process, and a flow run that is run again goes on."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.flow_engine import run_flow
from prefect.states import Scheduled

import assay
from assay.orchestrators.prefect import Trying, to_flow
from assay.settings import Settings
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.conformance.processes import seen
from tests.orchestrators.flaky import FOLDER, MENDED, OUTCOMES, PASSWORD, attempts, flaky
from tests.orchestrators.orders import ROWS

pytestmark = pytest.mark.usefixtures("prefect_server")

AS_OF = dt.date(2024, 12, 1)
QUICK = Settings(workers=2, retries=2, retry_seconds=0.01)
STATES = {"written": "Completed", "failed": "Failed", "blocked": "NotReady"}


def task_runs(flow_run: UUID) -> dict[str, Any]:
    """Return the task runs of a flow run by the table that they are about."""
    with get_client(sync_client=True) as client:
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
        found = client.read_task_runs(flow_run_filter=only)
    return {run.name.partition("_")[2]: run for run in found}


def run_again(flow: Any, flow_run: UUID) -> Any:
    """Run a flow run again, as the interface's Retry does, and return its state."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run, Scheduled(name="AwaitingRetry"), force=True)
        found = client.read_flow_run(flow_run)
    return run_flow(flow, flow_run=found, parameters=found.parameters, return_type="state")


def test_what_is_flaky_and_what_fails_ends_as_in_one_process_and_the_flow_run_goes_on_when_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, whole, file = tmp_path / "lake", tmp_path / "whole", tmp_path / "orders.csv"
    file.write_text(ROWS)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    read = flaky.reading({"orders": str(file)})
    embedded = assay.run(read, warehouse=whole, as_of=AS_OF, settings=QUICK)
    assert {name: node.status for name, node in embedded.tables.items()} == OUTCOMES
    for name in ("silver_flaky", "silver_broken"):
        (tmp_path / name).unlink()
    flow = to_flow(flaky, trying=Trying(retries=2, seconds=0))
    state = flow(warehouse=str(lake), sources={"orders": str(file)}, as_of="2024-12-01", return_state=True)
    assert state.is_failed()
    flow_run = state.state_details.flow_run_id
    tasks = task_runs(flow_run)
    assert {name: tasks[name].state.name for name in OUTCOMES} == {n: STATES[ended] for n, ended in OUTCOMES.items()}
    assert {name: tasks[name].run_count for name in ("silver_flaky", "silver_broken")} == {
        "silver_flaky": 3,
        "silver_broken": 3,
    }
    (past,) = assay.history(lake)
    (problem,) = embedded.problems
    assert (past.state, past.problems) == ("failed", (problem.replace(" after 3 attempts", ""),))
    assert seen(lake) == seen(whole) == {}
    with get_client(sync_client=True) as client:
        kept = f"{client.read_flow_run(flow_run)} {[run.state for run in tasks.values()]} {client.read_logs(limit=200)}"
    assert PASSWORD not in kept

    (tmp_path / MENDED).touch()
    assert run_again(flow, flow_run).is_completed()
    (past,) = assay.history(lake)
    assert (past.id, past.state, attempts("silver_flaky")) == (1, "published", 3), "what stood was not computed again"
    assert assay.resume(read, warehouse=whole, settings=QUICK).ok
    assert seen(lake) == seen(whole)
    assert run_again(flow, flow_run).is_completed()
    assert len(assay.history(lake)) == 1, "what was published is not published again"


def test_the_rides_are_equal_on_prefect_and_in_one_process(tmp_path: Path) -> None:
    file = str(generate(tmp_path / "sample", rows=500)["bookings"])
    flow = to_flow(ride_bookings)
    state = flow(warehouse=str(tmp_path / "lake"), sources={"bookings": file}, as_of="2024-12-01", return_state=True)
    assert state.is_completed()
    tasks = task_runs(state.state_details.flow_run_id)
    assert len([name for name in tasks if name.startswith(("bronze_", "silver_", "gold_"))]) == 21
    read = ride_bookings.reading({"bookings": file})
    assert assay.run(read, warehouse=tmp_path / "whole", as_of=AS_OF, settings=QUICK).ok
    assert seen(tmp_path / "lake") == seen(tmp_path / "whole")


def test_a_flow_run_that_never_completes_is_not_begun_for_ever(tmp_path: Path) -> None:
    flow = to_flow(flaky)
    state = flow(warehouse=str(tmp_path / "lake"), sources={"orders": "gone.csv"}, return_state=True)
    flow_run = state.state_details.flow_run_id
    told = [str(run_again(flow, flow_run).message) for _ in range(5)]
    assert [("gone.csv" in text, "start another" in text) for text in told] == [(True, False)] * 4 + [(False, True)]
