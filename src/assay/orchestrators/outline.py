"""A pipeline as an orchestrator shows it: the steps of its runs, their names, and what each waits for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from assay.model.database import PostgresTable
from assay.model.dbt import DBT
from assay.model.pipeline import Pipeline
from assay.model.run import RunOptions
from assay.model.table import Table
from assay.runtime.planning.select import mirrored, selected

SOURCES = "sources"
"""The group of sources that are no tables themselves."""
DATABASE = "database"
"""The tag of a step that reads a database, so that an orchestrator can limit how many do so at once."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step as people see it."""

    step: str
    """The name by which a run knows it."""
    label: str
    """What it does, such as extract_bronze_order."""
    group: str
    """Its layer; `sources`, or `dbt`."""
    after: tuple[str, ...]
    """The steps that must have ended before."""
    tags: tuple[str, ...]


def outline(pipeline: Pipeline) -> tuple[Stage, ...]:
    """Return the steps of a pipeline's runs, each after those it waits for.

    What is read in one snapshot with another source, or built along with another model, is done with that.
    """
    return tuple(_stages(pipeline))


def outline_of(pipeline: Pipeline, options: RunOptions) -> tuple[Stage, ...]:
    """Return the steps that a run with these options may have, each after those of them that it waits for."""
    nodes = selected(pipeline, options)[0]
    read = {each for name in nodes for each in pipeline.nodes[name].upstream if each in pipeline.sources}
    sources = (read - pipeline.mirrors.keys()) | mirrored(pipeline, options)
    steps = nodes | {_leader(pipeline, name) for name in sources}
    # What follows from a table may be a model.
    follows = any(each.downstream for each in options.selections)
    if _models(pipeline) & set(options.layers) or follows or not (options.layers or options.select):
        steps.add(DBT)
    return tuple(
        replace(stage, after=tuple(name for name in stage.after if name in steps))
        for stage in outline(pipeline)
        if stage.step in steps
    )


def _models(pipeline: Pipeline) -> set[str]:
    """Return the layers that have nothing but models, which are known when a run has read their project."""
    tables = (*pipeline.mirrors, *pipeline.tables)
    return set(pipeline.layers) - {name.partition("_")[0] for name in tables}


def _stages(pipeline: Pipeline) -> Iterator[Stage]:
    for name, source in pipeline.sources.items():
        if _leader(pipeline, name) == name:
            tags = (DATABASE,) if isinstance(source, PostgresTable) else ()
            layer = name.partition("_")[0] if name in pipeline.mirrors else None
            label = f"{_verb(pipeline.layers, layer)}_{name}" if layer else f"read_{name}"
            yield Stage(name, label, layer or SOURCES, (), (layer or SOURCES, *tags))
    for name, node in pipeline.nodes.items():
        after = tuple(dict.fromkeys(_leader(pipeline, read) for read in node.upstream))
        if isinstance(node, Table):
            yield Stage(name, f"{_verb(pipeline.layers, node.layer)}_{name}", node.layer, after, (node.layer,))
        else:
            layer = _first_reader(pipeline, name)
            yield Stage(name, f"prepare_{name}", layer, after, (layer,))
    if pipeline.dbt is not None:
        # What its models read is known when a run has read the project.
        before = (*(name for name in pipeline.sources if _leader(pipeline, name) == name), *pipeline.nodes)
        yield Stage(DBT, "build_models", DBT, before, (DBT,))


def _leader(pipeline: Pipeline, name: str) -> str:
    return pipeline.together(name)[0]


def _verb(layers: Sequence[str], layer: str) -> str:
    """Return what is done for a layer: data comes in by the first, and is summed up in the last."""
    if layer == layers[0]:
        return "extract"
    return "aggregate" if layer == layers[-1] else "transform"


def _first_reader(pipeline: Pipeline, view: str) -> str:
    """Return the layer of the first table that is made of a view, whose group it joins."""
    behind = {view}
    for name, node in pipeline.nodes.items():
        if behind & set(node.upstream):
            if isinstance(node, Table):
                return node.layer
            behind.add(name)
    return pipeline.layers[0]
