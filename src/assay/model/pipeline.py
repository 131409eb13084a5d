"""A pipeline: its tables, views and sources, in order, under one name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from assay.model import graph
from assay.model.check import Reconciles, References
from assay.model.errors import DeclarationError, near_miss
from assay.model.rows import Groups, Lookup
from assay.model.source import Source
from assay.model.table import Node, Table, View
from assay.model.write import Append, Merge

LAYERS = ("bronze", "silver", "gold")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, init=False)
class Pipeline:
    """A named set of tables and views over sources; told its tables, never by side effect of an import."""

    name: str
    nodes: Mapping[str, Node] = field(repr=False)
    """Tables and views by name, each after what it reads."""
    sources: Mapping[str, Source]
    layers: tuple[str, ...]
    sample: Callable[..., Mapping[str, Path]] | None = field(repr=False)

    def __init__(
        self,
        name: str,
        *,
        tables: Sequence[Node],
        sources: Mapping[str, Source],
        layers: Sequence[str] = LAYERS,
        sample: Callable[..., Mapping[str, Path]] | None = None,
    ) -> None:
        """Check the declaration and put the nodes in order.

        Args:
            name: lower case letters, digits and underscores.
            tables: the tables and views, in any order.
            sources: parameter name -> source.
            layers: names of the layers, in the direction of the data.
            sample: `sample(folder, rows=, seed=)` writes sample data and returns {source: path}.

        Raises:
            DeclarationError: names what is wrong, where, and the near miss.
        """
        for text in (name, *sources, *layers):
            if not _NAME.fullmatch(text):
                raise DeclarationError(f"{text!r} is no name: use lower case letters, digits and underscores.")
        for attribute, value in (
            ("name", name),
            ("nodes", MappingProxyType(graph.ordered(tables, sources.keys(), layers))),
            ("sources", MappingProxyType(dict(sources))),
            ("layers", tuple(layers)),
            ("sample", sample),
        ):
            object.__setattr__(self, attribute, value)
        for table in self.tables.values():
            _check_table(table, self)

    @property
    def tables(self) -> dict[str, Table]:
        """The tables by name, each after what it reads."""
        return {name: node for name, node in self.nodes.items() if isinstance(node, Table)}

    @property
    def views(self) -> dict[str, View]:
        """The views by name."""
        return {name: node for name, node in self.nodes.items() if isinstance(node, View)}

    def reading(self, paths: Mapping[str, str]) -> Pipeline:
        """Return the pipeline with some sources read from other paths."""
        for name in paths:
            if name not in self.sources:
                raise DeclarationError(
                    f"{self.name} has no source {name!r}.{near_miss(name, self.sources)} "
                    f"Its sources: {', '.join(self.sources) or 'none'}."
                )
        sources = {name: replace(s, path=paths[name]) if name in paths else s for name, s in self.sources.items()}
        copy = object.__new__(Pipeline)
        for attribute, value in {**self.__dict__, "sources": MappingProxyType(sources)}.items():
            object.__setattr__(copy, attribute, value)
        return copy


def _check_table(table: Table, pipeline: Pipeline) -> None:
    """Check one table's declaration as far as that needs no schema."""
    if table.keep and not table.key:
        raise DeclarationError(f"{table.name}: keep= chooses between rows of one key, so it needs key=.")
    if isinstance(table.write, Merge) and not table.key:
        raise DeclarationError(f"{table.name}: Merge() updates by key, so it needs key=.")
    if table.write.stamps and not table.key:
        raise DeclarationError(f"{table.name}: stamps follow a row by its key, so they need key=.")
    if isinstance(table.write, Append) and table.write.stamps:
        raise DeclarationError(f"{table.name}: appended rows are not updated; leave stamps out.")
    match table.rows:
        case Lookup(inputs=joined) | Groups(lookup=joined):
            for name in joined:
                if name not in table.upstream:
                    raise DeclarationError(
                        f"{table.name}: {name!r} is looked up in, but not read.{near_miss(name, table.upstream)}"
                    )
    if isinstance(table.rows, Groups) and len(set(table.upstream) - set(table.rows.lookup)) != 1:
        raise DeclarationError(f"{table.name}: groups() counts the rows of one input; name the others in lookup=(...).")
    for check in table.checks:
        if isinstance(check, References | Reconciles) and check.other not in pipeline.tables:
            raise DeclarationError(
                f"{table.name}: check {check.name!r} looks at {check.other!r}, which is no table of this "
                f"pipeline.{near_miss(check.other, pipeline.tables)}"
            )
