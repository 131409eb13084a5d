"""Planning: what is published, what has been delivered, which tables must run, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.model.check import FreshWithin, Reconciles, References
from assay.model.data import IN_PART, Version
from assay.model.errors import DeclarationError, OwnerError
from assay.model.pipeline import Pipeline
from assay.model.published import State
from assay.model.run import RunOptions
from assay.model.table import Table, View
from assay.runtime.planning.databases import plan_sources
from assay.runtime.planning.delivery import SourcePlan, stored_source
from assay.runtime.planning.modelling import plan_models
from assay.runtime.planning.period import Period, asked, period_of
from assay.runtime.planning.select import mirrored, modelled, selected
from assay.runtime.planning.steps import NOT_SELECTED, Step
from assay.runtime.tracing.trace import Traced


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run needs to know of the world, read once."""

    pipeline: str
    options: RunOptions
    state: State
    steps: Mapping[str, Step]
    sources: Mapping[str, SourcePlan]
    periods: Mapping[str, Period] = field(default_factory=dict)
    """Tables of which only a month or a day is rebuilt."""

    @property
    def nothing_to_do(self) -> bool:
        """Whether every step stands as it is."""
        return all(step.action == "skip" for step in self.steps.values())

    @property
    def surely_changes(self) -> bool:
        """Whether some step must run, and not only if what it reads turns out to have changed."""
        return any(step.action == "run" for step in self.steps.values())

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data, for the run's record and `assay plan --json`."""
        return {
            "pipeline": self.pipeline,
            "as_of": self.options.as_of.isoformat(),
            "full": self.options.full,
            "select": list(self.options.select),
            "layers": list(self.options.layers),
            "month": self.options.month,
            "date": self.options.date.isoformat() if self.options.date else None,
            "backfill": self.options.backfill,
            "steps": {s.name: {"action": s.action, "reason": s.reason} for s in self.steps.values()},
        }


def make_plan(
    pipeline: Pipeline, traced: Mapping[str, Traced], state: State, options: RunOptions, folder: Path
) -> Plan:
    """Choose what to run; looks at the sources' files, and changes nothing.

    Relative paths of sources count from `folder`. Raises SourceError for a source that cannot be read as declared,
    DeclarationError for a selection that leaves out something never published, OwnerError where a table is another
    pipeline's.
    """
    _check_owners(pipeline, state)
    chosen, named = selected(pipeline, options)
    read = {name for node in chosen for name in pipeline.nodes[node].upstream if name in pipeline.sources}
    models = modelled(pipeline, options)
    # A source that is published is a table to those that read it: left out, it is taken as it stands.
    looked = (read - pipeline.mirrors.keys()) | mirrored(pipeline, options)
    needed = {name for each in looked for name in pipeline.together(each)}
    sources = plan_sources(pipeline, needed, traced, state, options, folder)
    sources |= {name: stored_source(pipeline, name, state) for name in read - needed}
    steps = {name: _source_step(name, found) for name, found in sources.items()}
    for name, node in pipeline.nodes.items():
        if name not in chosen:
            steps[name] = Step(name, "skip", NOT_SELECTED)
        elif isinstance(node, Table):
            steps[name] = _table_step(node, pipeline, traced, state, options, steps, named)
    periods, ignoring = narrowed(pipeline, traced, state, options, chosen)
    for name in periods:
        steps[name] = Step(name, "run", f"{asked(options)}: {periods[name]}")
    for name, why in ignoring.items():
        steps[name] = replace(steps[name], reason=f"{steps[name].reason}; {why}")
    for name, view in reversed(pipeline.views.items()):
        if name in chosen:
            steps[name] = _view_step(view, pipeline, steps)
    for name in chosen & set(pipeline.tables):
        _check_judged(pipeline.tables[name], pipeline, state, steps)
    built = plan_models(pipeline, state, options, steps, models)
    order = {name: steps[name] for name in (*sources, *pipeline.nodes)} | built
    return Plan(pipeline.name, options, state, order, sources, periods)


def _check_owners(pipeline: Pipeline, state: State) -> None:
    """Raise OwnerError where another pipeline writes a table of this name: its rows are neither read nor replaced."""
    for name in (*pipeline.mirrors, *pipeline.tables, *pipeline.models):
        dataset = pipeline.dataset_of(name)
        if (owner := state.owners.get(dataset, pipeline.name)) != pipeline.name:
            raise OwnerError(dataset, owner, pipeline.name)


def leaves(pipeline: Pipeline, name: str) -> tuple[str, ...]:
    """Return the tables and sources that a table or view reads, looking through views, each once."""
    found: dict[str, None] = {}
    for upstream in pipeline.nodes[name].upstream:
        if upstream in pipeline.views:
            found |= dict.fromkeys(leaves(pipeline, upstream))
        else:
            found[upstream] = None
    return tuple(found)


def _source_step(name: str, found: SourcePlan) -> Step:
    if not found.changes:
        return Step(name, "skip", found.reason)
    return Step(name, "run" if found.surely else "maybe", found.reason)


def _table_step(
    table: Table,
    pipeline: Pipeline,
    traced: Mapping[str, Traced],
    state: State,
    options: RunOptions,
    steps: Mapping[str, Step],
    named: set[str],
) -> Step:
    name = table.name
    reads = leaves(pipeline, name)
    for read in reads:
        _check_published(table, read, pipeline, traced, state, steps)
    version = state.versions.get(pipeline.dataset_of(name))
    if version is None:
        return Step(name, "run", "it has never been published")
    reason = "it was selected by name" if name in named else _own_reason(pipeline, name, traced, options, version)
    reason = reason or _input_reason(pipeline, reads, state, steps, version)
    if reason:
        return Step(name, "run", reason)
    moving = [read for read in reads if _runs(steps, read)]
    if moving:
        return Step(name, "maybe", f"{moving[0]} may change")
    return Step(name, "skip", f"nothing it reads has changed since run {version.id}")


def narrowed(
    pipeline: Pipeline, traced: Mapping[str, Traced], state: State, options: RunOptions, chosen: set[str]
) -> tuple[dict[str, Period], dict[str, str]]:
    """Return the tables of which just the month or day asked for is rebuilt, and why others are computed as ever."""
    option = asked(options)
    periods: dict[str, Period] = {}
    ignoring: dict[str, str] = {}
    for name in chosen & set(pipeline.tables) if option else ():
        found = period_of(pipeline, traced, name, options, state.versions.get(pipeline.dataset_of(name)))
        if isinstance(found, Period):
            periods[name] = found
        else:
            ignoring[name] = f"ignores {option}: {found}"
    return periods, ignoring


def _own_reason(
    pipeline: Pipeline, name: str, traced: Mapping[str, Traced], options: RunOptions, version: Version
) -> str | None:
    """Return why a published table must run whatever its inputs are."""
    if options.full:
        return "--full was asked for"
    if options.backfill and not asked(options):
        return "a backfill computes all anew"
    if version.fingerprint != traced[name].fingerprint:
        return "its function or declaration has changed"
    if reads_date(pipeline, name) and version.as_of != options.as_of.isoformat():
        return f"it depends on the run's date, which was {version.as_of}"
    return None


def _input_reason(
    pipeline: Pipeline, reads: tuple[str, ...], state: State, steps: Mapping[str, Step], version: Version
) -> str | None:
    """Return which input surely is not what a published table was made of."""
    for read in reads:
        current = state.versions.get(pipeline.dataset_of(read))
        if read in pipeline.sources and steps[read].action == "run":
            return f"{read}: {steps[read].reason}"
        if current is not None and version.inputs.get(current.dataset) == IN_PART:
            return "only a part of it has been computed"
        if current is not None and version.inputs.get(current.dataset) != current.id and not _runs(steps, read):
            return f"{read} was published by run {current.id} since"
    return None


def _view_step(view: View, pipeline: Pipeline, steps: Mapping[str, Step]) -> Step:
    """A view runs when a table needs it; where that is not sure yet, the first table in need computes it."""
    readers = [n for n, node in pipeline.nodes.items() if view.name in node.upstream]
    for action in ("run", "maybe"):
        for reader in readers:
            if steps[reader].action == action:
                return Step(view.name, action, f"{reader} {'reads' if action == 'run' else 'may read'} it")
    return Step(view.name, "skip", "no table needs it")


def reads_date(pipeline: Pipeline, name: str) -> bool:
    """Return whether what a node is depends on the run's date: by its function, its checks, or a view it reads."""
    node = pipeline.nodes[name]
    judged = isinstance(node, Table) and any(isinstance(check, FreshWithin) for check in node.checks)
    return (
        judged or node.wants_run or any(reads_date(pipeline, view) for view in node.upstream if view in pipeline.views)
    )


def _runs(steps: Mapping[str, Step], name: str) -> bool:
    return name in steps and steps[name].action != "skip"


def _check_judged(table: Table, pipeline: Pipeline, state: State, steps: Mapping[str, Step]) -> None:
    """Raise DeclarationError where a check looks at a table that is left out and was never published."""
    for check in table.checks:
        if not isinstance(check, References | Reconciles) or steps[check.other].reason != NOT_SELECTED:
            continue
        if pipeline.dataset_of(check.other) not in state.versions:
            raise DeclarationError(
                f"{table.name} is checked against {check.other}, which has never been published; run it too: "
                f"--select {check.other}"
            )


def _check_published(
    table: Table,
    read: str,
    pipeline: Pipeline,
    traced: Mapping[str, Traced],
    state: State,
    steps: Mapping[str, Step],
) -> None:
    """Raise DeclarationError where a table is left out of the run, but is not published as its reader needs it."""
    if read not in pipeline.tables or steps[read].reason != NOT_SELECTED:
        return
    version = state.versions.get(pipeline.dataset_of(read))
    if version is None:
        raise DeclarationError(
            f"{table.name} reads {read}, which has never been published; run it too: --select +{table.name}"
        )
    published = {(c.name, c.type) for c in version.schema}
    if any((c.name, c.type) not in published for c in traced[read].seen):
        raise DeclarationError(
            f"{table.name} reads {read}, whose published columns are older than its function; run it too: "
            f"--select +{table.name}"
        )
