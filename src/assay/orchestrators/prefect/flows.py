"""Making flows: one for a pipeline, a part of one, a workflow or a task, from its declaration alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from prefect import Flow
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from assay import assembly
from assay.model.errors import RunError, SettingsError, near_miss
from assay.model.pipeline import Pipeline
from assay.model.workflow import Part, Task, TaskRun, Unit, Workflow
from assay.orchestrators.opening import check_passwords, options_of, unit_of
from assay.orchestrators.prefect.asking import PLACES, asking, options_shown
from assay.orchestrators.prefect.declared import deployments_of
from assay.orchestrators.prefect.pipelines import Places, Stepping, Tasks, run_pipeline
from assay.orchestrators.prefect.spreading import Spread, to_chunk_flow
from assay.orchestrators.prefect.steps import Trying
from assay.orchestrators.prefect.workflows import AsFlows, call_task, check, origin_of, run_workflow

_MOST_TIMES = 5
"""How often a flow run is begun: one that takes its process down with it would be run again for ever."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the runs of a flow are done."""

    trying: Trying = field(default_factory=Trying)
    task_runner: Any = None
    """What tasks run on; None for threads of the flow run's process, as many as there are workers."""
    spread: Mapping[str, Spread] = field(default_factory=dict)
    """Pipeline, or part of one -> the flow runs that do its tables."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Workflow -> the deployment that runs it."""

    @property
    def runner(self) -> Any:
        """What tasks run on."""
        return self.task_runner or ThreadPoolTaskRunner(max_workers=assembly.current_settings().worker_count)

    def stepping(self, name: str) -> Stepping:
        """Return who does the steps of a pipeline."""
        return self.spread.get(name) or Tasks(self.trying)


def to_flow(
    declared: Unit | str, *, name: str | None = None, task_runner: Any = None, trying: Trying | None = None
) -> Any:
    """Return a flow of Prefect that runs a pipeline or workflow: what `assay run` does, with one task a table.

    Args:
        declared: a Pipeline, Workflow, part or task, a name in assay.toml, or "module:object".
        name: of the flow; by default that of what is declared.
        task_runner: what its tasks run on; by default threads, as many as there are workers.
        trying: how often a step is tried again, and after how long; by default twice, after 30 seconds.

    Returns:
        The flow; called, it returns the result as plain data, and raises RunError where the run failed.
    """
    unit = unit_of(declared)
    return flow_of(unit, name or unit.name, Manner(trying or Trying(), task_runner))


def deployed_flow(name: str) -> Any:
    """Return the flow of a deployment that assay.toml declares; raises SettingsError where it does not."""
    known = deployments_of(assembly.current_settings())
    if name not in known:
        raise SettingsError(f"deployments: there is no {name!r} in assay.toml.{near_miss(name, known)}")
    found = known[name]
    manner = Manner(
        spread={unit: Spread(known[each].full_name, found.chunks) for unit, each in found.spread.items()},
        elsewhere={unit: known[each].full_name for unit, each in found.elsewhere.items()},
    )
    unit = found.unit
    if found.tables_of and isinstance(unit, Pipeline | Part):
        return to_chunk_flow(unit, found.flow_name, manner.trying, manner.runner)
    return flow_of(unit, found.flow_name, manner)


def flow_of(unit: Unit, name: str, manner: Manner) -> Any:
    """Return the flow that runs a unit in some manner."""

    def carry_out(**asked: Any) -> Any:
        places = Places(**{place: asked.pop(place) for place in PLACES})
        check_passwords(places.sources)
        return _carried_out(unit, asked, places, manner)

    description = f"Run {unit.name}: publish all of its tables, or nothing."
    return Flow(
        asking(carry_out, {**options_shown(unit), **PLACES}, description),
        name=name,
        description=description,
        task_runner=manner.runner,
        persist_result=False,
    )


def _carried_out(unit: Unit, asked: Mapping[str, Any], places: Places, manner: Manner) -> Any:
    """Do what a flow run is for, and return its result as plain data; raises RunError where it did not end well."""
    if flow_run.run_count > _MOST_TIMES:
        raise RunError(f"This flow run was begun {_MOST_TIMES} times and did not complete; start another.")
    options, origin = options_of(asked, _today(), unit), origin_of(flow_run.id)
    match unit:
        case Pipeline() | Part():
            result = run_pipeline(unit, options, places, manner.stepping(unit.name), origin)
            check(result)
            return result.to_json()
        case Workflow():
            same = {name: value for name, value in asked.items() if value is not None}
            units = AsFlows(places, manner.stepping, manner.elsewhere, manner.runner, origin, same)
            ended = run_workflow(unit, options, units)
            check(ended)
            return ended.to_json()
        case Task():
            place = assembly.located(assembly.current_settings(), places.warehouse)
            done = call_task(unit, TaskRun("", options.as_of, place, {}))
            if done.error is not None:
                raise RunError(f"{unit.name} failed: {done.error}")
            return done.value
        case _:
            assert_never(unit)


def _today() -> dt.date:
    """Return the day for which the flow run was made: also that of one which is run again later."""
    scheduled: dt.datetime = flow_run.scheduled_start_time
    return scheduled.astimezone(dt.UTC).date()
