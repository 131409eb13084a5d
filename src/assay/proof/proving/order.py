"""Which tables depend on the order of lines in a file because they say so."""

from __future__ import annotations

from collections.abc import Iterable

from assay.model.pipeline import Pipeline
from assay.model.source import POSITION
from assay.proof.proving.content import Contents
from assay.runtime.tracing.parsing import columns_read


def by_position(contents: Contents, differing: Iterable[str]) -> frozenset[str]:
    """Return those tables that may differ when lines change their places: they ask for these, or follow one that does.

    `differing` are tables whose content is another then, each after what it reads.
    """
    found: set[str] = set()
    for name in differing:
        reads = _reads(contents.pipeline, name)
        if _asks(contents, name, reads) or found & reads:
            found.add(name)
    return frozenset(found)


def _asks(contents: Contents, name: str, reads: set[str]) -> bool:
    """Return whether a table chooses rows by their position, or may depend on it in its function or a view's."""
    pipeline, traced = contents.pipeline, contents.traced
    if pipeline.tables[name].keep is not None:
        return True
    return any(
        POSITION in traced[read].seen and POSITION in columns_read(traced[node].definition, traced[read].seen.names)
        for node in (name, *(reads & set(pipeline.views)))
        for read in pipeline.nodes[node].upstream
    )


def _reads(pipeline: Pipeline, name: str) -> set[str]:
    """Return the tables and views that a node reads, and those that its views read."""
    found: set[str] = set()
    for read in pipeline.nodes[name].upstream:
        if read in pipeline.nodes:
            found |= {read, *(_reads(pipeline, read) if read in pipeline.views else ())}
    return found
