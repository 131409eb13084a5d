"""Resuming: what a run that failed has staged and still stands, and what must be computed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from assay.model.data import (
    Manifest,
    dataset_of_definitions,
    dataset_of_keys,
    dataset_of_news,
    dataset_of_rejects,
    dataset_of_view,
)
from assay.model.dbt import DBT
from assay.model.errors import UsageError
from assay.model.past import RecordedRun
from assay.model.pipeline import Pipeline
from assay.model.ports import Warehouse
from assay.model.published import State
from assay.model.run import DONE, NodeRun
from assay.model.table import Table
from assay.runtime.planning.databases import plan_sources
from assay.runtime.planning.plan import Plan
from assay.runtime.planning.record import from_record, published
from assay.runtime.planning.steps import left_to_tables
from assay.runtime.publishing.gate import faults, stops
from assay.runtime.tracing.trace import Traced
from assay.settings import Settings


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a run goes on with."""

    pipeline: Pipeline
    """With the paths of its sources that the run was given."""
    plan: Plan
    kept: Mapping[str, NodeRun]
    """What stands of what it did, by name."""
    datasets: frozenset[str]
    """What stands of what it staged."""

    @property
    def to_do(self) -> frozenset[str]:
        """The steps of which nothing stands: what they recorded is true no longer."""
        return frozenset(self.plan.steps) - self.kept.keys()


def resumable(pipeline: Pipeline, run: RecordedRun | None) -> RecordedRun:
    """Return the newest run of a pipeline if it can be resumed; raises UsageError where it has nothing left to do."""
    if run is None:
        raise UsageError(f"{pipeline.name} has made no run here yet; there is nothing to resume.")
    if run.state not in ("failed", "staged"):
        raise UsageError(f"Run {run.id}, the newest of {pipeline.name}, is {run.state}; there is nothing to resume.")
    if not run.is_planned:
        raise UsageError(f"Run {run.id} has no plan: it failed, or is at work, before it. Run {pipeline.name} again.")
    if "paths" not in run.plan:
        raise UsageError(f"Run {run.id}, the newest called {pipeline.name}, is one of a workflow: resume that.")
    if missing := set(run.plan["paths"]) - set(pipeline.sources):
        raise _refused(run, f"{sorted(missing)[0]} is no source of {pipeline.name} any more")
    return run


def resumption(
    run: RecordedRun,
    pipeline: Pipeline,
    traced: Mapping[str, Traced],
    state: State,
    manifests: Mapping[str, Manifest],
    warehouse: Warehouse,
    settings: Settings,
) -> Resumption:
    """Return what the run goes on with; raises UsageError where going on would mix what does not belong together."""
    _check_same_world(run, pipeline, state)
    plan = from_record(run.plan, pipeline, traced, state)
    kept: dict[str, NodeRun] = {}
    datasets: set[str] = set()
    planned = {name for name, step in plan.steps.items() if step.action != "skip"}
    for name in (name for name in plan.steps if name in planned):
        if any(read in planned and read not in kept for read in pipeline.reads_of(name)):
            continue
        node = _done(run, name, pipeline, settings) or _left(run, name, pipeline, plan, traced)
        staged = {name: manifests[name] for name in _datasets(pipeline, name) if name in manifests}
        shows = name in pipeline.models and not pipeline.models[name].has_rows
        if node is None or not (shows or _stands(node, staged, warehouse)):
            continue
        if run.plan["fingerprints"][name] != traced[name].fingerprint:
            raise _refused(run, f"{name} was computed before its function or declaration changed")
        kept[name] = node
        datasets |= set(staged)
    for name in [each for each in kept if not set(pipeline.together(each)) & planned <= kept.keys()]:
        # What is read in one snapshot is read again together, what dbt builds is built together.
        del kept[name]
        datasets -= set(_datasets(pipeline, name))
    return Resumption(pipeline, _looked_at_again(plan, pipeline, traced, kept, settings), kept, frozenset(datasets))


def _done(run: RecordedRun, name: str, pipeline: Pipeline, settings: Settings) -> NodeRun | None:
    """Return what a node did in the run, if it did it and nothing was wrong with it."""
    body = run.nodes.get(name)
    if body is None or body["status"] not in DONE:
        return None
    node = NodeRun.from_json(name, body)
    wrong = faults(pipeline, settings, node) or any(stops(verdict, settings) for verdict in node.verdicts)
    return None if wrong else node


def _left(run: RecordedRun, name: str, pipeline: Pipeline, plan: Plan, traced: Mapping[str, Traced]) -> NodeRun | None:
    """Return that a view was left to the tables that need it, where it is what it was: none of them records it."""
    if name not in pipeline.views or plan.steps[name].action != "maybe":
        return None
    was_left = run.nodes.get(name, {}).get("status", "skipped") == "skipped"
    return left_to_tables(name) if was_left and run.plan["fingerprints"][name] == traced[name].fingerprint else None


def _stands(node: NodeRun, staged: Mapping[str, Manifest], warehouse: Warehouse) -> bool:
    """Return whether all that a node staged is as it was written: a crash of the machine may have cut a file off."""
    if not staged:
        return node.status in ("unchanged", "skipped")
    return not warehouse.damaged(file for manifest in staged.values() for file in (*manifest.added, *manifest.delta))


def _datasets(pipeline: Pipeline, name: str) -> tuple[str, ...]:
    if name in pipeline.views:
        return dataset_of_view(name), dataset_of_news(name)
    if name == DBT and pipeline.models:
        return (dataset_of_definitions(pipeline.name),)
    node = pipeline.nodes.get(name)
    dataset = pipeline.dataset_of(name)
    keys = (dataset_of_keys(dataset, node.key),) if isinstance(node, Table) else ()
    return (dataset, dataset_of_rejects(dataset), *keys)


def _looked_at_again(
    plan: Plan, pipeline: Pipeline, traced: Mapping[str, Traced], kept: Mapping[str, NodeRun], settings: Settings
) -> Plan:
    """Plan the sources that were not loaded anew: their files may have been mended."""
    folder = Path(settings.folder)
    names = {name for name in plan.sources if plan.steps[name].action != "skip" and name not in kept}
    again = plan_sources(pipeline, names, traced, plan.state, plan.options, folder)
    return replace(plan, sources={**plan.sources, **again})


def _check_same_world(run: RecordedRun, pipeline: Pipeline, state: State) -> None:
    now = published(pipeline, state)
    for dataset in sorted({*now, *run.plan["published"]}):
        if now.get(dataset) != run.plan["published"].get(dataset):
            raise _refused(run, f"{dataset} was published by run {now.get(dataset)} since it was planned")
    declared = {*pipeline.nodes, *pipeline.models, *([DBT] if pipeline.models else [])}
    changed = sorted(set(run.plan["steps"]) - set(run.plan["paths"]) ^ declared)
    if changed:
        raise _refused(run, f"{changed[0]} is not declared as it was when it was planned")


def _refused(run: RecordedRun, why: str) -> UsageError:
    return UsageError(f"Run {run.id} cannot be resumed: {why}. Run the pipeline again; nothing is lost but time.")
