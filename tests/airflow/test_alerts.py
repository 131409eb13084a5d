"""Mails about what failed, sent by Airflow's own provider to a server on this machine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk import DAG

import assay
from assay import DeclarationError
from assay.orchestrators.airflow import to_dag
from tests.airflow.mailbox import Mailbox, opened
from tests.airflow.running import dag_of, run
from tests.orchestrators.flaky import FOLDER, PASSWORD
from tests.orchestrators.orders import ROWS, orders

ALERTED = """
    import datetime as dt
    from tests.orchestrators.flaky import flaky
    dag = to_dag(
        flaky,
        warehouse={lake!r},
        sources={{"orders": {file!r}}},
        retry_delay=dt.timedelta(0),
        alert_to="ops@example.org",
    )
"""


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with opened() as mailbox:
        options = "from_email=airflow%40example.org&disable_ssl=true&disable_tls=true"
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", f"smtp://127.0.0.1:{mailbox.port}/?{options}")
        yield mailbox


@pytest.fixture
def dag(dags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DAG:
    file = tmp_path / "orders.csv"
    file.write_text(ROWS)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return dag_of(dags, ALERTED.format(lake=str(tmp_path / "lake"), file=str(file)))


def test_a_table_that_fails_and_then_the_run_are_told_by_mail_without_secrets(dag: DAG, mailbox: Mailbox) -> None:
    assert run(dag).state == "failed"
    (table, table_text), (whole, whole_text) = mailbox.said()
    assert (table, whole) == ("flaky: transform_silver_broken failed", "flaky: publish failed")
    error = "silver_broken: ConnectionError: postgresql://someone:***@nowhere/ is away"
    assert f"<pre>{error}</pre>" in table_text
    assert "failed at attempt 3" in table_text
    assert "Run 1 of flaky failed: silver_broken failed: ConnectionError" in whole_text
    assert PASSWORD not in table_text + whole_text
    assert {str(letter["To"]) for letter in mailbox.letters} == {"ops@example.org"}


def test_a_dag_run_that_is_given_up_is_told_by_mail_and_its_run_is_closed(
    dag: DAG, mailbox: Mailbox, tmp_path: Path
) -> None:
    context = {"dag": dag, "run_id": "manual__then", "params": dag.params.dump(), "reason": "timed_out"}
    begun = context | {"logical_date": dt.datetime(2024, 12, 1, tzinfo=dt.UTC)}
    dag.get_task("begin").python_callable(**begun)
    (past,) = assay.history(tmp_path / "lake")
    assert past.state == "staged"
    for callback in dag.on_failure_callback:
        callback(context)
    (past,) = assay.history(tmp_path / "lake")
    assert (past.state, past.problems) == ("failed", ("its DAG run manual__then was given up: timed_out",))
    ((subject, text),) = mailbox.said()
    assert subject == "flaky: the DAG run was given up"
    assert "given up: timed_out" in text


def test_a_deadline_is_told_to_whoever_gets_alerts() -> None:
    late = to_dag(orders, deadline=dt.timedelta(hours=1), alert_to="ops@example.org")
    (alert,) = late.deadline
    assert (alert.interval, alert.callback.kwargs["subject"]) == (dt.timedelta(hours=1), "orders: not done in time")
    assert to_dag(orders, alert_to="ops@example.org").deadline in (None, [])
    with pytest.raises(DeclarationError, match="deadline= needs alert_to="):
        to_dag(orders, deadline=dt.timedelta(hours=1))
