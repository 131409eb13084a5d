"""The embedded orchestrator: a whole run in this process, tables side by side in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from types import MappingProxyType

from assay.model.errors import ConflictError, LeaseError, describe
from assay.model.event import Event, NodeEnded, NodeKind, NodeStarted, Observer, RunEnded, RunStarted
from assay.model.fate import BadLine, Rejected, Whereabouts
from assay.model.pipeline import Pipeline
from assay.model.ports import Engine, Warehouse
from assay.model.run import NodeRun, RunOptions, RunResult, RunState
from assay.orchestrators.heartbeat import heartbeat
from assay.runtime.execute import blocked, execute, skipped
from assay.runtime.fate import Follower
from assay.runtime.functions import Functions
from assay.runtime.gate import judge
from assay.runtime.memory import peak_memory
from assay.runtime.plan import Plan, make_plan
from assay.runtime.publish import publish
from assay.runtime.record import to_record
from assay.runtime.replay import SortedLines, sort_mended
from assay.runtime.resume import resumable, resumption
from assay.runtime.room import shapes
from assay.runtime.sought import Sought
from assay.runtime.trace import Traced, trace
from assay.runtime.where import whereabouts
from assay.runtime.work import Work
from assay.settings import Settings
from assay.sources.mendable import StandingLine

_REPLANS = 3
"""How often a run starts over when others publish what it reads."""
_AT_ONCE_SECONDS = 1.0
"""How long it may take to begin, before the plan is made again: making it reads every new file."""
_NOTHING: Mapping[str, NodeRun] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Embedded:
    """What runs pipelines in this process."""

    engine: Engine
    warehouse: Warehouse
    settings: Settings
    observers: tuple[Observer, ...] = ()

    def plan(self, pipeline: Pipeline, options: RunOptions) -> Plan:
        """Return what a run would do, and why; changes nothing."""
        return self._plan(pipeline, trace(pipeline, self.engine), options)

    def run(self, pipeline: Pipeline, options: RunOptions) -> RunResult:
        """Run a pipeline and publish all of it, or nothing.

        Raises UsageError for what is wrong before any table is computed, LeaseError where another run is at work.
        """
        began = time.monotonic()
        traced = trace(pipeline, self.engine)
        for left in reversed(range(_REPLANS)):
            plan = self._plan(pipeline, traced, options)
            if plan.nothing_to_do:
                self._tell(RunStarted(pipeline.name, None, options.as_of, len(plan.steps)))
                return self._ended(_nothing_done(pipeline, plan, began))
            if plan.surely_changes:
                self.warehouse.warm_up()
            self.warehouse.make_room(shapes(pipeline, traced))
            asked = time.monotonic()
            handle = self.warehouse.begin(pipeline.name, plan.to_json(), patience=self._patience)
            work = Work(pipeline, traced, plan, handle, self.engine, self.warehouse, self.settings)
            try:
                return self._begun(work, began, partial(self._current, work, asked))
            except ConflictError:
                if not left:
                    raise
        raise AssertionError("the last conflict is raised")

    def resume(self, pipeline: Pipeline) -> RunResult:
        """Go on with a pipeline's newest run, which failed: compute what failed and what follows, and publish all.

        Raises UsageError where there is no such run, or where what it staged does not belong to what there is now.
        """
        began = time.monotonic()
        run = resumable(pipeline, self.warehouse.newest(pipeline.name))
        pipeline = pipeline.reading({name: path for name, path in run.plan["paths"].items() if path})
        traced = trace(pipeline, self.engine)
        state, staged = self.warehouse.state(), self.warehouse.manifests(run.id)
        found = resumption(run, pipeline, traced, state, staged, self.warehouse, self.settings)
        self.warehouse.make_room(shapes(pipeline, traced))
        handle = self.warehouse.reopen(pipeline.name, run.id, found.datasets, patience=self._patience)
        work = Work(pipeline, traced, found.plan, handle, self.engine, self.warehouse, self.settings)
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
        values = Sought.parse(sought)
        traced, state = trace(pipeline, self.engine), self.warehouse.state()
        with self.engine.session() as session:
            follower = Follower(Functions(pipeline, traced, state, self.warehouse, session), values, rejected)
            return whereabouts(follower, bad_lines, limit)

    @property
    def _patience(self) -> float:
        return self.settings.busy_seconds if self.settings.when_busy == "wait" else 0.0

    def _plan(self, pipeline: Pipeline, traced: Mapping[str, Traced], options: RunOptions) -> Plan:
        return make_plan(pipeline, traced, self.warehouse.state(), options, Path(self.settings.folder))

    def _current(self, work: Work, asked: float) -> Plan:
        """Return the plan, made anew where others may have published, and files come, while the run waited."""
        if time.monotonic() - asked > _AT_ONCE_SECONDS or self.warehouse.state() != work.plan.state:
            return self._plan(work.pipeline, work.traced, work.plan.options)
        return work.plan

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
            _run_nodes(work, nodes, kept, self._tell)
            judged, problems = judge(work, nodes)
            nodes |= judged
            if problems:
                result = _result(work, nodes, "failed", began, problems)
                self.warehouse.close_run(work.handle, result)
            else:
                result = publish(work, _result(work, nodes, "staged", began))
                work.warehouse.discard(work.handle.id)
                # Publishing takes its time too, where rows are copied.
                result = replace(result, seconds=time.monotonic() - began)
        return self._ended(result)

    def _abandon(self, work: Work, nodes: dict[str, NodeRun], error: BaseException, began: float) -> RunResult | None:
        """Close a run that ends by an error, so that the next need not wait for its lease to run out.

        Returns its result where the publish had landed when it was interrupted, or its answer lost.
        """
        why = "it was interrupted" if isinstance(error, KeyboardInterrupt) else describe(error)
        failed = _result(work, nodes, "failed", began, (why,))
        try:
            work.warehouse.close_run(work.handle, failed)
        except LeaseError:
            # The run has ended already, or another has taken it over and marked it failed.
            if (state := self.warehouse.outcome(work.handle.id)) in ("published", "unchanged"):
                return self._ended(_result(work, nodes, state, began))
        self._ended(failed)
        return None

    def _tell(self, event: Event) -> None:
        for observer in self.observers:
            observer(event)

    def _ended(self, result: RunResult) -> RunResult:
        self._tell(RunEnded(result))
        return result


def _run_nodes(work: Work, nodes: dict[str, NodeRun], kept: Mapping[str, NodeRun], tell: Observer) -> None:
    """Run sources, views and tables, each as soon as what it reads has ended, and fill in what they did."""
    reads: dict[str, set[str]] = {name: _ahead(work, name) for name in work.plan.sources}
    for name, node in work.pipeline.nodes.items():
        reads[name] = {read for read in node.upstream if read in work.plan.steps}
    sorter = TopologicalSorter(reads)
    sorter.prepare()
    with ThreadPoolExecutor(work.settings.worker_count, thread_name_prefix="assay") as pool:
        running: dict[Future[NodeRun], str] = {}
        try:
            while sorter.is_active():
                for name in sorted(sorter.get_ready(), key=list(work.plan.steps).index):
                    if name in nodes and name in work.plan.sources:
                        # It was read along with the first of its database.
                        sorter.done(name)
                    elif (settled := kept.get(name) or _settled(work, name, reads[name], nodes)) is not None:
                        _end(work, settled, nodes, tell)
                        sorter.done(name)
                    else:
                        running[pool.submit(_observed, work, name, tell)] = name
                if running:
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        _end(work, future.result(), nodes, tell)
                        sorter.done(running.pop(future))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            work.engine.interrupt()
            raise


def _ahead(work: Work, source: str) -> set[str]:
    """Return the source that brings another along, as they are read in one snapshot: the first of its database."""
    first = next(name for name in work.pipeline.together(source) if name in work.plan.sources)
    return {first} - {source}


def _settled(work: Work, name: str, reads: set[str], nodes: Mapping[str, NodeRun]) -> NodeRun | None:
    """Return the record of a node that need not run."""
    if work.plan.steps[name].action == "skip":
        return skipped(work.pipeline, work.plan, name)
    for read in reads:
        if nodes[read].status == "failed":
            return blocked(work, name, read)
        if nodes[read].status == "blocked":
            return blocked(work, name, nodes[read].reason.removesuffix(" failed"))
    return None


def _observed(work: Work, name: str, tell: Observer) -> NodeRun:
    tell(NodeStarted(work.pipeline.name, work.handle.id, name, _kind(work, name)))
    return execute(work, name)


def _end(work: Work, node: NodeRun, nodes: dict[str, NodeRun], tell: Observer) -> None:
    for done in (*node.along, node):
        nodes[done.name] = done
        if done.status in ("written", "computed"):
            work.warehouse.warm_up()
        tell(NodeEnded(work.pipeline.name, work.handle.id, done, _kind(work, done.name)))


def _kind(work: Work, name: str) -> NodeKind:
    if name in work.pipeline.sources:
        return "table" if name in work.pipeline.mirrors else "source"
    return "view" if name in work.pipeline.views else "table"


def _result(
    work: Work, nodes: Mapping[str, NodeRun], state: RunState, began: float, problems: tuple[str, ...] = ()
) -> RunResult:
    return RunResult(
        run=work.handle.id,
        pipeline=work.pipeline.name,
        state=state,
        as_of=work.plan.options.as_of,
        nodes={name: nodes[name] for name in work.plan.steps if name in nodes},
        tables={name: nodes[name] for name in (*work.pipeline.mirrors, *work.pipeline.tables) if name in nodes},
        seconds=time.monotonic() - began,
        problems=problems,
        peak_memory_bytes=peak_memory(),
    )


def _nothing_done(pipeline: Pipeline, plan: Plan, began: float) -> RunResult:
    nodes = {name: skipped(pipeline, plan, name) for name in plan.steps}
    return RunResult(
        run=None,
        pipeline=pipeline.name,
        state="unchanged",
        as_of=plan.options.as_of,
        nodes=nodes,
        tables={name: nodes[name] for name in (*pipeline.mirrors, *pipeline.tables) if name in nodes},
        seconds=time.monotonic() - began,
        peak_memory_bytes=peak_memory(),
    )
