"""What a part of a run knows of the others: the record of the run, and its work as it was planned."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from assay.model.data import dataset_of_definitions
from assay.model.dbt import DBT
from assay.model.errors import RunError, UsageError
from assay.model.past import RecordedRun
from assay.model.pipeline import Pipeline
from assay.model.ports import Engine, Warehouse
from assay.model.run import DONE, NodeRun, RunResult, RunState
from assay.orchestrators.frames import read_frames
from assay.orchestrators.records import failing_with, record_of
from assay.orchestrators.ticket import Ticket
from assay.runtime.execute import blocked, skipped
from assay.runtime.planning.learning import learn
from assay.runtime.planning.modelling import with_models
from assay.runtime.planning.record import from_record, published, to_record
from assay.runtime.planning.shape import shapes
from assay.runtime.planning.steps import left_to_tables
from assay.runtime.resume import resumable, resumption
from assay.runtime.tracing.trace import Traced
from assay.runtime.work import Work
from assay.settings import Settings

_Known = tuple[Pipeline, Mapping[str, Traced]]


@dataclass(frozen=True, slots=True)
class Recalling:
    """What recalls runs that others began, from what they recorded."""

    engine: Engine
    warehouse: Warehouse
    settings: Settings
    _works: dict[tuple[int, int], Work] = field(default_factory=dict)
    """Runs that were recalled, by number and token: tracing a pipeline takes longer than a small step."""

    def reopen(self, pipeline: Pipeline, recorded: RecordedRun) -> None:
        """Open a failed run again, with what of it still stands, for whoever does its steps.

        Raises UsageError where it cannot be gone on with, LeaseError where another run is at work.
        """
        run = resumable(pipeline, recorded)
        known, traced = self._learned(pipeline, run)
        state, staged = self.warehouse.state(), self.warehouse.manifests(run.id)
        found = resumption(run, known, traced, state, staged, self.warehouse, self.settings)
        self.warehouse.make_room(shapes(known, traced))
        handle = self.warehouse.reopen(known.name, run.id, found.datasets, forget=found.to_do, patience=0)
        origin = {"origin": run.plan.get("origin", "")}
        with failing_with(self.warehouse, handle, known.name):
            self.warehouse.record_plan(handle, to_record(known, found.plan, traced) | origin)
            work = Work(known, traced, found.plan, handle, self.engine, self.warehouse, self.settings)
            read_frames(work, found.kept)
            self.warehouse.hand_over(handle)

    def work(self, pipeline: Pipeline, recorded: RecordedRun) -> Work:
        """Return the work of a run as it was planned; its steps are not tried again, but for those who ask for them.

        Raises LeaseError where another run has taken it over, RunError where what it reads has been published since,
        UsageError where a function is not what it was.
        """
        handle = self.warehouse.held(pipeline.name, recorded.id)
        if (known := self._works.get((handle.id, handle.token))) is not None:
            return known
        pipeline, traced = self._learned(pipeline, recorded)
        state = self.warehouse.state()
        if published(pipeline, state) != recorded.plan["published"]:
            raise RunError(f"Run {recorded.id}: what it reads was published by another run since it was planned.")
        for name, mark in recorded.plan["fingerprints"].items():
            if name not in traced or traced[name].fingerprint != mark:
                raise UsageError(f"Run {recorded.id}: {name} is not here what it was where the run began.")
        plan = from_record(recorded.plan, pipeline, traced, state)
        settings = replace(self.settings, retries=0)
        work = Work(pipeline, traced, plan, handle, self.engine, self.warehouse, settings)
        return self._works.setdefault((handle.id, handle.token), work)

    def told(self, pipeline: Pipeline, ticket: Ticket, state: RunState) -> RunResult:
        """Return the result of a run that has ended, as it is recorded."""
        recorded = record_of(self.warehouse, ticket)
        known = with_models(pipeline, self.warehouse, self.settings)
        nodes = {name: NodeRun.from_json(name, body) for name, body in recorded.nodes.items()}
        tables = {name: nodes[name] for name in known.published if name in nodes}
        as_of = dt.date.fromisoformat(recorded.plan["as_of"])
        return RunResult(ticket.run, pipeline.name, state, as_of, nodes, tables, 0.0, recorded.problems)

    def _learned(self, pipeline: Pipeline, recorded: RecordedRun) -> _Known:
        """Return a pipeline as the run reads it, with what is known of its steps."""
        paths = {name: path for name, path in recorded.plan["paths"].items() if path}
        return learn(pipeline.reading(paths), self.engine, self.warehouse, self.settings)


def done_already(work: Work, recorded: RecordedRun, name: str) -> NodeRun | None:
    """Return what a step did before, in whatever process, if what it staged is there."""
    body = recorded.nodes.get(name)
    if body is None or body["status"] not in DONE:
        return None
    dataset = dataset_of_definitions(work.pipeline.name) if name == DBT else work.dataset(name)
    staged = work.warehouse.manifests(work.handle.id, [dataset])
    return NodeRun.from_json(name, body) if staged else None


def check_reads(work: Work, recorded: RecordedRun, name: str) -> None:
    """Raise RunError where a step reads what this run has yet to do, or to do again."""
    reads = list(work.pipeline.reads_of(name))
    for read in reads:
        if read in work.pipeline.views:
            # It is computed by the tables that need it, from what it reads itself.
            reads += [each for each in work.pipeline.reads_of(read) if each not in reads]
        elif work.plan.steps[read].action != "skip" and recorded.nodes.get(read, {}).get("status") not in DONE:
            raise RunError(f"{name} reads {read}, which is to be done first, or done again: clear its task too.")


def nodes_of(work: Work, recorded: RecordedRun) -> dict[str, NodeRun]:
    """Return what each step did, by the record of the run, and why some did nothing."""
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
            nodes[name] = left_to_tables(name)
        else:
            nodes[name] = NodeRun(name, "failed", step.reason, error="it was not done")
    return nodes


def _stops(node: NodeRun | None) -> bool:
    return node is not None and node.status in ("failed", "blocked")
