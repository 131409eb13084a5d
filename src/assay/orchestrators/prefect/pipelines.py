"""A run of a pipeline within a flow run: it begins, its steps are tasks, and it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from prefect import Task, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait

from assay import assembly
from assay.loading import reading
from assay.model.pipeline import Pipeline
from assay.model.run import RunOptions, RunResult
from assay.model.workflow import Part
from assay.orchestrators.apart import Apart
from assay.orchestrators.opening import parts, reference_to
from assay.orchestrators.outline import Stage, outline
from assay.orchestrators.prefect.artifacts import show_ledger
from assay.orchestrators.prefect.steps import Reading, Trying, start
from assay.orchestrators.ticket import Ticket
from assay.orchestrators.units import chosen


class Stepping(Protocol):
    """Who does the steps of a run; what they did stands in the warehouse."""

    def __call__(self, read: Reading, ticket: Ticket, stages: tuple[Stage, ...]) -> None:
        """Do the steps of a run in their order, and return when all have ended, well or not."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """Does each step as a task of this flow run, on its task runner."""

    trying: Trying

    def __call__(self, read: Reading, ticket: Ticket, stages: tuple[Stage, ...]) -> None:
        """Do them as their order allows; what needs one that failed does not run."""
        wait(list(start(read, ticket, stages, self.trying).values()))


@dataclass(frozen=True, slots=True)
class Places:
    """Where the runs of a flow run publish, and read from instead of what is declared."""

    warehouse: str | None = None
    sources: Mapping[str, str] | None = None


def run_pipeline(
    unit: Pipeline | Part, options: RunOptions, places: Places, stepping: Stepping, origin: str
) -> RunResult:
    """Run a pipeline, or go on with the run that was begun for the same origin, and tell how it ended."""
    declared, options = chosen(unit, options)
    pipeline = reading(declared, places.sources)
    read = Reading(reference_to(declared) or declared, places.warehouse, places.sources)
    with parts(assembly.current_settings(), places.warehouse, attended=True) as apart:
        ticket: Ticket = _task("begin", lambda: _begun(apart, pipeline, options, origin))
        with apart.attending(ticket):
            stepping(read, ticket, tuple(stage for stage in outline(pipeline) if stage.step in ticket.steps))
            result: RunResult = _task("publish", lambda: _ended(apart, pipeline, ticket))
    show_ledger(result)
    return result


def _task(name: str, function: Callable[[], Any]) -> Any:
    """Do something as a task that the flow run shows, at once, in this thread."""
    return Task(function, name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)()


def _begun(apart: Apart, pipeline: Pipeline, options: RunOptions, origin: str) -> Ticket:
    ticket = apart.begin(pipeline, options, origin)
    if ticket.run is None:
        get_run_logger().info(f"{pipeline.name}: nothing has changed, there is nothing to do")
    else:
        get_run_logger().info(f"{pipeline.name}: run {ticket.run} has begun, with {len(ticket.steps)} steps")
    return ticket


def _ended(apart: Apart, pipeline: Pipeline, ticket: Ticket) -> RunResult:
    result = apart.end(pipeline, ticket)
    logger = get_run_logger()
    for problem in result.problems:
        logger.error(problem)
    run = "" if result.run is None else f"run {result.run} is "
    logger.info(f"{pipeline.name}: {run}{result.state}")
    return result
