"""Lanes: how many steps read databases at once in a process, and how many compute.

For a database one waits, and computing takes a processor: a step that has read leaves its place to the next that reads,
and takes one among those that compute.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, Self

from assay.runtime.kept import Kept
from assay.settings import Settings

Lane = Literal["reading", "computing"]


class Lanes:
    """The places that the steps of a process share, each thread in one lane at a time."""

    def __init__(self, *, reading: int | None = None, computing: int | None = None) -> None:
        """Say how many places there are; without a number, whoever calls the steps sees to how many do so at once."""
        given: dict[Lane, int | None] = {"reading": reading, "computing": computing}
        self._places = {lane: threading.Semaphore(most) for lane, most in given.items() if most is not None}
        self._own = threading.local()
        self.connections: Kept[Any] = Kept(reading or 0)
        """Those that nobody reads by now, and that the next table of their database is read by."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return as many places as the settings say."""
        return cls(reading=settings.database_limit, computing=settings.worker_count)

    def reading(self) -> AbstractContextManager[None]:
        """Have a place among those that read databases until the block ends, instead of any that this thread has."""
        return self._within("reading")

    def computing(self) -> AbstractContextManager[None]:
        """Have a place among those that compute until the block ends, instead of any that this thread has."""
        return self._within("computing")

    @contextmanager
    def _within(self, lane: Lane) -> Iterator[None]:
        if lane not in self._places or self._held == lane:
            yield
            return
        self._leave()
        self._places[lane].acquire()
        self._own.lane = lane
        try:
            yield
        finally:
            # The place it had before is not taken again: who goes on to another lane has done with it.
            self._leave()

    @property
    def _held(self) -> Lane | None:
        return getattr(self._own, "lane", None)

    def _leave(self) -> None:
        held, self._own.lane = self._held, None
        if held:
            self._places[held].release()
