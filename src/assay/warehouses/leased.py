"""How a warehouse gives out the leases of its pipelines, and waits for one that another run holds."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

from sqlalchemy import Connection

from assay.model.errors import LeaseError, WarehouseError
from assay.model.run import RunHandle
from assay.warehouses import lease

_POLL_SECONDS = 0.2


class LeasedRuns(ABC):
    """The part of a warehouse that holds runs apart."""

    url: str
    _lease_seconds: float

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Connection]:
        """Open a transaction that no other writer overlaps."""

    def renew(self, handle: RunHandle) -> None:
        """Tell others that the run is alive."""
        # Another writer may hold the catalog for long; the lease outlasts several of these calls.
        with suppress(WarehouseError), self._writing() as connection:
            lease.renew(connection, handle, self._lease_seconds)

    def own(self, handle: RunHandle) -> None:
        """Let the run belong to this process."""
        with self._writing() as connection:
            lease.own(connection, handle, self._lease_seconds)

    def hand_over(self, handle: RunHandle) -> None:
        """Let the run belong to no process, until one renews its lease."""
        with self._writing() as connection:
            lease.hand_over(connection, handle)

    def _taker(self, pipeline: str, plan: Mapping[str, Any]) -> Callable[[Connection], RunHandle | None]:
        return lambda connection: lease.take(connection, pipeline, plan, self._lease_seconds)

    def _leased(self, pipeline: str, take: Callable[[Connection], RunHandle | None], patience: float) -> RunHandle:
        """Return the handle that taking the lease gives once it is free; raises LeaseError after `patience` seconds."""
        deadline = time.monotonic() + patience
        while True:
            with self._writing() as connection:
                handle = take(connection)
                holder = lease.holder(connection, pipeline)
            if handle is not None:
                return handle
            if time.monotonic() >= deadline:
                raise LeaseError(
                    f"Run {holder} of {pipeline} is still at work in {self.url}; try again when it has ended."
                )
            time.sleep(_POLL_SECONDS)
