"""As many workers as the work needs: more while flow runs wait for one, and fewer again when nothing is left."""

from __future__ import annotations

import datetime as dt
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from assay.assembly import current_settings
from tools.prefect.access import Access
from tools.prefect.server import Server
from tools.prefect.workers import Workers, tell_line, working

ASK_SECONDS = 2.0
IDLE_SECONDS = 30.0
"""For so long nothing is to be done before workers go."""
_NOT_ENDED = ["SCHEDULED", "PENDING", "RUNNING"]


@dataclass
class Scaling:
    """Keeps the workers of a pool between two numbers."""

    workers: Workers
    access: Access
    pool: str
    least: int
    most: int
    asked: float = 0.0
    busy: float = field(default_factory=time.monotonic)
    """When there was last something to do."""

    def look(self) -> None:
        """Ask the server what is to be done, if it was not asked just now, and begin or end a worker."""
        now = time.monotonic()
        if self.most <= self.least or now - self.asked < ASK_SECONDS:
            return
        self.asked = now
        runs = self._not_ended()
        waiting = sum(_is_due(run) for run in runs)
        if runs and (waiting or any(run["state_type"] != "SCHEDULED" for run in runs)):
            self.busy = now
        if waiting and self.workers.count(self.pool) < self.most:
            self.workers.tell(f"{waiting} flow runs wait for a worker")
            self.workers.add_to(self.pool)
        elif now - self.busy > IDLE_SECONDS and self.workers.count(self.pool) > self.least:
            self.workers.tell(f"nothing was to be done for {IDLE_SECONDS:g} s")
            self.workers.end_last(self.pool)

    def _not_ended(self) -> Sequence[dict[str, Any]]:
        """Return the flow runs of the pool that have not ended."""
        only = {"flow_runs": {"state": {"type": {"any_": _NOT_ENDED}}}, "work_pools": {"name": {"any_": [self.pool]}}}
        try:
            found: list[dict[str, Any]] = self.access.ask("/flow_runs/filter", {**only, "limit": 200})
        except OSError:
            # The server is away; its workers wait for it, too.
            return []
        return found


def _is_due(run: dict[str, Any]) -> bool:
    """Return whether a flow run waits for a worker."""
    if run["state_type"] != "SCHEDULED":
        return False
    due = dt.datetime.fromisoformat(run["next_scheduled_start_time"] or run["expected_start_time"])
    return due <= dt.datetime.now(dt.UTC)


def supervise(server: Server, count: int, limit: int, most: int) -> None:
    """Run workers until Ctrl-C or SIGTERM: so many, and up to `most` while flow runs wait for one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), working(server, count, limit, tell_line) as workers:
        scaling = Scaling(workers, server.access(), current_settings().work_pool, count, most)
        while True:
            workers.look()
            scaling.look()
            time.sleep(0.5)
    tell_line("all workers have ended, and their flow runs")
