"""A run of a workflow as tasks: what begins and ends it, what calls its own, and the record of what each step did."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from assay import assembly
from assay.model.errors import describe
from assay.model.outcome import UnitRun
from assay.model.workflow import Task, TaskRun, Workflow
from assay.orchestrators.airflow.asking import options_in
from assay.orchestrators.airflow.context import Context, origin_in, ticket_in, why_given_up
from assay.orchestrators.airflow.failing import LOG, told
from assay.orchestrators.airflow.site import Site
from assay.orchestrators.phased_apart import PhasedApart
from assay.runtime.tasks import carry_out


@dataclass(frozen=True, slots=True)
class WorkflowTasks:
    """What the tasks of one workflow do in a DAG run."""

    workflow: Workflow
    site: Site
    within: WorkflowTasks | None = None
    """The workflow of which this is a step."""

    @property
    def whole(self) -> Workflow:
        """What the DAG runs."""
        return self.within.whole if self.within else self.workflow

    @property
    def prefix(self) -> str:
        """What the names of its own tasks begin with."""
        return f"{self.workflow.name}." if self.within else ""

    def begin(self, **context: Any) -> dict[str, Any]:
        """Begin the run, or go on with the one that was begun for this DAG run; return its ticket."""
        with told():
            ticket = self._phased.begin(self.workflow, options_in(context, self.whole), origin_in(context, self.prefix))
        LOG.info("%s: run %s", self.workflow.name, ticket.run)
        return ticket.to_json()

    def call(self, task: str, **context: Any) -> Any:
        """Call a task, once: Airflow has retries of its own; return what it returned."""
        unit = self.workflow.units[task]
        assert isinstance(unit, Task), "it was added as one"
        with told():
            before = self._phased.units(ticket_in(context, self.prefix))
            as_of = options_in(context, self.whole).as_of
            place = assembly.located(self.site.settings, self.site.location)
            run = TaskRun(self.workflow.name, as_of, place, self._returned(before, task))
            started = dt.datetime.now(dt.UTC)
            tries = context["ti"].try_number
            told_before = {"attempts": tries, "retried": _retried(before.get(task), tries), "started_at": started}
            try:
                with self.attending(context):
                    done = carry_out(replace(unit, retries=0), run, goes_on=lambda: True)
            except BaseException as error:
                # Airflow ends what takes too long by an error of its own.
                failed = UnitRun(task, "task", "failed", error=describe(error))
                self.record(context, replace(failed, **told_before))
                raise
            done = replace(done, **told_before)
            self.record(context, done)
        if done.status == "failed":
            raise AirflowException(f"{task}: {done.error}")
        return done.value

    def end(self, **context: Any) -> None:
        """Close the run by what its steps did; fails where one of them failed."""
        with told():
            result = self._phased.end(self.workflow, ticket_in(context, self.prefix))
            why = "; ".join(result.problems) or None
            if self.within:
                ended = UnitRun(self.workflow.name, "workflow", "done" if result.ok else "failed", result.run)
                started = min((unit.started_at for unit in result.units.values() if unit.started_at), default=None)
                self.within.record(context, replace(ended, error=why, attempts=1, started_at=started))
        if not result.ok:
            raise AirflowFailException(f"Run {result.run} of {result.workflow} failed: {why}")

    def record(self, context: Context, unit: UnitRun) -> None:
        """Record what a step did that has just ended."""
        ended = dt.datetime.now(dt.UTC)
        self._phased.record(
            ticket_in(context, self.prefix), replace(unit, started_at=unit.started_at or ended, ended_at=ended)
        )

    @contextmanager
    def attending(self, context: Context) -> Iterator[None]:
        """Have the lease of this workflow, and of those that it is in, renewed while a step is done."""
        with ExitStack() as leases:
            around: WorkflowTasks | None = self
            while around is not None:
                leases.enter_context(around._phased.attending(ticket_in(context, around.prefix)))
                around = around.within
            yield

    def give_up(self, context: Context) -> None:
        """Close a run that its DAG run has left open, so that the next need not wait."""
        with told():
            if (ticket := self._phased.begun(self.workflow, origin_in(context, self.prefix))) is not None:
                self._phased.abandon(ticket, why_given_up(context))

    @property
    def _phased(self) -> PhasedApart:
        settings, location = self.site.settings, self.site.location
        return PhasedApart(assembly.warehouse(settings, location, create=True), settings)

    def _returned(self, before: Mapping[str, UnitRun], task: str) -> dict[str, Any]:
        """Return what the tasks of the phases before a task's own returned."""
        found: dict[str, Any] = {}
        for units in self.workflow.phases.values():
            names = [unit.name for unit in units]
            if task in names:
                break
            found |= {name: before[name].value for name in names if name in before and before[name].kind == "task"}
        return found


def _retried(before: UnitRun | None, tries: int) -> tuple[str, ...]:
    """Return the errors of the attempts before, of which the last is what was recorded."""
    if before is None or before.status != "failed" or tries == 1:
        return ()
    return (*before.retried, str(before.error))
