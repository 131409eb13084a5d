"""Progress while a run is under way: a live display on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from assay.model.ports import Observer
from assay.model.run import NodeRun


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

        def show(name: str, node: NodeRun | None) -> None:
            with lock:
                if node is None:
                    working.append(name)
                elif name in working:
                    working.remove(name)
                display.update(task, description=", ".join(working), advance=0 if node is None else 1)

        yield (show,)
