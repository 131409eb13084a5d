"""Flow runs elsewhere are started once, waited for, summed up, and one that fails is told by its name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Completed, Failed, Running, State

from assay.assembly import current_settings
from assay.model.errors import UsageError
from assay.orchestrators.prefect import (
    SubflowError,
    submit,
    trigger_multiple_subflows,
    trigger_subflow,
    wait_for_flow_runs,
)
from assay.orchestrators.prefect.deploying import deploy
from tests.prefect.conftest import Server

ORDERS = "orders/nightly"


@pytest.fixture
def client(prefect_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    """A client of the server, which has a deployment that no worker runs: the tests say how its runs go."""
    monkeypatch.chdir(tmp_path)
    Path("assay.toml").write_text(
        'work_pool = "idle"\n[deployments.nightly]\nrun = "tests.orchestrators.orders:orders"\n'
    )
    deploy(current_settings())
    with get_client(sync_client=True) as found:
        yield found


def become(client: SyncPrefectClient, state: State[Any], *runs: UUID) -> None:
    for run in runs:
        client.set_flow_run_state(run, state, force=True)


@pytest.mark.row("001-11")
def test_what_was_submitted_is_waited_for_and_summed_up(client: SyncPrefectClient) -> None:
    started = submit(ORDERS, ORDERS, parameters={"full": True})
    assert list(started.runs.values()) == [ORDERS, ORDERS]
    assert [client.read_flow_run(run).parameters for run in started.runs] == [{"full": True}] * 2
    become(client, Running(), *started.runs)
    become(client, Completed(), *started.runs)
    told = started.wait(timeout=30, poll=0.1)
    assert told["completed"] == 2
    assert set(told["flow_runs"]) == {str(run) for run in started.runs}
    for each in told["flow_runs"].values():
        assert (each["deployment"], each["state"], each["seconds"] >= 0) == (ORDERS, "Completed", True)


@pytest.mark.row("001-11")
@pytest.mark.row("001-10")
def test_a_run_that_fails_is_named_once_all_have_ended(client: SyncPrefectClient) -> None:
    good, bad = trigger_multiple_subflows([(ORDERS, {}), (ORDERS, {"select": ["gold_day"]})])
    become(client, Completed(), good)
    become(client, Failed(message="gold_day failed: no such day"), bad)
    with pytest.raises(SubflowError) as raised:
        wait_for_flow_runs([good, bad], poll=0.1)
    name = client.read_flow_run(bad).name
    assert str(raised.value) == (f"1 of 2 flow runs did not complete: {name}: Failed: gold_day failed: no such day")


def test_a_run_that_does_not_end_is_waited_for_no_longer_than_was_asked(client: SyncPrefectClient) -> None:
    done, waiting = trigger_multiple_subflows([(ORDERS, {}), (ORDERS, {})])
    become(client, Completed(), done)
    with pytest.raises(TimeoutError, match=r"1 flow runs have not ended in 0\.2 s"):
        wait_for_flow_runs([done, waiting, waiting], timeout=0.2, poll=0.05)


def test_with_a_key_a_run_is_started_once_and_run_again_where_it_failed(client: SyncPrefectClient) -> None:
    key = str(uuid4())
    run = trigger_subflow(ORDERS, key=key)
    assert trigger_subflow(ORDERS, key=key) == run
    assert client.read_flow_run(run).state.name == "Scheduled"
    become(client, Failed(), run)
    assert trigger_subflow(ORDERS, key=key) == run
    again = client.read_flow_run(run).state
    assert (again.name, again.is_scheduled()) == ("AwaitingRetry", True)
    become(client, Completed(), run)
    assert trigger_subflow(ORDERS, key=key) == run
    assert client.read_flow_run(run).state.name == "Completed"
    assert trigger_subflow(ORDERS, key=str(uuid4())) != run


def test_a_run_has_the_date_it_was_started_for_and_is_shown_beneath_the_flow_that_started_it(
    client: SyncPrefectClient,
) -> None:
    midnight = dt.datetime(2026, 11, 20, 23, 59, tzinfo=dt.UTC)
    begun: list[UUID] = []

    def starting() -> None:
        begun.append(trigger_subflow(ORDERS, scheduled_time=midnight))

    state: Any = Flow(starting, name="starting")(return_state=True)
    run = client.read_flow_run(begun[0])
    assert run.state.state_details.scheduled_time == midnight
    parent = client.read_task_run(run.parent_task_run_id)
    assert parent.flow_run_id == state.state_details.flow_run_id


def test_a_deployment_that_is_not_there_is_named(client: SyncPrefectClient) -> None:
    with pytest.raises(UsageError, match="The server has no deployment 'orders/nightli'; `assay deploy prefect` makes"):
        trigger_subflow("orders/nightli")
