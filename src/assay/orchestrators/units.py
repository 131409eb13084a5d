"""The steps of a workflow: who does them, and how they are done in this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from assay.model.outcome import UnitRun, WorkflowResult
from assay.model.pipeline import Pipeline
from assay.model.run import RunOptions, RunResult
from assay.model.workflow import Part, Task, TaskRun, Workflow, pipeline_of
from assay.orchestrators.embedded import Embedded
from assay.orchestrators.stops import Stops
from assay.runtime.tasks import carry_out


class Units(Protocol):
    """Does the steps of workflows, several at once."""

    def task(self, task: Task, run: TaskRun) -> UnitRun:
        """Call a task, with its retries; a fault is recorded, not raised."""

    def pipeline(self, unit: Pipeline | Part, options: RunOptions, again: bool, /) -> RunResult:
        """Run a pipeline, or what a part of it chooses; or go on with its newest run, `again`."""

    def workflow(self, workflow: Workflow, work: Callable[[], WorkflowResult], /) -> WorkflowResult:
        """Do the work of a workflow within a workflow."""

    def check(self) -> None:
        """Raise RunError where nothing more is to begin."""

    def stop(self) -> None:
        """Stop all that is at work; nothing more begins."""


def chosen(unit: Pipeline | Part, options: RunOptions) -> tuple[Pipeline, RunOptions]:
    """Return the pipeline that a step runs, and what is asked of it: of a part, what it chooses."""
    if isinstance(unit, Part):
        options = replace(options, layers=unit.layers, select=unit.select)
    return pipeline_of(unit), options


@dataclass(frozen=True, slots=True)
class Here:
    """Does them in this process."""

    opened: Callable[[], AbstractContextManager[Embedded]]
    """Opens what runs one pipeline, with an engine of its own."""
    stops: Stops = field(default_factory=Stops)

    def task(self, task: Task, run: TaskRun) -> UnitRun:
        """Call a task, with its retries for as long as nobody stops."""
        return carry_out(task, run, goes_on=self.stops.goes_on)

    def pipeline(self, unit: Pipeline | Part, options: RunOptions, again: bool, /) -> RunResult:
        """Run a pipeline, or resume it."""
        pipeline, options = chosen(unit, options)
        with self.opened() as embedded, self.stops.listed(embedded):
            return embedded.resume(pipeline) if again else embedded.run(pipeline, options)

    def workflow(self, _: Workflow, work: Callable[[], WorkflowResult], /) -> WorkflowResult:
        """Just do it."""
        return work()

    def check(self) -> None:
        """Raise RunError where all was stopped."""
        self.stops.check()

    def stop(self) -> None:
        """Stop the pipelines that are at work."""
        self.stops.stop()
