"""The run of a workflow: phases in order, what stands in one side by side in threads."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, Literal, assert_never

from assay.model.errors import LeaseError, UsageError, describe
from assay.model.event import Event, Observer, PhaseEnded, PhaseStarted, UnitEnded, WorkflowEnded, WorkflowStarted
from assay.model.outcome import UnitRun, WorkflowResult
from assay.model.past import RecordedRun
from assay.model.pipeline import Pipeline
from assay.model.ports import Warehouse
from assay.model.run import RunHandle, RunOptions, RunResult
from assay.model.workflow import Part, Task, TaskRun, Unit, Workflow, kind_of, pipeline_of
from assay.orchestrators.heartbeat import heartbeat
from assay.orchestrators.records import record_begun_for
from assay.orchestrators.units import Units, chosen
from assay.settings import Settings

_UNDONE = ("failed", "staged")
_ENDING_SECONDS = 10.0
"""How long an interrupted workflow waits for its pipelines to close their runs; a task cannot be stopped."""


@dataclass(frozen=True, slots=True)
class Course:
    """One run of a workflow under way."""

    workflow: Workflow
    handle: RunHandle
    options: RunOptions
    warehouse: Warehouse
    settings: Settings
    again: bool
    """Whether the workflow goes on with a run that failed, and so do its pipelines and workflows with theirs."""
    ended: dict[str, UnitRun]
    """What has been done, by name."""


@dataclass(frozen=True, slots=True)
class Phased:
    """What runs workflows in this process."""

    warehouse: Warehouse
    place: str
    """Where that is, as tasks are told."""
    settings: Settings
    units: Units
    """Who does the steps."""
    observers: tuple[Observer, ...] = ()

    def run(self, workflow: Workflow, options: RunOptions, origin: str = "") -> WorkflowResult:
        """Run a workflow phase by phase, until one does not end well; or go on with the one begun for that `origin`.

        Raises LeaseError where another run of it is at work.
        """
        newest = record_begun_for(self.warehouse, workflow.name, origin) if origin else None
        if newest is not None and newest.state in _UNDONE:
            return self.resume(workflow)
        if newest is not None and newest.plan["phases"] == workflow.shape:
            return recorded_result(workflow, newest)
        self.warehouse.make_room(())
        handle = self.warehouse.begin(
            workflow.name, plan_of(workflow, options, origin), patience=self.settings.patience
        )
        return self._begun(Course(workflow, handle, options, self.warehouse, self.settings, again=False, ended={}))

    def resume(self, workflow: Workflow) -> WorkflowResult:
        """Go on with a workflow's newest run, which failed: do what failed, in it too, and what follows.

        Raises UsageError where there is no such run, or the workflow has other phases now.
        """
        run = _resumable(workflow, self.warehouse.newest(workflow.name))
        options = _asked(run)
        handle = self.warehouse.reopen(workflow.name, run.id, frozenset(), patience=self.settings.patience)
        # Who had the lease until now may have done more.
        run = self.warehouse.newest(workflow.name) or run
        done = {name: unit for name, unit in run.units.items() if self._is_done(workflow.units[name], unit)}
        return self._begun(Course(workflow, handle, options, self.warehouse, self.settings, again=True, ended=done))

    def _is_done(self, unit: Unit, ended: UnitRun) -> bool:
        """Return whether a step ended well, and what it published was not undone since."""
        if ended.status != "done" or not isinstance(unit, Pipeline | Part) or ended.run is None:
            return ended.status == "done"
        return self.warehouse.outcome(ended.run) in ("published", "unchanged")

    def _begun(self, course: Course) -> WorkflowResult:
        """Carry out a run that has its lease; however it ends, the next need not wait for that."""
        began, workflow = time.monotonic(), course.workflow
        try:
            self._tell(WorkflowStarted(workflow.name, course.handle.id, course.options.as_of, tuple(workflow.phases)))
            with heartbeat(course):
                for phase in workflow.phases:
                    if not self._phase(course, phase):
                        break
            result = _result(course, began)
            self.warehouse.close_run(course.handle, result.as_run())
        except BaseException as error:
            why = "it was interrupted" if isinstance(error, KeyboardInterrupt) else describe(error)
            failed = replace(_result(course, began), state="failed", problems=(why,))
            # Where another has taken it over, it has marked it failed.
            with suppress(LeaseError):
                self.warehouse.close_run(course.handle, failed.as_run())
            self._tell(WorkflowEnded(failed))
            raise
        self._tell(WorkflowEnded(result))
        return result

    def _phase(self, course: Course, phase: str) -> bool:
        """Do what a phase holds, side by side; return whether all of it has ended well."""
        units = course.workflow.phases[phase]
        to_do = [unit for unit in units if unit.name not in course.ended]
        about = course.workflow.name, course.handle.id, phase
        if to_do:
            self._tell(PhaseStarted(*about, tuple(unit.name for unit in to_do)))
            self._side_by_side(course, phase, to_do)
        ok = all(course.ended[unit.name].status == "done" for unit in units)
        if to_do:
            self._tell(PhaseEnded(*about, ok))
        return ok

    def _side_by_side(self, course: Course, phase: str, units: Sequence[Unit]) -> None:
        # What tasks are told is what stood when their phase began.
        returned = {name: unit.value for name, unit in course.ended.items() if unit.kind == "task"}
        pool = ThreadPoolExecutor(len(units), thread_name_prefix=f"assay-{phase}")
        running = {pool.submit(copy_context().run, self._unit, course, unit, returned) for unit in units}
        try:
            while running:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    self._end(course, phase, future)
        except BaseException:
            self.units.stop()
            wait(running, timeout=_ENDING_SECONDS)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _end(self, course: Course, phase: str, future: Future[UnitRun]) -> None:
        unit = future.result()
        course.ended[unit.name] = unit
        self.warehouse.record_unit(course.handle, unit)
        self._tell(UnitEnded(course.workflow.name, course.handle.id, phase, unit))

    def _unit(self, course: Course, unit: Unit, returned: Mapping[str, Any]) -> UnitRun:
        """Do one step; a fault of its own is recorded, not raised."""
        started, began = dt.datetime.now(dt.UTC), time.monotonic()
        try:
            self.units.check()
            done = self._done(course, unit, returned)
        except (Exception, SystemExit) as error:
            done = UnitRun(unit.name, kind_of(unit), "failed", error=describe(error), attempts=1)
        # The clock may have been set meanwhile.
        return replace(done, started_at=started, ended_at=started + dt.timedelta(seconds=time.monotonic() - began))

    def _done(self, course: Course, unit: Unit, returned: Mapping[str, Any]) -> UnitRun:
        match unit:
            case Task():
                run = TaskRun(course.workflow.name, course.options.as_of, self.place, returned)
                return self.units.task(unit, run)
            case Workflow():
                return _ended_as(unit, self.units.workflow(unit, lambda: self._workflow(course, unit)))
            case Pipeline() | Part():
                _, options = chosen(unit, course.options)
                again = self._failed_since(course, pipeline_of(unit).name, options)
                return _ended_as(unit, self.units.pipeline(unit, course.options, again))
            case _:
                assert_never(unit)

    def _workflow(self, course: Course, workflow: Workflow) -> WorkflowResult:
        if self._failed_since(course, workflow.name, course.options):
            return self.resume(workflow)
        return self.run(workflow, course.options)

    def _failed_since(self, course: Course, name: str, options: RunOptions) -> bool:
        """Return whether the newest run of this name failed, or was killed, in this very run of the workflow.

        One that had no plan yet has nothing to go on with; one that was asked something else is not of this workflow.
        """
        newest = self.warehouse.newest(name) if course.again else None
        if newest is None or newest.id < course.handle.id:
            return False
        return newest.is_planned and newest.state in _UNDONE and _asked(newest) == options

    def _tell(self, event: Event) -> None:
        for observer in self.observers:
            observer(event)


def _ended_as(unit: Unit, result: RunResult | WorkflowResult) -> UnitRun:
    why = None if result.ok else "; ".join(result.problems)
    return UnitRun(
        name=unit.name,
        kind=kind_of(unit),
        status="done" if result.ok else "failed",
        run=result.run,
        error=why,
        attempts=1,
        result=result,
    )


def recorded_result(workflow: Workflow, run: RecordedRun) -> WorkflowResult:
    """Return the result of a run that has ended, by its record."""
    return WorkflowResult(
        run=run.id,
        workflow=workflow.name,
        state="done" if run.state == "done" else "failed",
        as_of=dt.date.fromisoformat(run.plan["as_of"]),
        phases=_phases(workflow, run.units),
        seconds=0.0,
        problems=run.problems,
    )


def _phases(workflow: Workflow, ended: Mapping[str, UnitRun]) -> dict[str, tuple[UnitRun, ...]]:
    """Return what each phase did; what did not begin was blocked."""
    return {
        phase: tuple(ended.get(unit.name) or UnitRun(unit.name, kind_of(unit), "blocked") for unit in units)
        for phase, units in workflow.phases.items()
    }


def plan_of(workflow: Workflow, options: RunOptions, origin: str) -> dict[str, Any]:
    """Return what a run of a workflow records of what it is to do."""
    asked = {"options": options.to_json(), "phases": workflow.shape, "origin": origin}
    return {"as_of": options.as_of.isoformat(), **asked}


def result_of(
    workflow: Workflow, run: int, as_of: dt.date, ended: Mapping[str, UnitRun], seconds: float
) -> WorkflowResult:
    """Return the result of a run by what its steps did; what did not begin was blocked."""
    phases = _phases(workflow, ended)
    units = [unit for each in phases.values() for unit in each]
    problems = tuple(f"{unit.name} failed: {unit.error}" for unit in units if unit.status == "failed")
    state: Literal["done", "failed"] = "done" if all(unit.status == "done" for unit in units) else "failed"
    return WorkflowResult(run, workflow.name, state, as_of, phases, seconds, problems)


def _result(course: Course, began: float) -> WorkflowResult:
    about = course.workflow, course.handle.id, course.options.as_of
    return result_of(*about, course.ended, time.monotonic() - began)


def _asked(run: RecordedRun) -> RunOptions:
    """Return what was asked of a run."""
    return RunOptions.from_json({"as_of": run.plan["as_of"], **run.plan["options"]})


def _resumable(workflow: Workflow, run: RecordedRun | None) -> RecordedRun:
    if run is None:
        raise UsageError(f"{workflow.name} has made no run here yet; there is nothing to resume.")
    if run.state not in _UNDONE:
        raise UsageError(f"Run {run.id}, the newest of {workflow.name}, is {run.state}; there is nothing to resume.")
    if run.plan.get("phases") != workflow.shape:
        raise UsageError(f"Run {run.id} cannot be resumed: {workflow.name} has other phases now. Run it again.")
    return run
