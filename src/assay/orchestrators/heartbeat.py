"""The heartbeat of a run: its lease, renewed for as long as this process works on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from assay.model.errors import LeaseError
from assay.runtime.work import Work

_BEATS = 4  # so often is a lease renewed in the time for which it holds


@contextmanager
def heartbeat(work: Work) -> Iterator[None]:
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
