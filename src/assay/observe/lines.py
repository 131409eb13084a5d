"""A run as plain lines while it is under way: what a pipe, a file or a CI log keeps."""

from __future__ import annotations

import threading

from assay.model.event import Event, NodeEnded, NodeKind, NodeStarted, Observer, PhaseEnded, PhaseStarted, UnitEnded
from assay.model.outcome import UnitRun
from assay.model.run import NodeRun
from assay.observe.saying import say


def lines() -> Observer:
    """Return an observer that says what each source, view and table did, under a banner for each layer."""
    begun: set[str] = set()
    lock = threading.Lock()

    def tell(event: Event) -> None:
        if isinstance(event, NodeStarted):
            announce(event.name, event.kind)
        elif isinstance(event, NodeEnded) and event.node.status != "skipped":
            announce(event.node.name, event.kind)
            say(line_of(event.node, event.kind))
        elif (line := line_of_phase(event)) is not None:
            say(line)

    def announce(name: str, kind: NodeKind) -> None:
        layer = name.partition("_")[0]
        with lock:
            if kind == "table" and layer not in begun:
                begun.add(layer)
                say(f"=== {layer} ===")

    return tell


def tell_traceback(event: Event) -> None:
    """Say where in the code a table failed."""
    if isinstance(event, NodeEnded) and event.node.traceback:
        say(f"{event.node.name}: {event.node.traceback.rstrip()}")


def line_of(node: NodeRun, kind: NodeKind) -> str:
    """Return what a source, view or table did, in one line."""
    tries = f" ({node.attempts} attempts)" if node.attempts > 1 else ""
    match node.status:
        case "failed":
            return f"{node.name}: failed{tries}: {node.error}"
        case "blocked":
            return f"{node.name}: blocked: {node.reason}"
        case "written" | "computed":
            return f"{node.name}: {_what_it_did(node, kind)} in {node.seconds:.2f} s{tries}"
        case _:
            return f"{node.name}: {node.status}{tries}"


def line_of_phase(event: Event) -> str | None:
    """Return what is told of a workflow's phase or step, in one line; None for other events."""
    match event:
        case PhaseStarted():
            return f"--- {event.workflow}, phase {event.phase}: {', '.join(event.units)} ---"
        case UnitEnded():
            return _line_of_unit(event.unit)
        case PhaseEnded():
            return f"--- {event.workflow}, phase {event.phase}: {'done' if event.ok else 'failed'} ---"
        case _:
            return None


def _line_of_unit(unit: UnitRun) -> str:
    tries = f" ({unit.attempts} attempts)" if unit.attempts > 1 else ""
    run = f", run {unit.run}" if unit.run is not None else ""
    if unit.status == "failed":
        return f"{unit.name}{run}: failed{tries}: {unit.error}"
    return f"{unit.name}{run}: {unit.status} in {unit.seconds:.2f} s{tries}"


def _what_it_did(node: NodeRun, kind: NodeKind) -> str:
    if node.rows is None:
        return "computed"
    rows = node.rows
    if kind != "table":
        return f"{'read' if kind == 'source' else 'computed'} {_rows(rows)}"
    written = node.ledger.written
    return f"wrote {_rows(rows)}" if written == rows else f"wrote {_rows(written)}, now {rows:,},"


def _rows(number: int) -> str:
    return f"{number:,} {'row' if number == 1 else 'rows'}"
