"""Which tables a run is about: `--select` and `--layer` as sets of names."""

from __future__ import annotations

from assay.model import graph
from assay.model.errors import DeclarationError, near_miss
from assay.model.pipeline import Pipeline, made_of
from assay.model.run import RunOptions
from assay.model.table import Table


def selected(pipeline: Pipeline, options: RunOptions) -> tuple[set[str], set[str]]:
    """Return the tables and views a run may compute, and those among them that were asked for by name.

    `name` is one table, `+name` it and what it reads, `name+` it and what follows from it.
    """
    chosen = _asked(pipeline, options)
    layers = options.layers
    if options.backfill and not layers and not options.select:
        layers = pipeline.layers[1:]
    for layer in layers:
        if layer not in pipeline.layers:
            raise DeclarationError(
                f"{pipeline.name} has no layer {layer!r}.{near_miss(layer, pipeline.layers)} "
                f"Its layers: {', '.join(pipeline.layers)}."
            )
        chosen |= {name for name, table in pipeline.tables.items() if table.layer == layer}
    if not options.select and not layers:
        chosen = set(pipeline.nodes)
    chosen &= pipeline.nodes.keys()
    return chosen | _views_for(pipeline, chosen), {each.name for each in options.selections}


def mirrored(pipeline: Pipeline, options: RunOptions) -> set[str]:
    """Return the sources that a run is to publish as tables, whether any table reads them or not."""
    asked = _asked(pipeline, options)
    every = not options.select and not options.layers
    return {name for name in pipeline.mirrors if every or name in asked or name.partition("_")[0] in options.layers}


def modelled(pipeline: Pipeline, options: RunOptions) -> set[str]:
    """Return the models that a run may build: all, where any of them was asked for, as they are tested together."""
    asked = _asked(pipeline, options)
    every = not options.select and not options.layers
    wanted = (name in asked or name.partition("_")[0] in options.layers for name in pipeline.models)
    return set(pipeline.models) if every or any(wanted) else set()


def _asked(pipeline: Pipeline, options: RunOptions) -> set[str]:
    """Return the tables, views, models and published sources that `--select` means; not those of a layer."""
    reads_of = made_of(pipeline)
    asked: set[str] = set()
    for each in options.selections:
        if each.name not in reads_of:
            raise DeclarationError(f"{pipeline.name} has no table {each.name!r}.{near_miss(each.name, reads_of)}")
        asked.add(each.name)
        if each.upstream:
            asked |= graph.upstream(reads_of, [each.name])
        if each.downstream:
            asked |= graph.downstream(reads_of, [each.name])
    return asked


def _views_for(pipeline: Pipeline, chosen: set[str]) -> set[str]:
    """Return the views that the chosen tables need: they have no published rows to fall back on."""
    needed: set[str] = set()
    for name in reversed(list(pipeline.nodes)):
        if name in chosen or name in needed:
            reads = (n for n in pipeline.nodes[name].upstream if n in pipeline.nodes)
            needed |= {n for n in reads if not isinstance(pipeline.nodes[n], Table)}
    return needed
