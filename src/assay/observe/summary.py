"""A run for people: its tables by layer, what became of their rows, and what was wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from assay.model.run import NodeRun, RunResult
from assay.observe.saying import harmless_cell

_COLUMNS = ("rows", "filtered", "rejected", "deduplicated", "seconds")
_STEPS = "sources and views"


def summary(result: RunResult, place: str = "") -> str:
    """Return the text that `assay run` prints; `place` is what commands must be told to find the warehouse."""
    head = f"{result.pipeline}, as of {result.as_of}"
    lines = [f"{head}, run {result.run}" if result.run is not None else head, ""]
    steps = [node for name, node in result.nodes.items() if name not in result.tables]
    groups = {_STEPS: steps} if any(node.attempts for node in steps) else {}
    for name, node in result.tables.items():
        groups.setdefault(name.partition("_")[0], []).append(node)
    rows = [row for layer, nodes in groups.items() for row in _layer(layer, nodes)]
    lines += aligned(rows, left=(0, len(_COLUMNS) + 1))
    lines += [f"warning: {text}" for text in (*_warnings(result), *result.warnings)]
    lines += _rejected(result, place)
    lines += [f"problem: {text}" for text in result.problems]
    return "\n".join([*lines, _last_line(result)])


def aligned(rows: Sequence[Sequence[str]], left: Iterable[int] = (0,)) -> list[str]:
    """Return rows of text as lines of columns; those listed in `left` begin at the left."""
    return Columns(left).lines(rows)


class Columns:
    """Columns of text, each as wide as what has stood in it so far."""

    def __init__(self, left: Iterable[int]) -> None:
        """Begin without a row; the columns listed in `left` begin at the left."""
        self._left = set(left)
        self._widths: list[int] = []

    def lines(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """Return the rows that come next as lines."""
        rows = [tuple(map(harmless_cell, row)) for row in rows]
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        self._widths = [max(both) for both in zip_longest(self._widths, wide, fillvalue=0)]
        line = "  ".join(f"{{:{'<' if n in self._left else '>'}{w}}}" for n, w in enumerate(self._widths))
        return [line.format(*row).rstrip() for row in rows]


def _layer(layer: str, nodes: Sequence[NodeRun]) -> list[tuple[str, ...]]:
    empty = ("",) * len(_COLUMNS)
    rows = [(layer, *_COLUMNS, ""), *((f"  {_label(node, layer)}", *_cells(node)) for node in nodes)]
    if layer != _STEPS:
        total = sum(node.rows or 0 for node in nodes)
        rows.append((f"  {counted(len(nodes), 'table')}", f"{total:,}", *empty))
    return [*rows, ("", *empty, "")]


def _label(node: NodeRun, layer: str) -> str:
    return node.name.removeprefix(f"{layer}_")


def _cells(node: NodeRun) -> list[str]:
    ledger = node.ledger
    if node.status in ("failed", "blocked"):
        return ["-"] * len(_COLUMNS) + [f"{node.status}: {node.error or node.reason}"]
    rows = "-" if node.rows is None else f"{node.rows:,}"
    if not node.attempts:
        return [rows, "-", "-", "-", "-", f"{node.status}: {node.reason}"]
    note = f"{node.status}: {node.reason}" if node.status == "unchanged" else ""
    if node.retried:
        note = f"{note} ({node.attempts} attempts)".strip()
    return [
        rows,
        f"{ledger.filtered_rows:,}",
        f"{ledger.rejected:,}",
        f"{ledger.deduplicated:,}",
        f"{node.seconds:.2f}",
        note,
    ]


def _warnings(result: RunResult) -> list[str]:
    return [
        f"{node.name}: {v.check}: {counted(v.broken, 'case')}" + (f" ({v.detail})" if v.detail else "")
        for node in result.nodes.values()
        for v in node.verdicts
        if not v.passed and not v.blocks
    ]


def _rejected(result: RunResult, place: str) -> list[str]:
    """Return a line that says what this run rejected, and how to see it."""
    nodes = [node for node in result.nodes.values() if node.ledger.rejected]
    if not nodes:
        return []
    counts = [f"{counted(node.ledger.rejected, 'row')} of {node.name}" for node in nodes]
    return [f"rejected: {', '.join(counts)} (assay quarantine list --run {result.run}{place})"]


def _first_word(text: str) -> str:
    return text.split(" ", 1)[0].rstrip(":")


def counted(number: int, thing: str) -> str:
    """Return a number of things, such as "1 row" or "2 rows"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _last_line(result: RunResult) -> str:
    written = [node for node in result.tables.values() if node.status == "written"]
    seconds = f"{result.seconds:.1f} s"
    match result.state:
        case "published":
            if not written:
                return f"published: no table has changed, but what was delivered or rejected has ({seconds})"
            rows = sum(node.rows or 0 for node in written)
            return f"published {counted(len(written), 'table')} with {counted(rows, 'row')} in {seconds}"
        case "unchanged":
            return f"unchanged: the published tables are what this run would publish ({seconds})"
        case _:
            named = dict.fromkeys(name for text in result.problems if (name := _first_word(text)) in result.nodes)
            because = f" because of {', '.join(named)}" if named else ""
            return f"failed{because}: nothing was published ({seconds})"
