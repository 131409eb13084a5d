"""The tasks and groups of a DAG that stand for a workflow: a group a phase, and in it one for each step."""

from __future__ import annotations

import datetime as dt
from typing import assert_never

from assay.model.errors import DeclarationError
from assay.model.pipeline import Pipeline
from assay.model.workflow import Part, Task, Unit, Workflow
from assay.orchestrators.airflow.pipelines import PipelineTasks
from assay.orchestrators.airflow.tasks import Ends, add_pipeline, group_of, quiet, task_of
from assay.orchestrators.airflow.workflows import WorkflowTasks

_OWN = ("begin", "end")


def add_workflow(doing: WorkflowTasks, trigger_rule: str = "all_success") -> Ends:
    """Add the tasks of a workflow to the DAG or group that is open: `begin`, its phases one after the other, `end`."""
    for name in (*doing.workflow.phases, *doing.workflow.units):
        if name in _OWN:
            raise DeclarationError(
                f"{doing.workflow.name}: a DAG has a task {name!r} of its own; name the step {name!r} otherwise."
            )
    begin = task_of(doing, "begin", doing.begin, trigger_rule=trigger_rule)
    end = task_of(doing, "end", doing.end, **quiet(doing.within is not None))
    before = [Ends(begin, begin)]
    for phase, units in doing.workflow.phases.items():
        # A pipeline that had nothing to publish keeps nothing from being done; Airflow wants to hear it of `begin`.
        rule = "all_success" if before[0].last is begin else "none_failed"
        with group_of(phase, of=doing.workflow.name):
            added = [_add_unit(doing, unit, rule) for unit in units]
        for each in added:
            [earlier.last for earlier in before] >> each.first
            each.last >> end
        before = added
    end.as_teardown(setups=begin, on_failure_fail_dagrun=True)
    return Ends(begin, end)


def _add_unit(doing: WorkflowTasks, unit: Unit, trigger_rule: str) -> Ends:
    match unit:
        case Task():
            task = task_of(
                doing,
                unit.name,
                doing.call,
                op_kwargs={"task": unit.name},
                retries=unit.retries,
                retry_delay=dt.timedelta(seconds=unit.retry_seconds),
                trigger_rule=trigger_rule,
            )
            return Ends(task, task)
        case Workflow():
            with group_of(unit.name):
                return add_workflow(WorkflowTasks(unit, doing.site, doing), trigger_rule)
        case Pipeline() | Part():
            with group_of(unit.name):
                return add_pipeline(PipelineTasks(unit, doing.site, doing), trigger_rule)
        case _:
            assert_never(unit)
