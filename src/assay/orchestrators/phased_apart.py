"""A workflow's run in parts, each in whatever process: it begins, its steps are recorded as they end, it ends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from assay.model.outcome import UnitRun, WorkflowResult
from assay.model.past import RecordedRun
from assay.model.ports import Warehouse
from assay.model.run import RunHandle, RunOptions, RunResult
from assay.model.workflow import Workflow
from assay.orchestrators.heartbeat import Held, heartbeat
from assay.orchestrators.phased import plan_of, result_of
from assay.orchestrators.records import opened, record_begun_for, record_of
from assay.orchestrators.ticket import Ticket
from assay.settings import Settings


@dataclass(frozen=True, slots=True)
class PhasedApart:
    """What does parts of workflows' runs in this process; who does their steps is another's business."""

    warehouse: Warehouse
    settings: Settings

    def begin(self, workflow: Workflow, options: RunOptions, origin: str) -> Ticket:
        """Take the workflow's lease for a run, or go on with the one that was begun for this origin.

        Raises LeaseError where another run of it is at work.
        """
        if (ticket := self.begun(workflow, origin)) is not None:
            self._open(ticket)
            return ticket
        self.warehouse.make_room(())
        plan = plan_of(workflow, options, origin)
        handle = self.warehouse.begin(workflow.name, plan, patience=self.settings.patience)
        self.warehouse.hand_over(handle)
        return Ticket(workflow.name, handle.id)

    def begun(self, workflow: Workflow, origin: str) -> Ticket | None:
        """Return the ticket of the newest run, if it was begun for this origin, and has the phases there are now."""
        newest = record_begun_for(self.warehouse, workflow.name, origin)
        if newest is None or newest.plan["phases"] != workflow.shape:
            return None
        return Ticket(workflow.name, newest.id)

    def units(self, ticket: Ticket) -> Mapping[str, UnitRun]:
        """Return what its steps did so far, by name."""
        return record_of(self.warehouse, ticket).units

    def record(self, ticket: Ticket, unit: UnitRun) -> None:
        """Record what a step did; of a run that has ended well nothing is recorded any more."""
        if (handle := self._open(ticket)) is not None:
            self.warehouse.record_unit(handle, unit)

    @contextmanager
    def attending(self, ticket: Ticket) -> Iterator[None]:
        """Have its lease renewed until the block ends, while one of its steps is done."""
        if (handle := self._open(ticket)) is None:
            yield
            return
        try:
            with heartbeat(Held(self.warehouse, handle, self.settings)):
                yield
        finally:
            self.warehouse.hand_over(handle)

    def end(self, workflow: Workflow, ticket: Ticket) -> WorkflowResult:
        """Close the run by what its steps did, and tell the result; one that has ended is told again."""
        recorded = record_of(self.warehouse, ticket)
        as_of = dt.date.fromisoformat(recorded.plan["as_of"])
        result = result_of(workflow, recorded.id, as_of, recorded.units, 0.0)
        if recorded.state == "staged":
            self.warehouse.close_run(self.warehouse.held(ticket.pipeline, recorded.id), result.as_run())
        return result

    def abandon(self, ticket: Ticket, why: str) -> None:
        """Close a run that is given up; one that has ended stays as it is."""
        recorded = record_of(self.warehouse, ticket)
        if recorded.state == "staged":
            handle = self.warehouse.held(ticket.pipeline, recorded.id)
            self.warehouse.close_run(handle, RunResult.failed(handle.id, ticket.pipeline, why))

    def _open(self, ticket: Ticket) -> RunHandle | None:
        """Return the handle of a run, opened again if it had failed; None where it has ended well."""
        recorded = opened(self.warehouse, ticket, partial(self._reopen, ticket.pipeline))
        return None if recorded.state == "done" else self.warehouse.held(ticket.pipeline, recorded.id)

    def _reopen(self, workflow: str, recorded: RecordedRun) -> None:
        self.warehouse.hand_over(self.warehouse.reopen(workflow, recorded.id, frozenset(), patience=0.0))
