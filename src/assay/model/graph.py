"""The order of a pipeline: nodes after what they read, and the errors of a graph that has none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from assay.model.errors import DeclarationError, near_miss
from assay.model.given import shown
from assay.model.table import RUN, Node, Table


def ordered(nodes: Sequence[Node], sources: Collection[str], layers: Sequence[str]) -> dict[str, Node]:
    """Return the nodes by name, each after all that it reads.

    Raises DeclarationError for a duplicate name, an unknown layer or upstream, a cycle, or an edge back.
    """
    by_name = _by_name(nodes, sources)
    for node in nodes:
        if isinstance(node, Table):
            check_layer(node.name, layers)
        _check_upstream(node, by_name, sources)
    sorter = TopologicalSorter({node.name: [n for n in node.upstream if n in by_name] for node in nodes})
    try:
        order = list(sorter.static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise DeclarationError(f"These tables read each other in a circle: {circle}.") from None
    _check_direction(order, by_name, layers)
    # Equal declarations give equal orders, whatever the sorter's sets did.
    rank: dict[str, int] = {}
    for name in order:
        rank[name] = 1 + max((rank[read] for read in by_name[name].upstream if read in by_name), default=0)
    position = {node.name: n for n, node in enumerate(nodes)}
    return {name: by_name[name] for name in sorted(order, key=lambda name: (rank[name], position[name]))}


def downstream(reads_of: Mapping[str, Collection[str]], names: Iterable[str]) -> set[str]:
    """Return the names and all that follows from them; each stands after what it is made of."""
    found = set(names)
    for name, reads in reads_of.items():
        if found.intersection(reads):
            found.add(name)
    return found


def upstream(reads_of: Mapping[str, Collection[str]], names: Iterable[str]) -> set[str]:
    """Return the names and all of the others that they are made of, directly or through others."""
    found = set(names)
    for name in reversed(list(reads_of)):
        if name in found:
            found.update(read for read in reads_of[name] if read in reads_of)
    return found


def _by_name(nodes: Sequence[Node], sources: Collection[str]) -> dict[str, Node]:
    by_name: dict[str, Node] = {}
    for node in nodes:
        if not isinstance(node, Node):
            if callable(node):
                raise DeclarationError(f"{shown(node)} is a function without @table(): write @table(...) above it.")
            raise DeclarationError(f"{shown(node)} is no table: write @table(...) above its function.")
        if node.name in by_name:
            raise DeclarationError(f"Two tables are named {node.name!r}; a name stands for one table.")
        if node.name in sources:
            raise DeclarationError(f"{node.name!r} is both a table and a source; rename one of them.")
        if node.name == RUN:
            raise DeclarationError("A table cannot be named 'run': that parameter gives the run's own facts.")
        by_name[node.name] = node
    return by_name


def check_layer(name: str, layers: Sequence[str]) -> None:
    """Raise DeclarationError where a table's name does not begin with a layer."""
    layer, _, entity = name.partition("_")
    if layer not in layers or not entity:
        guess = near_miss(layer, layers) if layer not in layers else ""
        raise DeclarationError(
            f"{name!r} has no layer: a table is named <layer>_<entity>, and the layers are {', '.join(layers)}.{guess}"
        )


def _check_upstream(node: Node, by_name: Mapping[str, Node], sources: Collection[str]) -> None:
    for parameter, name in node.inputs.items():
        if name not in by_name and name not in sources:
            known = [*by_name, *sources]
            called = f"parameter {parameter!r}" if parameter == name else f"parameter {parameter!r} ({name!r})"
            raise DeclarationError(
                f"{node.name}: {called} is no table, view or source of this pipeline.{near_miss(name, known)}"
            )


def _check_direction(order: Sequence[str], by_name: Mapping[str, Node], layers: Sequence[str]) -> None:
    """Check that no table reads one of a later layer, also through views."""
    tables: dict[str, set[str]] = {}
    for name in order:
        node = by_name[name]
        reads: set[str] = set().union(*(tables[read] for read in node.upstream if read in by_name))
        tables[name] = {name} if isinstance(node, Table) else reads
        for other in sorted(reads) if isinstance(node, Table) else ():
            layer, later = name.partition("_")[0], other.partition("_")[0]
            if layers.index(later) > layers.index(layer):
                raise DeclarationError(
                    f"{name} reads {other}, but data flows {' -> '.join(layers)}: "
                    f"a {layer} table cannot read a {later} table."
                )
