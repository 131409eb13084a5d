"""Progress while a run is under way: a live display on a terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from assay.model.event import Event, NodeEnded, NodeStarted, Observer, PhaseStarted, RunStarted, UnitEnded
from assay.observe.lines import lines


@contextmanager
def progress() -> Iterator[tuple[Observer, ...]]:
    """Show which tables are being computed, on standard error; a terminal that moves no cursor gets lines."""
    from rich.console import Console  # costs more to load than a small command takes
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
    if not console.is_terminal or console.is_dumb_terminal:
        yield (lines(),)
        return
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as display:
        task = display.add_task("", total=None)
        working: list[str] = []
        ended: set[str] = set()
        lock = threading.Lock()

        def show(event: Event) -> None:
            with lock:
                match event:
                    case RunStarted():
                        ended.clear()
                        display.update(task, total=event.nodes)
                    case NodeStarted():
                        working.append(event.name)
                    case PhaseStarted():
                        working.extend(event.units)
                    case UnitEnded():
                        working[:] = [name for name in working if name != event.unit.name]
                    case NodeEnded():
                        working[:] = [name for name in working if name != event.node.name]
                        ended.add(event.node.name)
                display.update(task, description=", ".join(working), completed=len(ended))

        yield (show,)
