"""Under a real scheduler, each task in a process of its own: asked over HTTP, as Airflow's page does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import assay
from tests.airflow.mailbox import Mailbox, opened
from tests.airflow.server import Server, running, until
from tests.airflow.slow import FOLDER as SLOW
from tests.airflow.slow import GO, WAITS
from tests.conformance.processes import seen
from tests.orchestrators.flaky import FOLDER as FLAKY
from tests.orchestrators.flaky import MENDED, OUTCOMES, attempts
from tests.orchestrators.orders import ROWS

DAGS = """
import datetime as dt
from pathlib import Path
from airflow.sdk import DAG, Asset, task
from assay.orchestrators.airflow import to_dag
from tests.airflow.slow import slow
from tests.orchestrators.flaky import flaky

FOLDER = Path({folder!r})
GIVEN = {{
    "sources": {{"orders": str(FOLDER / "orders.csv")}},
    "retry_delay": dt.timedelta(0),
    "alert_to": "ops@example.org",
}}

flaky_dag = to_dag(flaky, warehouse=FOLDER / "flaky", **GIVEN)
slow_dag = to_dag(slow, warehouse=FOLDER / "slow", **GIVEN)
killed_dag = to_dag(slow, dag_id="killed", warehouse=FOLDER / "killed", **GIVEN)
late_dag = to_dag(
    slow,
    dag_id="late",
    warehouse=FOLDER / "late",
    deadline=dt.timedelta(seconds=1),
    dagrun_timeout=dt.timedelta(seconds=10),
    **GIVEN,
)
with DAG("follower", schedule=[Asset(name="flaky.gold", uri="assay://flaky/gold")]) as follower:
    @task
    def follow(triggering_asset_events):
        (event,) = [event for events in triggering_asset_events.values() for event in events]
        return dict(event.extra)
    follow()
"""


@dataclass(frozen=True)
class Night:
    """An Airflow that runs, with its DAGs, and where they publish."""

    server: Server
    folder: Path
    mailbox: Mailbox


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    (folder / "orders.csv").write_text(ROWS)
    for name in ("home", "dags"):
        (folder / name).mkdir()
    (folder / "dags/night.py").write_text(DAGS.format(folder=str(folder)))
    with ExitStack() as stack:
        mailbox = stack.enter_context(opened())
        options = "from_email=airflow%40example.org&disable_ssl=true&disable_tls=true"
        variables = {
            FLAKY: str(folder),
            SLOW: str(folder),
            "AIRFLOW_CONN_SMTP_DEFAULT": f"smtp://127.0.0.1:{mailbox.port}/?{options}",
        }
        server = stack.enter_context(running(folder / "home", folder / "dags", **variables))
        yield Night(server, folder, mailbox)


def test_what_failed_is_cleared_and_goes_on_and_who_waits_for_a_layer_is_told(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, lake = night.server, night.folder / "flaky"
    monkeypatch.setenv(FLAKY, str(night.folder))
    server.ask("PATCH", "dags/follower", is_paused=False)
    run = server.trigger("flaky", as_of="2024-12-01")
    assert server.ended("flaky", run) == "failed"
    states = {"written": "success", "failed": "failed", "blocked": "upstream_failed"}
    ended = {name.split("_", 1)[1]: task["state"] for name, task in server.tasks("flaky", run).items() if "_" in name}
    assert {name: ended[name] for name in OUTCOMES} == {name: states[each] for name, each in OUTCOMES.items()}
    assert (attempts("silver_flaky"), attempts("silver_broken")) == (3, 3)
    assert seen(lake) == {}
    until(lambda: len(night.mailbox.letters) == 2)
    assert sorted(subject for subject, _ in night.mailbox.said()) == [
        "flaky: publish failed",
        "flaky: transform_silver_broken failed",
    ]

    (night.folder / MENDED).touch()
    cleared = {"task_ids": ["transform_silver_broken"], "include_downstream": True, "dry_run": False}
    server.ask("POST", "dags/flaky/clearTaskInstances", dag_run_id=run, only_failed=False, **cleared)
    assert server.ended("flaky", run) == "success"
    tasks = server.tasks("flaky", run)
    assert {task["state"] for task in tasks.values()} == {"success"}
    assert (attempts("silver_flaky"), tasks["transform_silver_other"]["try_number"]) == (3, 1)
    (past,) = assay.history(lake)
    assert (past.state, past.as_of) == ("published", "2024-12-01")
    published = seen(lake)
    assert published.keys() == OUTCOMES.keys()

    server.ask("POST", "dags/flaky/clearTaskInstances", dag_run_id=run, only_failed=False, dry_run=False)
    assert server.ended("flaky", run) == "success"
    assert (len(assay.history(lake)), seen(lake)) == (1, published)

    until(lambda: bool(server.ask("GET", "dags/follower/dagRuns")["dag_runs"]))
    first = server.ask("GET", "dags/follower/dagRuns?order_by=run_after")["dag_runs"][0]["dag_run_id"]
    assert server.ended("follower", first) == "success"
    told = server.ask("GET", f"dags/follower/dagRuns/{first}/taskInstances/follow/xcomEntries/return_value")["value"]
    assert "gold_flaky" in str(told)


def waiting(folder: Path) -> int:
    """Wait until the table waits, and return the process that does."""
    until(lambda: (folder / WAITS).exists() and bool((folder / WAITS).read_text()))
    process = int((folder / WAITS).read_text())
    (folder / WAITS).unlink()
    return process


def test_a_dag_run_that_is_marked_failed_in_the_middle_leaves_the_way_free(night: Night) -> None:
    server, lake = night.server, night.folder / "slow"
    run = server.trigger("slow")
    waiting(night.folder)
    assert [past.state for past in assay.history(lake)] == ["staged"]
    server.ask("PATCH", f"dags/slow/dagRuns/{run}", state="failed")
    until(lambda: [past.state for past in assay.history(lake)] == ["failed"])
    assert server.ended("slow", run) == "failed"
    assert seen(lake) == {}


def test_a_task_whose_process_is_killed_is_done_by_the_next_and_published_once(night: Night) -> None:
    server, lake = night.server, night.folder / "killed"
    run = server.trigger("killed")
    os.kill(waiting(night.folder), signal.SIGKILL)
    waiting(night.folder)
    (night.folder / GO).touch()
    assert server.ended("killed", run) == "success"
    (night.folder / GO).unlink()
    assert server.tasks("killed", run)["transform_silver_order"]["try_number"] == 2
    assert [past.state for past in assay.history(lake)] == ["published"]
    assert seen(lake).keys() == {"bronze_order", "silver_order"}


def test_a_dag_run_that_takes_too_long_is_told_as_late_then_given_up_and_its_run_is_closed(night: Night) -> None:
    server, lake = night.server, night.folder / "late"
    run = server.trigger("late")
    assert server.ended("late", run) == "failed"
    until(lambda: [past.state for past in assay.history(lake)] == ["failed"])
    (past,) = assay.history(lake)
    assert past.problems == (f"its DAG run {run} was given up: timed_out",)
    wanted = {"late: not done in time", "late: the DAG run was given up"}
    until(lambda: wanted <= {subject for subject, _ in night.mailbox.said()})
