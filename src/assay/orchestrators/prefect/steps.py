"""One step of a run as a task of Prefect, in whatever process its task runner has."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from prefect import Task, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency
from prefect.runtime import deployment

from assay import assembly
from assay.loading import reading
from assay.model.errors import RunError
from assay.model.pipeline import Pipeline
from assay.observe.lines import line_of
from assay.orchestrators.opening import parts, unit_of
from assay.orchestrators.outline import DATABASE, Stage
from assay.orchestrators.ticket import Ticket

_LEASE_SECONDS = 60.0
"""How long a slot is held by a process that is gone; it is renewed by one that lives."""


class StepError(RunError):
    """A step of a run failed; `may_pass` tells whether trying it again may help."""

    def __init__(self, message: str, *, may_pass: bool) -> None:
        super().__init__(message)
        self.may_pass = may_pass

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it travel between processes."""
        return _again, (str(self), self.may_pass)


def _again(message: str, may_pass: bool) -> StepError:
    return StepError(message, may_pass=may_pass)


@dataclass(frozen=True, slots=True)
class Reading:
    """A pipeline as a flow run reads it, in words that any process understands."""

    pipeline: Pipeline | str
    """A name where it has one, else itself; then it can go to no other process."""
    warehouse: str | None
    sources: Mapping[str, str] | None

    def found(self) -> Pipeline:
        """Return the pipeline."""
        unit = unit_of(self.pipeline)
        assert isinstance(unit, Pipeline), "a flow of a pipeline names one"
        return reading(unit, self.sources)


@dataclass(frozen=True, slots=True)
class Trying:
    """How often a step is tried again after its first failure, and after how many seconds."""

    retries: int = 2
    seconds: float = 30.0


def start(read: Reading, ticket: Ticket, stages: tuple[Stage, ...], trying: Trying) -> dict[str, Any]:
    """Start all steps as tasks, and return their futures; each waits for those it needs, and for no failed one."""
    futures: dict[str, Any] = {}
    for stage in stages:
        needed = [futures[name] for name in stage.after if name in futures]
        task = _step_task(stage, trying)
        futures[stage.step] = task.submit(read, ticket.to_json(), stage.step, stage.tags, wait_for=needed)
    return futures


def _step_task(stage: Stage, trying: Trying) -> Any:
    """Return the task that does a step: `task.submit(reading, ticket, step, tags)`."""
    return Task(
        _done,
        name=stage.label,
        task_run_name=stage.label,
        tags=stage.tags,
        retries=trying.retries,
        retry_delay_seconds=trying.seconds,
        retry_condition_fn=_may_pass,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


def _done(read: Reading, ticket: dict[str, Any], step: str, tags: tuple[str, ...]) -> dict[str, Any]:
    """Do one step and tell what it did; raises StepError where it failed."""
    with _limited(tags), parts(assembly.current_settings(), read.warehouse, attended=True) as apart:
        node = apart.do(read.found(), Ticket.from_json(ticket), step)
    logger = get_run_logger()
    logger.info(line_of(node, "table"))
    if node.status == "failed":
        raise StepError(f"{step}: {node.error}", may_pass=node.may_pass)
    return {"status": node.status, "rows": node.rows, "seconds": round(node.seconds, 3)}


def _limited(tags: tuple[str, ...]) -> AbstractContextManager[Any]:
    """Wait for a slot of the limit `database`, which the server has where it has deployments, to read a database."""
    return concurrency(DATABASE, lease_duration=_LEASE_SECONDS) if DATABASE in tags and deployment.id else nullcontext()


def _may_pass(_task: Any, _run: Any, state: Any) -> bool:
    """Whether trying again may help: what assay itself refuses, it would refuse again."""
    try:
        state.result()
    except StepError as failed:
        return failed.may_pass
    except RunError:
        return False
    except Exception:
        return True
    return False
