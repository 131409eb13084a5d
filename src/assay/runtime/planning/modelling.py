"""The models of a dbt project before a run builds them: which there are, which must be built, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from assay.model.data import Version, dataset_of_definitions
from assay.model.dbt import DBT, DbtProject, Model
from assay.model.errors import DeclarationError, UsageError
from assay.model.pipeline import Pipeline
from assay.model.ports import Warehouse
from assay.model.published import State
from assay.model.run import RunOptions
from assay.model.schema import Schema
from assay.runtime.planning.steps import NOT_SELECTED, Action, Step
from assay.runtime.tracing.trace import Traced
from assay.settings import Settings

_CACHE = "_assay/dbt"
_UNKNOWN = Schema(())


def with_models(pipeline: Pipeline, warehouse: Warehouse, settings: Settings) -> Pipeline:
    """Return the pipeline with the models of its dbt project, where it has one.

    Raises UsageError where the warehouse is no database or there is no dbt, DeclarationError for a project that cannot
    be read.
    """
    if pipeline.dbt is None:
        return pipeline
    if warehouse.workshop is None:
        raise UsageError(
            f"{pipeline.name} has a dbt project, which builds in a database, and {warehouse.url} is a lake; name a "
            "database by --warehouse postgresql:FOLDER or postgresql://..."
        )
    # dbt is an extra, as the driver is.
    from assay.engines.dbt.project import read

    datasets = [pipeline.dataset_of(name) for name in (*pipeline.mirrors, *pipeline.tables)]
    return pipeline.building(read(pipeline.dbt, datasets, settings, cache_of(warehouse), warehouse.workshop.address))


def cache_of(warehouse: Warehouse) -> Path:
    """Return where a warehouse keeps what dbt told of projects; it can be asked again."""
    return Path(warehouse.root, _CACHE)


def trace_models(pipeline: Pipeline) -> dict[str, Traced]:
    """Return what is known of each model before it is built, and of the step that builds them."""
    project = pipeline.dbt
    if project is None or not project.models:
        return {}
    marks = {name: model.fingerprint for name, model in project.models.items()} | {DBT: project.fingerprint}
    return {name: Traced(_UNKNOWN, _UNKNOWN, _UNKNOWN, mark) for name, mark in marks.items()}


def plan_models(
    pipeline: Pipeline, state: State, options: RunOptions, steps: Mapping[str, Step], wanted: set[str]
) -> dict[str, Step]:
    """Return what is planned for the step that builds, and then for each model."""
    project = pipeline.dbt
    if project is None or not project.models:
        return {}
    if wanted:
        _check_kinds(project, state)
    found = {
        name: _table_step(model, state.versions.get(model.dataset), pipeline, state, options, steps)
        if name in wanted
        else Step(name, "skip", NOT_SELECTED)
        for name, model in project.tables.items()
    }
    building = _building(project, state.versions.get(dataset_of_definitions(pipeline.name)), found, wanted)
    for name in project.models.keys() - found.keys():
        found[name] = Step(name, building.action, building.reason if building.action == "skip" else "dbt builds")
    return {DBT: building} | {name: found[name] for name in project.models}


def _check_kinds(project: DbtProject, state: State) -> None:
    """Raise DeclarationError for a view that would stand where a table with rows does, before anything is built."""
    for model in project.models.values():
        version = state.versions.get(model.dataset)
        if version is not None and version.rows and not model.has_rows:
            raise DeclarationError(
                f"{project.folder}: {model.unique_id} is a {model.kind}, and {model.dataset} a published table with "
                f"{version.rows:,} rows; give the {model.kind} another name, or keep the table."
            )


def _building(project: DbtProject, version: Version | None, found: Mapping[str, Step], wanted: set[str]) -> Step:
    if not wanted:
        return Step(DBT, "skip", NOT_SELECTED)
    if version is None:
        return Step(DBT, "run", "its models have never been published")
    for step in found.values():
        if step.action == "run":
            return Step(DBT, "run", f"{step.name}: {step.reason}")
    if version.fingerprint != project.fingerprint:
        return Step(DBT, "run", "its views or tests have changed")
    action: Action = "maybe" if any(step.action == "maybe" for step in found.values()) else "skip"
    return Step(DBT, action, "what it reads may change" if action == "maybe" else "nothing it reads has changed")


def _table_step(
    model: Model,
    version: Version | None,
    pipeline: Pipeline,
    state: State,
    options: RunOptions,
    steps: Mapping[str, Step],
) -> Step:
    if version is None:
        return Step(model.name, "run", "it has never been published")
    if options.full or options.backfill:
        return Step(model.name, "run", "--full was asked for" if options.full else "a backfill computes all anew")
    if version.fingerprint != model.fingerprint:
        return Step(model.name, "run", "its code, configuration or tests have changed")
    for read in model.reads:
        current = state.versions.get(pipeline.dataset_of(read))
        moves = read in steps and steps[read].action != "skip"
        if current is not None and version.inputs.get(current.dataset) != current.id and not moves:
            return Step(model.name, "run", f"{read} was published by run {current.id} since")
    moving = [read for read in model.reads if read in steps and steps[read].action != "skip"]
    if moving:
        return Step(model.name, "maybe", f"{moving[0]} may change")
    return Step(model.name, "skip", f"nothing it reads has changed since run {version.id}")
