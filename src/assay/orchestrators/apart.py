"""A run in parts, each in whatever process an orchestrator starts: it begins, its steps are done, it ends.

Nothing passes between them but a ticket: what one part did, the next reads in the warehouse.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from assay.model.errors import LeaseError, UsageError, describe
from assay.model.past import RecordedRun
from assay.model.pipeline import Pipeline
from assay.model.ports import Engine, Warehouse
from assay.model.run import NodeRun, RunHandle, RunOptions, RunResult
from assay.orchestrators.frames import read_frames
from assay.orchestrators.heartbeat import Held, heartbeat
from assay.orchestrators.planning import current_plan
from assay.orchestrators.recalling import Recalling, check_reads, done_already, nodes_of
from assay.orchestrators.records import failing_with, opened, record_begun_for, record_of
from assay.orchestrators.results import nothing_done, settled
from assay.orchestrators.ticket import Ticket
from assay.runtime.execute import execute
from assay.runtime.planning.learning import learn
from assay.runtime.planning.plan import make_plan
from assay.runtime.planning.record import to_record
from assay.runtime.planning.shape import shapes
from assay.runtime.work import Work
from assay.settings import Settings

_MOST = 10**9
"""Attempts are told apart by chance: two processes may do one step at once, each unaware of the other."""


class Apart:
    """What does parts of runs in this process."""

    def __init__(self, engine: Engine, warehouse: Warehouse, settings: Settings, *, attended: bool = False) -> None:
        """Say whether one process attends to a run from its begin to its end, and has its lease for all others."""
        self.engine, self.warehouse, self.settings = engine, warehouse, settings
        self._attended = attended
        self._recalling = Recalling(engine, warehouse, settings)

    def begin(self, pipeline: Pipeline, options: RunOptions, origin: str = "") -> Ticket:
        """Plan a run and take the pipeline's lease for it.

        Where the newest run of the pipeline was begun for the same `origin`, that is gone on with: one that failed is
        opened again, what it staged and still stands is kept.
        Raises UsageError for what is wrong before any table is computed, LeaseError where another run is at work.
        """
        if origin and (again := self._again(pipeline, origin)) is not None:
            return again
        pipeline, traced = learn(pipeline, self.engine, self.warehouse, self.settings)
        folder = Path(self.settings.folder)
        plan = make_plan(pipeline, traced, self.warehouse.state(), options, folder)
        if plan.nothing_to_do:
            return Ticket(pipeline.name, None)
        self.warehouse.make_room(shapes(pipeline, traced))
        asked = time.monotonic()
        handle = self.warehouse.begin(pipeline.name, plan.to_json(), patience=self.settings.patience)
        work = Work(pipeline, traced, plan, handle, self.engine, self.warehouse, self.settings)
        with self._handing_over(handle), failing_with(self.warehouse, handle, pipeline.name):
            plan = current_plan(work, asked)
            self.warehouse.record_plan(handle, to_record(pipeline, plan, traced) | {"origin": origin})
            read_frames(replace(work, plan=plan))
        return Ticket(pipeline.name, handle.id, tuple(n for n, step in plan.steps.items() if step.action != "skip"))

    def do(self, pipeline: Pipeline, ticket: Ticket, name: str) -> NodeRun:
        """Do one step, once: an orchestrator has retries of its own. What was done already is told again.

        A run that failed is opened again. Raises LeaseError where another run has taken this one over, UsageError
        where the world has moved meanwhile.
        """
        if ticket.run is None:
            return NodeRun(name, "unchanged", "there is nothing to do", attempts=0)
        recorded = opened(self.warehouse, ticket, partial(self._recalling.reopen, pipeline))
        if recorded.state != "staged":
            return NodeRun(name, "skipped", f"the run is {recorded.state} already", attempts=0)
        work = self._recalling.work(pipeline, recorded)
        if name not in work.plan.steps:
            return NodeRun(name, "skipped", "the run has nothing to do with it", attempts=0)
        if (done := done_already(work, recorded, name)) is not None:
            return done
        check_reads(work, recorded, name)
        with self._handing_over(work.handle):
            try:
                with heartbeat(work):
                    return execute(work, name, attempt=1 + secrets.randbelow(_MOST))
            except UsageError as error:
                # It ends the run, and the part that ends it must know why.
                reason = work.plan.steps[name].reason
                self.warehouse.record_node(work.handle, NodeRun(name, "failed", reason, error=describe(error)))
                raise

    def done(self, ticket: Ticket) -> frozenset[str]:
        """Return the steps of a run that were done well so far."""
        nodes = record_of(self.warehouse, ticket).nodes
        return frozenset(name for name, body in nodes.items() if body["status"] not in ("failed", "blocked"))

    def end(self, pipeline: Pipeline, ticket: Ticket) -> RunResult:
        """Publish what the steps have staged, if all of them did and no check blocks; tell the result in any case.

        A run that has ended already is told again, and published no second time.
        """
        began = time.monotonic()
        if ticket.run is None:
            pipeline, traced = learn(pipeline, self.engine, self.warehouse, self.settings)
            options = RunOptions(dt.datetime.now(dt.UTC).date())
            plan = make_plan(pipeline, traced, self.warehouse.state(), options, Path(self.settings.folder))
            return nothing_done(pipeline, plan, began)
        if (state := self.warehouse.outcome(ticket.run)) != "staged":
            return self._recalling.told(pipeline, ticket, state)
        recorded = record_of(self.warehouse, ticket)
        work = self._recalling.work(pipeline, recorded)
        nodes = nodes_of(work, recorded)
        with heartbeat(work):
            return settled(work, nodes, began)

    def abandon(self, ticket: Ticket, why: str) -> None:
        """Close a run that is given up, so that the next need not wait; one that has ended stays as it is."""
        if ticket.run is None:
            return
        try:
            handle = self.warehouse.held(ticket.pipeline, ticket.run)
            self.warehouse.close_run(handle, RunResult.failed(handle.id, ticket.pipeline, why))
        except LeaseError:
            return

    @contextmanager
    def attending(self, ticket: Ticket) -> Iterator[None]:
        """Have a run's lease until the block ends, if it is under way; where that ends by an error, so does the run."""
        if ticket.run is None or self.warehouse.outcome(ticket.run) != "staged":
            yield
            return
        handle = self.warehouse.held(ticket.pipeline, ticket.run)
        with (
            failing_with(self.warehouse, handle, ticket.pipeline),
            heartbeat(Held(self.warehouse, handle, self.settings)),
        ):
            yield

    def begun(self, pipeline: Pipeline, origin: str) -> Ticket | None:
        """Return the ticket of the newest run, if it was begun for this origin."""
        recorded = record_begun_for(self.warehouse, pipeline.name, origin)
        return None if recorded is None else _ticket(pipeline, recorded)

    @contextmanager
    def _handing_over(self, handle: RunHandle) -> Iterator[None]:
        """Give a run out of hand when the block ends, unless this process attends to all of it."""
        try:
            yield
        except BaseException:
            # Why it ended is told, and not that another has it by now.
            with suppress(LeaseError):
                self._hand_over(handle)
            raise
        self._hand_over(handle)

    def _hand_over(self, handle: RunHandle) -> None:
        if not self._attended:
            self.warehouse.hand_over(handle)

    def _again(self, pipeline: Pipeline, origin: str) -> Ticket | None:
        """Return the ticket of the newest run, if it was begun for this origin, and can be gone on with."""
        if (recorded := record_begun_for(self.warehouse, pipeline.name, origin)) is None:
            return None
        if recorded.state == "failed":
            try:
                self._recalling.reopen(pipeline, recorded)
            except UsageError:
                # What it staged no longer fits what there is now, and none of it was published.
                return None
        if recorded.state in ("failed", "staged") and self._attended:
            self.warehouse.own(self.warehouse.held(pipeline.name, recorded.id))
        return _ticket(pipeline, recorded)


def _ticket(pipeline: Pipeline, recorded: RecordedRun) -> Ticket:
    steps = recorded.plan["steps"].items()
    return Ticket(pipeline.name, recorded.id, tuple(n for n, step in steps if step["action"] != "skip"))
