"""Progress while a run is under way: a live display on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from assay.model.event import Event, NodeEnded, NodeStarted, Observer


@contextmanager
def progress() -> Iterator[tuple[Observer, ...]]:
    """Show which tables are being computed, on standard error; the observers it gives may be called from threads."""
    from rich.console import Console  # costs more to load than a small command takes
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
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
        lock = threading.Lock()

        def show(event: Event) -> None:
            with lock:
                if isinstance(event, NodeStarted):
                    working.append(event.name)
                    display.update(task, description=", ".join(working))
                elif isinstance(event, NodeEnded):
                    working[:] = [name for name in working if name != event.node.name]
                    display.update(task, description=", ".join(working), advance=1)

        yield (show,)
