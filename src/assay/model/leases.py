"""What a warehouse knows of runs under way: one of a pipeline at a time, and whose it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from assay.model.run import RunHandle, RunState


class Leases(Protocol):
    """The leases of pipelines: a run that lost its own can record and publish nothing any more."""

    def begin(self, pipeline: str, plan: Mapping[str, Any], *, patience: float) -> RunHandle:
        """Register a run and take the pipeline's lease; wait `patience` seconds where another run holds it."""

    def reopen(
        self, pipeline: str, run: int, keep: Collection[str], *, forget: Collection[str] = (), patience: float
    ) -> RunHandle:
        """Take the lease for a run that failed, and forget what it staged for other datasets than those to keep.

        Of the steps to forget its record says nothing any more.
        Raises LeaseError where another run is at work, UsageError where the run has been resumed by another.
        """

    def renew(self, handle: RunHandle) -> None:
        """Tell others that the run is alive."""

    def held(self, pipeline: str, run: int) -> RunHandle:
        """Return the handle by which a run holds its pipeline's lease; raises LeaseError where it does not."""

    def own(self, handle: RunHandle) -> None:
        """Let the run belong to this process, from whatever process it was; raises LeaseError as `hand_over` does."""

    def hand_over(self, handle: RunHandle) -> None:
        """Let the run belong to no process, until one renews its lease; raises LeaseError where it was taken over."""

    def outcome(self, run: int) -> RunState:
        """Return the state that a run is in by its record: what settles a publish whose answer was lost."""
