"""Carrying out a task of a workflow, in whatever process: its retries, what it returned, and the record of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from assay.model.errors import TableError, describe
from assay.model.outcome import UnitRun
from assay.model.workflow import Task, TaskRun
from assay.runtime.retrying import tried


def carry_out(task: Task, run: TaskRun, *, goes_on: Callable[[], bool]) -> UnitRun:
    """Call a task, with its retries for as long as `goes_on` allows them; a fault is recorded, not raised."""
    retried: list[str] = []
    try:
        value = tried(
            lambda _: _plain(task, task.function(run) if task.wants_run else task.function()),
            retries=task.retries,
            seconds=task.retry_seconds,
            may_pass=lambda _: goes_on(),
            retried=retried,
        )
    except (Exception, SystemExit) as error:
        # Who leaves in the middle has not done it, whatever code is left behind.
        return _record(task, retried, status="failed", error=describe(error))
    return _record(task, retried, status="done", value=value)


def _record(task: Task, retried: list[str], **ended: Any) -> UnitRun:
    return UnitRun(task.name, "task", attempts=len(retried) + 1, retried=tuple(retried), **ended)


def _plain(task: Task, value: Any) -> Any:
    """Return a value as it is recorded; raises TableError for one that cannot be."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        raise TableError(
            f"{task.name} returned a {type(value).__name__}, which cannot be recorded; return what JSON has a word for."
        ) from None
