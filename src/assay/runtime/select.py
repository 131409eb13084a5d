"""Which tables a run is about: `--select` and `--layer` as sets of names."""

from __future__ import annotations

from assay.model import graph
from assay.model.errors import DeclarationError, near_miss
from assay.model.pipeline import Pipeline
from assay.model.run import RunOptions
from assay.model.table import Table


def selected(pipeline: Pipeline, options: RunOptions) -> tuple[set[str], set[str]]:
    """Return the tables and views a run may compute, and those among them that were asked for by name.

    `name` is one table, `+name` it and what it reads, `name+` it and what follows from it.
    """
    named: set[str] = set()
    chosen: set[str] = set()
    for text in options.select:
        name = text.strip("+")
        known = (*pipeline.nodes, *pipeline.mirrors, *pipeline.models)
        if name not in known:
            raise DeclarationError(f"{pipeline.name} has no table {name!r}.{near_miss(name, known)}")
        named.add(name)
        chosen |= {name}
        if text.startswith("+"):
            chosen |= graph.upstream(pipeline.nodes, [name])
        if text.endswith("+"):
            chosen |= graph.downstream(pipeline.nodes, [name])
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
    return chosen | _views_for(pipeline, chosen), named


def mirrored(pipeline: Pipeline, options: RunOptions) -> set[str]:
    """Return the sources that a run is to publish as tables, whether any table reads them or not."""
    named = {text.strip("+") for text in options.select}
    for text in options.select:
        if text.startswith("+"):
            nodes = graph.upstream(pipeline.nodes, [text.strip("+")]) & pipeline.nodes.keys()
            named |= {read for node in nodes for read in pipeline.nodes[node].upstream}
    every = not options.select and not options.layers
    return {name for name in pipeline.mirrors if every or name in named or name.partition("_")[0] in options.layers}


def modelled(pipeline: Pipeline, options: RunOptions) -> set[str]:
    """Return the models that a run may build: all, where any of them was asked for, as they are tested together."""
    named = {text.strip("+") for text in options.select}
    every = not options.select and not options.layers
    asked = (name in named or name.partition("_")[0] in options.layers for name in pipeline.models)
    return set(pipeline.models) if every or any(asked) else set()


def _views_for(pipeline: Pipeline, chosen: set[str]) -> set[str]:
    """Return the views that the chosen tables need: they have no published rows to fall back on."""
    needed: set[str] = set()
    for name in reversed(list(pipeline.nodes)):
        if name in chosen or name in needed:
            reads = (n for n in pipeline.nodes[name].upstream if n in pipeline.nodes)
            needed |= {n for n in reads if not isinstance(pipeline.nodes[n], Table)}
    return needed
