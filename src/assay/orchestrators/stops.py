"""Stopping what runs in other threads: the pipelines of a workflow, when it is interrupted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from assay.model.errors import RunError
from assay.orchestrators.embedded import Embedded


@dataclass(frozen=True, slots=True)
class Stops:
    """The pipelines that are at work, so that all of them can be stopped."""

    _running: dict[int, Embedded] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def goes_on(self) -> bool:
        """Return whether something more may begin."""
        return not self._stopped.is_set()

    def check(self) -> None:
        """Raise RunError where nothing more is to begin."""
        if not self.goes_on():
            raise RunError("The run was interrupted.")

    @contextmanager
    def listed(self, embedded: Embedded) -> Iterator[Embedded]:
        """Have what runs a pipeline stopped with the others, until the block ends."""
        with self._lock:
            self.check()
            self._running[id(embedded)] = embedded
        try:
            yield embedded
        finally:
            with self._lock:
                del self._running[id(embedded)]

    def stop(self) -> None:
        """Stop all pipelines that are at work; nothing more begins."""
        with self._lock:
            self._stopped.set()
            running = list(self._running.values())
        for embedded in running:
            embedded.engine.interrupt()
