"""A run in parts, each in whatever process an orchestrator starts: it begins, its steps are done, it ends.

Nothing passes between them but a ticket: what one part did, the next reads in the warehouse.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from assay.model.errors import LeaseError, RunError, UsageError, describe
from assay.model.past import RecordedRun
from assay.model.pipeline import Pipeline
from assay.model.ports import Engine, Warehouse
from assay.model.run import NodeRun, RunHandle, RunOptions, RunResult, RunState
from assay.orchestrators.heartbeat import heartbeat
from assay.orchestrators.results import nothing_done, result_of
from assay.runtime.execute import blocked, execute, skipped
from assay.runtime.gate import judge
from assay.runtime.learning import learn
from assay.runtime.modelling import with_models
from assay.runtime.plan import make_plan
from assay.runtime.publish import publish
from assay.runtime.record import from_record, published, to_record
from assay.runtime.room import shapes
from assay.runtime.work import Work
from assay.settings import Settings

_MOST = 10**9
"""Attempts are told apart by chance: two processes may do one step at once, each unaware of the other."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the parts of a run hand on to each other, as plain data; without a number where there was nothing to do."""

    pipeline: str
    run: int | None
    token: int = 0
    started_at: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as an orchestrator carries it."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Ticket:
        """Rebuild it from `to_json`."""
        return cls(**body)

    @property
    def handle(self) -> RunHandle:
        """The run as the warehouse knows it."""
        assert self.run is not None, "there is a run"
        return RunHandle(self.run, self.token, dt.datetime.fromisoformat(self.started_at))


@dataclass(frozen=True, slots=True)
class Apart:
    """What does one part of a run in this process."""

    engine: Engine
    warehouse: Warehouse
    settings: Settings

    def begin(self, pipeline: Pipeline, options: RunOptions) -> Ticket:
        """Plan a run and take the pipeline's lease for it, which from then on belongs to no process.

        Raises UsageError for what is wrong before any table is computed, LeaseError where another run is at work.
        """
        pipeline, traced = learn(pipeline, self.engine, self.warehouse, self.settings)
        folder = Path(self.settings.folder)
        plan = make_plan(pipeline, traced, self.warehouse.state(), options, folder)
        if plan.nothing_to_do:
            return Ticket(pipeline.name, None)
        self.warehouse.make_room(shapes(pipeline, traced))
        patience = self.settings.busy_seconds if self.settings.when_busy == "wait" else 0.0
        handle = self.warehouse.begin(pipeline.name, plan.to_json(), patience=patience)
        # Others may have published while it waited.
        plan = make_plan(pipeline, traced, self.warehouse.state(), options, folder)
        self.warehouse.record_plan(handle, to_record(pipeline, plan, traced))
        self.warehouse.hand_over(handle)
        return Ticket(pipeline.name, handle.id, handle.token, handle.started_at.isoformat())

    def do(self, pipeline: Pipeline, ticket: Ticket, name: str) -> NodeRun:
        """Do one step, once: an orchestrator has retries of its own.

        Raises LeaseError where another run has taken this one over, UsageError where the world has moved meanwhile.
        """
        if ticket.run is None:
            return NodeRun(name, "unchanged", "there is nothing to do", attempts=0)
        work = self._work(pipeline, ticket)
        if name not in work.plan.steps:
            return NodeRun(name, "skipped", "the run has nothing to do with it", attempts=0)
        try:
            with heartbeat(work):
                return execute(work, name, attempt=1 + secrets.randbelow(_MOST))
        except UsageError as error:
            # It ends the run, and the part that ends it must know why.
            reason = work.plan.steps[name].reason
            self.warehouse.record_node(work.handle, NodeRun(name, "failed", reason, error=describe(error)))
            raise
        finally:
            self.warehouse.hand_over(work.handle)

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
        if (state := self.warehouse.outcome(ticket.handle.id)) != "staged":
            return self._told(pipeline, ticket, state)
        work = self._work(pipeline, ticket)
        nodes = self._nodes(work, ticket)
        with heartbeat(work):
            judged, problems = judge(work, nodes)
            nodes |= judged
            if problems:
                result = result_of(work, nodes, "failed", began, problems)
                self.warehouse.close_run(work.handle, result)
                return result
            result = publish(work, result_of(work, nodes, "staged", began))
            self.warehouse.discard(work.handle.id)
            return result

    def abandon(self, ticket: Ticket, why: str) -> None:
        """Close a run that is given up, so that the next need not wait; one that has ended stays as it is."""
        if ticket.run is None:
            return
        try:
            self.warehouse.close_run(ticket.handle, RunResult.failed(ticket.handle.id, ticket.pipeline, why))
        except LeaseError:
            return

    def _recorded(self, ticket: Ticket) -> RecordedRun:
        recorded = self.warehouse.newest(ticket.pipeline)
        if recorded is None or recorded.id != ticket.run:
            raise LeaseError(f"Run {ticket.run} of {ticket.pipeline} was followed by another; it publishes nothing.")
        return recorded

    def _told(self, pipeline: Pipeline, ticket: Ticket, state: RunState) -> RunResult:
        """Return the result of a run that has ended, as it is recorded."""
        recorded = self._recorded(ticket)
        known = with_models(pipeline, self.warehouse, self.settings)
        nodes = {name: NodeRun.from_json(name, body) for name, body in recorded.nodes.items()}
        tables = {name: nodes[name] for name in known.published if name in nodes}
        as_of = dt.date.fromisoformat(recorded.plan["as_of"])
        return RunResult(ticket.run, pipeline.name, state, as_of, nodes, tables, 0.0, recorded.problems)

    def _work(self, pipeline: Pipeline, ticket: Ticket) -> Work:
        recorded = self._recorded(ticket)
        paths = {name: path for name, path in recorded.plan["paths"].items() if path}
        pipeline, traced = learn(pipeline.reading(paths), self.engine, self.warehouse, self.settings)
        state = self.warehouse.state()
        if published(pipeline, state) != recorded.plan["published"]:
            raise RunError(f"Run {ticket.run}: what it reads was published by another run since it was planned.")
        for name, mark in recorded.plan["fingerprints"].items():
            if name not in traced or traced[name].fingerprint != mark:
                raise UsageError(f"Run {ticket.run}: {name} is not here what it was where the run began.")
        plan = from_record(recorded.plan, pipeline, traced, state)
        settings = replace(self.settings, retries=0)
        return Work(pipeline, traced, plan, ticket.handle, self.engine, self.warehouse, settings)

    def _nodes(self, work: Work, ticket: Ticket) -> dict[str, NodeRun]:
        """Return what each step did, by the record of the run, and why some did nothing."""
        recorded = self._recorded(ticket)
        nodes: dict[str, NodeRun] = {}
        for name, step in work.plan.steps.items():
            stopped = [read for read in work.pipeline.reads_of(name) if _stops(nodes.get(read))]
            if name in recorded.nodes:
                nodes[name] = NodeRun.from_json(name, recorded.nodes[name])
            elif step.action == "skip":
                nodes[name] = skipped(work.pipeline, work.plan, name)
            elif stopped:
                nodes[name] = blocked(work, name, stopped[0])
            elif name in work.pipeline.views:
                nodes[name] = NodeRun(name, "skipped", "computed by the first table that needs it")
            else:
                nodes[name] = NodeRun(name, "failed", step.reason, error="it was not done")
        return nodes


def _stops(node: NodeRun | None) -> bool:
    return node is not None and node.status in ("failed", "blocked")
