"""The steps of a run, side by side in threads, each as soon as what it reads has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from graphlib import TopologicalSorter

from assay.model.dbt import DBT
from assay.model.event import NodeEnded, NodeKind, NodeStarted, Observer
from assay.model.run import NodeRun
from assay.runtime.execute import blocked, execute, skipped
from assay.runtime.planning.databases import reads_database
from assay.runtime.work import Work


def run_steps(work: Work, nodes: dict[str, NodeRun], kept: Mapping[str, NodeRun], tell: Observer) -> None:
    """Run sources, views and tables, each as soon as what it reads has ended, and fill in what they did."""
    reads: dict[str, set[str]] = {name: _ahead(work, name) for name in work.plan.sources}
    for name in work.plan.steps.keys() - reads.keys():
        reads[name] = {read for read in work.pipeline.reads_of(name) if read in work.plan.steps}
    sorter = TopologicalSorter(reads)
    sorter.prepare()
    with _pools(work) as (computing, reading, ahead):
        running: dict[Future[NodeRun], str] = {}
        try:
            while sorter.is_active():
                for name in sorted(sorter.get_ready(), key=list(work.plan.steps).index):
                    if name in nodes:
                        # It was read along with the first of its database, or built along with other models.
                        sorter.done(name)
                    elif (settled := kept.get(name) or _settled(work, name, reads[name], nodes)) is not None:
                        _end(work, settled, nodes, tell, ahead)
                        sorter.done(name)
                    else:
                        pool = reading if reads_database(work.pipeline, name) else computing
                        running[pool.submit(_observed, work, name, tell)] = name
                if running:
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        _end(work, future.result(), nodes, tell, ahead)
                        sorter.done(running.pop(future))
        except BaseException:
            for pool in (computing, reading, ahead):
                pool.shutdown(wait=False, cancel_futures=True)
            work.engine.interrupt()
            raise


@contextmanager
def _pools(work: Work) -> Iterator[tuple[ThreadPoolExecutor, ThreadPoolExecutor, ThreadPoolExecutor]]:
    """Open threads for steps that compute, for those that read a database and then compute, and to prepare ahead."""
    workers, limit = work.settings.worker_count, work.settings.database_limit
    with (
        closing(work.lanes.connections),
        ThreadPoolExecutor(workers, thread_name_prefix="assay") as computing,
        # As many as may read, as many whose rows wait to be computed on, and those that do that: a bound on the files.
        ThreadPoolExecutor(limit + limit + workers, thread_name_prefix="assay-read") as reading,
        ThreadPoolExecutor(1, thread_name_prefix="assay-ahead") as ahead,
    ):
        yield computing, reading, ahead


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
    with _lane(work, name):
        tell(NodeStarted(work.pipeline.name, work.handle.id, name, _kind(work, name)))
        return execute(work, name)


def _lane(work: Work, name: str) -> AbstractContextManager[None]:
    """Wait for a place in the lane that a step begins in; what reads several tables has one for each of them."""
    if not reads_database(work.pipeline, name):
        return work.lanes.computing()
    return work.lanes.reading() if len(work.pipeline.together(name)) == 1 else nullcontext()


def _end(work: Work, node: NodeRun, nodes: dict[str, NodeRun], tell: Observer, ahead: ThreadPoolExecutor) -> None:
    for done in (*node.along, node):
        nodes[done.name] = done
        if done.status == "computed":
            work.warehouse.warm_up()
        if done.status == "written":
            # What is wrong there is told when the run prepares to publish, for which it is still wrong.
            ahead.submit(work.warehouse.prepare_ahead, work.handle.id, [work.dataset(done.name)], work.plan.state)
        tell(NodeEnded(work.pipeline.name, work.handle.id, done, _kind(work, done.name)))


def _kind(work: Work, name: str) -> NodeKind:
    if name in work.pipeline.sources:
        return "table" if name in work.pipeline.mirrors else "source"
    if name in work.pipeline.models:
        return "table" if work.pipeline.models[name].has_rows else "view"
    return "view" if name in work.pipeline.views or name == DBT else "table"
