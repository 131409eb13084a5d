"""Running workflows, from Python as from the command line: phases of pipelines and tasks, one after the other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from assay import assembly, platform
from assay.assembly import Location
from assay.loading import find_workflow
from assay.model.event import Observer
from assay.model.given import check_arguments
from assay.model.outcome import WorkflowResult
from assay.model.pipeline import Pipeline
from assay.model.workflow import Part, Task, Workflow, kind_of, pipeline_of
from assay.platform import RunArguments
from assay.runtime.lanes import Lanes
from assay.settings import Settings

if TYPE_CHECKING:
    from assay.orchestrators.phased import Phased
    from assay.runtime.planning.plan import Plan


class WorkflowArguments(TypedDict, total=False):
    """What can be asked of a workflow's run; its pipelines are asked the same."""

    warehouse: Location | None
    """Where its pipelines publish, and its own runs are recorded; by default what the settings say."""
    as_of: dt.date | None
    """The run's own date; today by default."""
    full: bool
    """Compute everything anew."""
    settings: Settings | None
    """Instead of those of assay.toml and the environment."""
    observers: Sequence[Observer]
    """Told of the workflow and its phases, and of the runs in them."""


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """What a run of a workflow would do with one step."""

    workflow: str
    phase: str
    name: str
    kind: str
    what: str
    plan: Plan | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        told = {field: getattr(self, field) for field in ("workflow", "phase", "name", "kind", "what")}
        return told | ({"plan": self.plan.to_json()} if self.plan else {})


def run_workflow(workflow: Workflow | str, **arguments: Unpack[WorkflowArguments]) -> WorkflowResult:
    """Run a workflow: what stands in a phase side by side, and the next phase when all of it has ended well.

    Each pipeline publishes all of its tables, or nothing, when it ends. `result.ok` tells whether every phase ended
    well. Raises LeaseError where another run of the workflow is at work.
    """
    check_arguments("run_workflow", arguments, WorkflowArguments)
    return _phased(arguments).run(_named(workflow, arguments), platform.options(_of_run(arguments)))


def resume_workflow(workflow: Workflow | str, **arguments: Unpack[WorkflowArguments]) -> WorkflowResult:
    """Go on with a workflow's newest run, which failed: what ended well stands, its failed pipelines are resumed.

    Raises UsageError where there is nothing to resume, or the workflow has other phases now.
    """
    check_arguments("resume_workflow", arguments, WorkflowArguments)
    return _phased(arguments).resume(_named(workflow, arguments))


def plan_workflow(workflow: Workflow | str, **arguments: Unpack[WorkflowArguments]) -> list[PlannedUnit]:
    """Return what a run would do, step by step; a phase can be planned when those before it have published."""
    check_arguments("plan_workflow", arguments, WorkflowArguments)
    return list(_planned(_named(workflow, arguments), _of_run(arguments), open_to=""))


def _named(workflow: Workflow | str, arguments: WorkflowArguments) -> Workflow:
    """Return a workflow by the name that people write, or itself."""
    if isinstance(workflow, Workflow):
        return workflow
    return find_workflow(workflow, arguments.get("settings") or assembly.current_settings())


def _planned(workflow: Workflow, arguments: RunArguments, open_to: str) -> Iterator[PlannedUnit]:
    """Yield the steps; `open_to` is the phase that must end before, where there is one."""
    for phase, units in workflow.phases.items():
        for unit in units:
            if isinstance(unit, Workflow):
                yield from _planned(unit, arguments, open_to)
            else:
                yield _planned_unit(workflow, phase, unit, arguments, open_to)
        open_to = phase


def _planned_unit(
    workflow: Workflow, phase: str, unit: Pipeline | Part | Task, arguments: RunArguments, open_to: str
) -> PlannedUnit:
    told = workflow.name, phase, unit.name, kind_of(unit)
    if isinstance(unit, Task):
        return PlannedUnit(*told, "is called")
    if open_to:
        return PlannedUnit(*told, f"is planned when {open_to} has ended")
    if isinstance(unit, Part):
        arguments = {**arguments, "layers": unit.layers, "select": unit.select}
    plan = platform.plan(pipeline_of(unit), **arguments)
    steps = [step.action for step in plan.steps.values()]
    what = ", ".join(f"{steps.count(action)} {action}" for action in ("run", "maybe", "skip") if action in steps)
    return PlannedUnit(*told, what, plan)


def _of_run(arguments: WorkflowArguments) -> RunArguments:
    """Return what each pipeline is asked."""
    return RunArguments(
        warehouse=arguments.get("warehouse"),
        as_of=arguments.get("as_of"),
        full=arguments.get("full", False),
        settings=arguments.get("settings"),
        observers=arguments.get("observers", ()),
    )


def _phased(arguments: WorkflowArguments) -> Phased:
    from assay.orchestrators.phased import Phased
    from assay.orchestrators.units import Here

    settings = arguments.get("settings") or assembly.current_settings()
    # A task may go to another folder: from there, too, everything is where it was.
    settings = replace(settings, folder=str(Path(settings.folder).absolute()))
    observers = tuple(arguments.get("observers", ()))
    place = assembly.located(settings, arguments.get("warehouse"))
    own: RunArguments = {"warehouse": place, "observers": observers}
    lanes = Lanes.of(settings)
    return Phased(
        warehouse=assembly.warehouse(settings, place, create=True),
        place=place,
        settings=settings,
        units=Here(lambda: platform.embedded(settings, own, lanes=lanes)),
        observers=observers,
    )
