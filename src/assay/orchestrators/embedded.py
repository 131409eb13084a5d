"""The embedded orchestrator: a whole run in this process, tables side by side in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from assay.model.errors import ConflictError, LeaseError, describe
from assay.model.event import Event, Observer, RunEnded, RunStarted
from assay.model.fate import BadLine, Rejected, Whereabouts
from assay.model.pipeline import Pipeline
from assay.model.ports import Engine, Warehouse
from assay.model.run import NodeRun, RunOptions, RunResult
from assay.orchestrators.heartbeat import heartbeat
from assay.orchestrators.planning import current_plan
from assay.orchestrators.results import nothing_done, result_of, settled
from assay.orchestrators.stepping import run_steps
from assay.runtime.extracting.replay import SortedLines, sort_mended
from assay.runtime.lanes import Lanes
from assay.runtime.looking.fate import Follower
from assay.runtime.looking.functions import Functions
from assay.runtime.looking.sought import Sought
from assay.runtime.looking.where import whereabouts
from assay.runtime.planning.databases import load_driver, reads_database
from assay.runtime.planning.learning import learn
from assay.runtime.planning.plan import Plan, make_plan
from assay.runtime.planning.record import to_record
from assay.runtime.planning.shape import shapes
from assay.runtime.resume import resumable, resumption
from assay.runtime.tracing.trace import Traced, trace
from assay.runtime.work import Work
from assay.settings import Settings
from assay.sources.mendable import StandingLine

_REPLANS = 3
"""How often a run starts over when others publish what it reads."""
_NOTHING: Mapping[str, NodeRun] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Embedded:
    """What runs pipelines in this process."""

    engine: Engine
    warehouse: Warehouse
    settings: Settings
    lanes: Lanes
    observers: tuple[Observer, ...] = ()

    def plan(self, pipeline: Pipeline, options: RunOptions) -> Plan:
        """Return what a run would do, and why; changes nothing."""
        return self._plan(*self._learn(pipeline), options)

    def run(self, pipeline: Pipeline, options: RunOptions) -> RunResult:
        """Run a pipeline and publish all of it, or nothing.

        Raises UsageError for what is wrong before any table is computed, LeaseError where another run is at work.
        """
        load_driver(pipeline)
        began = time.monotonic()
        pipeline, traced = self._learn(pipeline)
        for left in reversed(range(_REPLANS)):
            plan = self._plan(pipeline, traced, options)
            if plan.nothing_to_do:
                self._tell(RunStarted(pipeline.name, None, options.as_of, len(plan.steps)))
                return self._ended(nothing_done(pipeline, plan, began))
            # Whoever waits for a database is warmed up meanwhile.
            if plan.surely_changes and not any(reads_database(pipeline, name) for name in plan.sources):
                self.warehouse.warm_up()
            self.warehouse.make_room(shapes(pipeline, traced))
            asked = time.monotonic()
            handle = self.warehouse.begin(pipeline.name, plan.to_json(), patience=self.settings.patience)
            work = Work(pipeline, traced, plan, handle, self.engine, self.warehouse, self.settings, self.lanes)
            try:
                return self._begun(work, began, partial(current_plan, work, asked))
            except ConflictError:
                if not left:
                    raise
        raise AssertionError("the last conflict is raised")

    def resume(self, pipeline: Pipeline) -> RunResult:
        """Go on with a pipeline's newest run, which failed: compute what failed and what follows, and publish all.

        Raises UsageError where there is no such run, or where what it staged does not belong to what there is now.
        """
        load_driver(pipeline)
        began = time.monotonic()
        run = resumable(pipeline, self.warehouse.newest(pipeline.name))
        pipeline, traced = self._learn(pipeline.reading({n: path for n, path in run.plan["paths"].items() if path}))
        state, staged = self.warehouse.state(), self.warehouse.manifests(run.id)
        found = resumption(run, pipeline, traced, state, staged, self.warehouse, self.settings)
        self.warehouse.make_room(shapes(pipeline, traced))
        patience = self.settings.patience
        handle = self.warehouse.reopen(pipeline.name, run.id, found.datasets, forget=found.to_do, patience=patience)
        work = Work(pipeline, traced, found.plan, handle, self.engine, self.warehouse, self.settings, self.lanes)
        return self._begun(work, began, lambda: found.plan, found.kept)

    def replay(
        self, pipeline: Pipeline, source: str, file: Path, standing: Sequence[StandingLine], options: RunOptions
    ) -> tuple[RunResult | None, SortedLines]:
        """Load the lines of a mended file that fit; None where there are none to load.

        Raises UsageError for a file that mends other lines than those that stand.
        """
        with self.engine.session() as session:
            found = sort_mended(pipeline, source, file, standing, self.warehouse.state(), session, self.warehouse)
        if not found.to_load:
            return None, found
        return self.run(pipeline, replace(options, mended=found.to_load)), found

    def where(
        self,
        pipeline: Pipeline,
        sought: Sequence[str],
        rejected: Sequence[Rejected],
        bad_lines: Sequence[BadLine],
        limit: int,
    ) -> Whereabouts:
        """Tell the fate of the rows that are looked for, as VALUE or COLUMN=VALUE."""
        traced, state = trace(pipeline, self.engine), self.warehouse.state()
        with self.engine.session() as session:
            functions = Functions(pipeline, traced, state, self.warehouse, session)
            return whereabouts(Follower(functions, Sought.parse(sought), rejected), bad_lines, limit)

    def _learn(self, pipeline: Pipeline) -> tuple[Pipeline, Mapping[str, Traced]]:
        return learn(pipeline, self.engine, self.warehouse, self.settings)

    def _plan(self, pipeline: Pipeline, traced: Mapping[str, Traced], options: RunOptions) -> Plan:
        return make_plan(pipeline, traced, self.warehouse.state(), options, Path(self.settings.folder))

    def _begun(
        self, work: Work, began: float, current: Callable[[], Plan], kept: Mapping[str, NodeRun] = _NOTHING
    ) -> RunResult:
        """Carry out a run that has its lease; however it ends, the next need not wait for that."""
        nodes: dict[str, NodeRun] = {}
        plan = work.plan
        try:
            self._tell(RunStarted(work.pipeline.name, work.handle.id, plan.options.as_of, len(plan.steps)))
            work = replace(work, plan=current())
            # If this ends early, a resume goes on from here: with what was mended and planned since the run began.
            self.warehouse.record_plan(work.handle, to_record(work.pipeline, work.plan, work.traced))
            return self._carry_out(work, nodes, began, kept)
        except BaseException as error:
            if (ended := self._abandon(work, nodes, error, began)) is not None:
                return ended
            raise

    def _carry_out(self, work: Work, nodes: dict[str, NodeRun], began: float, kept: Mapping[str, NodeRun]) -> RunResult:
        with heartbeat(work):
            run_steps(work, nodes, kept, self._tell)
            result = settled(work, nodes, began)
        return self._ended(result)

    def _abandon(self, work: Work, nodes: dict[str, NodeRun], error: BaseException, began: float) -> RunResult | None:
        """Close a run that ends by an error, so that the next need not wait for its lease to run out.

        Returns its result where the publish had landed when it was interrupted, or its answer lost.
        """
        why = "it was interrupted" if isinstance(error, KeyboardInterrupt) else describe(error)
        failed = result_of(work, nodes, "failed", began, (why,))
        try:
            work.warehouse.close_run(work.handle, failed)
        except LeaseError:
            # The run has ended already, or another has taken it over and marked it failed.
            if (state := self.warehouse.outcome(work.handle.id)) in ("published", "unchanged"):
                return self._ended(result_of(work, nodes, state, began))
        self._ended(failed)
        return None

    def _tell(self, event: Event) -> None:
        for observer in self.observers:
            observer(event)

    def _ended(self, result: RunResult) -> RunResult:
        self._tell(RunEnded(result))
        return result
