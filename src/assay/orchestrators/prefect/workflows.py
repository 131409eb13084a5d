"""A run of a workflow within a flow run: its pipelines and workflows are flow runs beneath it, its tasks task runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

from prefect import Flow, Task, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from assay import assembly
from assay.model import workflow as declared
from assay.model.errors import RunError
from assay.model.event import Event
from assay.model.outcome import UnitRun, WorkflowResult
from assay.model.pipeline import Pipeline
from assay.model.run import RunOptions, RunResult
from assay.model.workflow import Part, TaskRun, Workflow
from assay.observe.lines import line_of_phase
from assay.orchestrators.phased import Phased, recorded_result
from assay.orchestrators.prefect.pipelines import Places, Stepping, run_pipeline
from assay.orchestrators.prefect.steps import StepError
from assay.orchestrators.prefect.submitting import SubflowError, trigger_subflow, wait_for_flow_runs
from assay.runtime.tasks import carry_out

Result = TypeVar("Result", RunResult, WorkflowResult)


@dataclass(frozen=True, slots=True)
class AsFlows:
    """Does the steps of workflows as flow runs and task runs beneath this one."""

    places: Places
    stepping: Callable[[str], Stepping]
    """Gives who does the steps of the pipeline of a name."""
    elsewhere: Mapping[str, str]
    """Workflow -> the deployment that runs it, as Prefect calls it."""
    task_runner: Any
    origin: str
    asked: Mapping[str, Any]
    """What this flow run was asked, so that others are asked the same."""

    def task(self, task: declared.Task, run: TaskRun) -> UnitRun:
        """Call a task as a task run, which is tried again as it is declared."""
        return call_task(task, run)

    def pipeline(self, unit: Pipeline | Part, options: RunOptions, _: bool, /) -> RunResult:
        """Run a pipeline as a flow run; it is gone on with where it was begun by this one."""
        origin = f"{self.origin}/{unit.name}"
        stepping = self.stepping(unit.name)
        return self._beneath(unit.name, lambda: run_pipeline(unit, options, self.places, stepping, origin))

    def workflow(self, workflow: Workflow, work: Callable[[], WorkflowResult], /) -> WorkflowResult:
        """Run a workflow as a flow run, here or on another worker."""
        if workflow.name in self.elsewhere:
            return self._elsewhere(workflow)
        return self._beneath(workflow.name, work)

    def check(self) -> None:
        """Let anything begin: who stops a flow run stops its process."""

    def stop(self) -> None:
        """Stop nothing, for the same reason."""

    def _elsewhere(self, workflow: Workflow) -> WorkflowResult:
        """Run a workflow by its deployment, and tell what it recorded."""
        asked = {"warehouse": self.places.warehouse, **self.asked}
        run = trigger_subflow(
            self.elsewhere[workflow.name],
            asked,
            key=f"{self.origin}/{workflow.name}",
            # It is of the same day, if midnight should pass before it begins.
            scheduled_time=flow_run.scheduled_start_time,
        )
        failed = None
        try:
            wait_for_flow_runs([run])
        except SubflowError as error:
            failed = error
        stored = assembly.warehouse(assembly.current_settings(), self.places.warehouse, create=False)
        recorded = stored.newest(workflow.name)
        if recorded is None or recorded.plan.get("origin") != origin_of(run):
            # It ended before it began.
            raise failed or RunError(f"{workflow.name}: flow run {run} left no record in {stored.url}.")
        return recorded_result(workflow, recorded)

    def _beneath(self, name: str, work: Callable[[], Result]) -> Result:
        """Do some work as a flow run beneath this one, which fails where the work did not end well."""
        made: list[Result] = []

        def carried_out() -> None:
            made.append(work())
            check(made[0])

        try:
            Flow(carried_out, name=name, task_runner=self.task_runner, persist_result=False)()
        except RunError:
            if not made:
                raise
        return made[0]


def run_workflow(workflow: Workflow, options: RunOptions, units: AsFlows) -> WorkflowResult:
    """Run a workflow, or go on with the run that was begun for the same origin, and tell how it ended."""
    settings, location = assembly.current_settings(), units.places.warehouse
    phased = Phased(
        warehouse=assembly.warehouse(settings, location, create=True),
        place=assembly.located(settings, location),
        settings=settings,
        units=units,
        observers=(_log,),
    )
    return phased.run(workflow, options, units.origin)


def origin_of(run: UUID | str) -> str:
    """Return how runs in a warehouse name the flow run that began them."""
    return f"prefect:{run}"


def check(result: RunResult | WorkflowResult) -> None:
    """Raise RunError where a run did not end well, so that its flow run fails."""
    if not result.ok:
        raise RunError("; ".join(result.problems))


def call_task(task: declared.Task, run: TaskRun) -> UnitRun:
    """Call a task of a workflow as a task run, and tell how it ended."""
    tries: list[UnitRun] = []

    def tried() -> Any:
        tries.append(carry_out(replace(task, retries=0), run, goes_on=lambda: True))
        if tries[-1].status == "failed":
            raise StepError(f"{task.name}: {tries[-1].error}", may_pass=True)
        return tries[-1].value

    made = Task(
        tried,
        name=task.name,
        task_run_name=task.name,
        tags=[tag for tag in (run.workflow,) if tag],
        retries=task.retries,
        retry_delay_seconds=task.retry_seconds,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    with suppress(StepError):
        made()
    retried = tuple(str(each.error) for each in tries[:-1])
    return replace(tries[-1], attempts=len(tries), retried=retried)


def _log(event: Event) -> None:
    line = line_of_phase(event)
    if line is not None:
        get_run_logger().info(line)
