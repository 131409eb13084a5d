"""Mails about what failed, by the notifier of Airflow's own provider: they name the DAG, the task and the error."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from assay.model.errors import DeclarationError

_TASK: Mapping[str, Any] = {
    "subject": "{{ dag.dag_id }}: {{ ti.task_id }} failed",
    "html_content": "<p>{{ dag.dag_id }}: <b>{{ ti.task_id }}</b> failed at attempt {{ ti.try_number }}.</p>"
    "<pre>{{ exception | e }}</pre><p>DAG run {{ run_id | e }}</p>",
}
_DAG: Mapping[str, Any] = {
    "subject": "{{ dag.dag_id }}: the DAG run was given up",
    "html_content": "<p>{{ dag.dag_id }} was given up: {{ reason | e }}.</p><p>DAG run {{ run_id | e }}</p>",
}
_BY_A_TASK = "task_failure"
"""Airflow's reason for a DAG run that failed because a task did, which has told it itself."""

Callback = Callable[[Mapping[str, Any]], None]


def when_a_task_fails(alert_to: str) -> Callback:
    """Return what mails why a task failed, after its retries."""

    def tell(context: Mapping[str, Any]) -> None:
        # A notifier keeps what it has rendered, so each mail has one of its own.
        SmtpNotifier(to=alert_to, **_TASK)(context)

    return tell


def when_a_run_is_given_up(alert_to: str) -> Callback:
    """Return what mails that a DAG run failed without a failing task: it took too long, for one."""

    def tell(context: Mapping[str, Any]) -> None:
        if context["reason"] != _BY_A_TASK:
            SmtpNotifier(to=alert_to, **_DAG)(context)

    return tell


def when_late(dag_id: str, alert_to: str | None, after: dt.timedelta) -> Any:
    """Return what mails where a DAG run has not ended so long after it was queued; Airflow's triggerer sends it."""
    if alert_to is None:
        raise DeclarationError("deadline= needs alert_to=, whom to tell.")
    # There it is told nothing of the DAG run, and renders nothing.
    told = {"subject": f"{dag_id}: not done in time", "html_content": f"<p>{dag_id}: not done within {after}.</p>"}
    callback = AsyncCallback(SmtpNotifier, kwargs={"to": alert_to, **told})
    return DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=after, callback=callback)
