"""The heartbeat of a run: its lease, renewed for as long as this process works on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from assay.model.errors import LeaseError
from assay.model.ports import Warehouse
from assay.model.run import RunHandle
from assay.settings import Settings

_BEATS = 4  # so often is a lease renewed in the time for which it holds


class Leased(Protocol):
    """What is under way with a lease: the work of a pipeline, or the course of a workflow."""

    @property
    def warehouse(self) -> Warehouse:
        """Where its lease is."""

    @property
    def handle(self) -> RunHandle:
        """Its number and token."""

    @property
    def settings(self) -> Settings:
        """What says how long the lease holds."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that is held and nothing more."""

    warehouse: Warehouse
    handle: RunHandle
    settings: Settings


@contextmanager
def heartbeat(work: Leased) -> Iterator[None]:
    """Renew the lease until the block ends; a lease that was lost shows at the publish."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(work.settings.lease_seconds / _BEATS):
            try:
                work.warehouse.renew(work.handle)
            except LeaseError:
                return

    thread = threading.Thread(target=beat, name="assay-heartbeat", daemon=True)
    try:
        thread.start()
        yield
    finally:
        stop.set()
        if thread.ident:
            # Else it was interrupted as it started.
            thread.join()
