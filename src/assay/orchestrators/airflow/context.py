"""What a task's context says: for what a run is begun, the ticket of it, and why it is given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.orchestrators.ticket import Ticket

Context = Mapping[str, Any]


def origin_in(context: Context, prefix: str) -> str:
    """Return what a run is begun for: it is gone on with when its tasks are cleared."""
    return f"airflow:{context['dag'].dag_id}:{context['run_id']}:{prefix}"


def ticket_in(context: Context, prefix: str) -> Ticket:
    """Return the ticket that the task `begin` returned."""
    return Ticket.from_json(context["ti"].xcom_pull(task_ids=f"{prefix}begin"))


def why_given_up(context: Context) -> str:
    """Return why a run was closed that its DAG run had left open."""
    return f"its DAG run {context['run_id']} was given up: {context['reason']}"
