"""Carrying out a task of a workflow, in whatever process: its retries, what it returned, and the record of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import stamina

from assay.model.errors import TableError, describe
from assay.model.outcome import UnitRun
from assay.model.workflow import Task, TaskRun


def carry_out(task: Task, run: TaskRun, *, goes_on: Callable[[], bool]) -> UnitRun:
    """Call a task, with its retries for as long as `goes_on` allows them; a fault is recorded, not raised."""
    retried: list[str] = []
    try:
        value = _attempts(task, run, retried, goes_on)
    except Exception as error:
        return _record(task, retried, status="failed", error=describe(error))
    return _record(task, retried, status="done", value=value)


def _record(task: Task, retried: list[str], **ended: Any) -> UnitRun:
    return UnitRun(task.name, "task", attempts=len(retried) + 1, retried=tuple(retried), **ended)


def _attempts(task: Task, run: TaskRun, retried: list[str], goes_on: Callable[[], bool]) -> Any:
    last = task.retries + 1
    attempts = stamina.retry_context(
        on=lambda _: goes_on(),
        attempts=last,
        timeout=None,
        wait_initial=task.retry_seconds,
        wait_max=task.retry_seconds,
        wait_jitter=0,
        wait_exp_base=1,
    )
    for attempt in attempts:
        with attempt:
            try:
                return _plain(task, task.function(run) if task.wants_run else task.function())
            except Exception as error:
                if attempt.num < last and goes_on():
                    retried.append(describe(error))
                raise
    raise AssertionError("a retry context ends by returning or raising")


def _plain(task: Task, value: Any) -> Any:
    """Return a value as it is recorded; raises TableError for one that cannot be."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        raise TableError(
            f"{task.name} returned a {type(value).__name__}, which cannot be recorded; return what JSON has a word for."
        ) from None
