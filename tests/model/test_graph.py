"""Nodes stand after what they read, in one order for one declaration; a graph without an order is refused and told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.model import graph
from assay.model.errors import DeclarationError
from assay.model.table import Node, Table, View

LAYERS = ("bronze", "silver", "gold")
SOURCES = ("orders", "customers")
UNKNOWN = "is no table, view or source of this pipeline."
NO_LAYER = "has no layer: a table is named <layer>_<entity>, and the layers are bronze, silver, gold."
BACKWARD = "but data flows bronze -> silver -> gold:"


def table(name: str, *reads: str, **renamed: str) -> Table:
    return Table(name, lambda: None, {read: read for read in reads} | renamed)


def view(name: str, *reads: str) -> View:
    return View(name, lambda: None, {read: read for read in reads})


def order(*nodes: Node, sources: tuple[str, ...] = SOURCES) -> list[str]:
    return list(graph.ordered(nodes, sources, LAYERS))


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Tables and views that read sources and any earlier node, with layers that never go back."""
    layers = sorted(draw(st.lists(st.integers(0, len(LAYERS) - 1), min_size=1, max_size=12)))
    nodes: list[Node] = []
    for number, layer in enumerate(layers):
        names = [*SOURCES, *(node.name for node in nodes)]
        reads = draw(st.lists(st.sampled_from(names), unique=True, max_size=5))
        shared = draw(st.booleans())
        nodes.append(view(f"step_{number}", *reads) if shared else table(f"{LAYERS[layer]}_{number}", *reads))
    return nodes


def depth(node: Node, nodes: dict[str, Node]) -> int:
    return 1 + max((depth(nodes[name], nodes) for name in node.upstream if name in nodes), default=0)


@given(graphs(), st.randoms(use_true_random=False))
def test_every_node_comes_after_all_that_it_reads(nodes: list[Node], random: Any) -> None:
    random.shuffle(nodes)
    found = order(*nodes)
    assert sorted(found) == sorted(node.name for node in nodes)
    for node in nodes:
        for read in node.upstream:
            assert read in SOURCES or found.index(read) < found.index(node.name)


@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_is_by_depth_and_then_as_declared(nodes: list[Node], random: Any) -> None:
    random.shuffle(nodes)
    by_name = {node.name: node for node in nodes}
    assert order(*nodes) == [node.name for node in sorted(nodes, key=lambda node: depth(node, by_name))]


@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_how_parameters_and_sources_are_listed(nodes: list[Node], random: Any) -> None:
    def mixed(node: Node) -> Node:
        reads = list(node.inputs)
        random.shuffle(reads)
        return type(node)(node.name, node.function, {read: read for read in reads})

    assert order(*map(mixed, nodes), sources=SOURCES[::-1]) == order(*nodes)


@given(graphs(), st.data())
def test_up_and_downstream_are_all_that_can_be_reached(nodes: list[Node], data: st.DataObject) -> None:
    ordered = graph.ordered(nodes, SOURCES, LAYERS)
    start = data.draw(st.sampled_from(sorted(ordered)))

    def reached(name: str) -> set[str]:
        return {name}.union(*(reached(read) for read in ordered[name].upstream if read in ordered))

    reads_of = {name: node.upstream for name, node in ordered.items()}
    assert graph.upstream(reads_of, [start]) == reached(start)
    assert graph.downstream(reads_of, [start]) == {name for name in ordered if start in reached(name)}


@pytest.mark.parametrize("kind", [table, view])
def test_ordering_costs_no_more_than_the_edges(kind: Callable[..., Node]) -> None:
    nodes: list[Node] = []
    for number in range(18):
        nodes.append(kind(f"bronze_{number}", *(node.name for node in nodes)))
    nodes.append(table("silver_last", *(node.name for node in nodes)))
    edges = sum(len(node.upstream) for node in nodes)
    calls = 0

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename == graph.__file__

    sys.setprofile(count)
    try:
        found = order(*nodes)
    finally:
        sys.setprofile(None)
    assert found == [node.name for node in nodes]
    assert calls < 20 * edges


def test_two_parameters_may_read_one_table() -> None:
    silver = table("silver_pair", left="bronze_a", right="bronze_a")
    assert silver.upstream == ("bronze_a",)
    assert order(silver, table("bronze_a", "orders")) == ["bronze_a", "silver_pair"]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [table("bronze_order", "ordes")],
            f"bronze_order: parameter 'ordes' {UNKNOWN} Did you mean 'orders'?",
        ),
        (
            [table("bronze_order", "orders"), table("silver_order", "bronze_ordr")],
            f"silver_order: parameter 'bronze_ordr' {UNKNOWN} Did you mean 'bronze_order'?",
        ),
        (
            [table("bronze_order", rows="custmers")],
            f"bronze_order: parameter 'rows' ('custmers') {UNKNOWN} Did you mean 'customers'?",
        ),
        ([view("cleaned", "zzz")], f"cleaned: parameter 'zzz' {UNKNOWN}"),
        (
            [table("bronze_a", "orders"), table("bronze_a", "orders")],
            "Two tables are named 'bronze_a'; a name stands for one table.",
        ),
        (
            [view("bronze_a", "orders"), table("bronze_a", "orders")],
            "Two tables are named 'bronze_a'; a name stands for one table.",
        ),
        ([view("orders", "customers")], "'orders' is both a table and a source; rename one of them."),
        ([view("run", "orders")], "A table cannot be named 'run': that parameter gives the run's own facts."),
        ([table("brone_order", "orders")], f"'brone_order' {NO_LAYER} Did you mean 'bronze'?"),
        ([table("orders_x", "orders")], f"'orders_x' {NO_LAYER}"),
        ([table("bronze", "orders")], f"'bronze' {NO_LAYER}"),
        ([table("bronze_", "orders")], f"'bronze_' {NO_LAYER}"),
        (
            [table("bronze_a", "gold_b"), table("gold_b", "orders")],
            f"bronze_a reads gold_b, {BACKWARD} a bronze table cannot read a gold table.",
        ),
        (
            [table("silver_a", "step"), view("step", "deeper"), view("deeper", "gold_b"), table("gold_b", "orders")],
            f"silver_a reads gold_b, {BACKWARD} a silver table cannot read a gold table.",
        ),
    ],
)
def test_what_is_wrong_with_a_graph_is_told(nodes: list[Node], message: str) -> None:
    with pytest.raises(DeclarationError) as error:
        order(*nodes)
    assert str(error.value) == message


def test_a_function_that_is_no_table_is_told() -> None:
    def bronze_order(orders: Any) -> Any:
        return orders

    with pytest.raises(DeclarationError, match=r"^bronze_order is a function without @table\(\): write @table"):
        graph.ordered([bronze_order], SOURCES, LAYERS)


@pytest.mark.parametrize(
    ("nodes", "circle"),
    [
        ([table("silver_a", "silver_a")], ["silver_a"]),
        ([table("silver_a", "silver_b"), table("silver_b", "silver_a")], ["silver_a", "silver_b"]),
        (
            [table("silver_b", "silver_a"), table("silver_c", "silver_b"), table("silver_a", "silver_c", "orders")],
            ["silver_a", "silver_b", "silver_c"],
        ),
        ([table("silver_a", "step"), view("step", "silver_a")], ["silver_a", "step"]),
    ],
)
def test_a_circle_is_told_in_the_direction_of_the_data(nodes: list[Node], circle: list[str]) -> None:
    with pytest.raises(DeclarationError) as error:
        order(table("bronze_x", "orders"), *nodes, table("gold_y", "silver_a"))
    rotations = [circle[n:] + circle[: n + 1] for n in range(len(circle))]
    begin = "These tables read each other in a circle: "
    assert str(error.value) in {f"{begin}{' -> '.join(rotation)}." for rotation in rotations}
