"""The record of a run in parts, as each of its parts finds it in the warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from assay.model.errors import LeaseError, UsageError, describe
from assay.model.past import RecordedRun
from assay.model.ports import Warehouse
from assay.model.run import RunHandle, RunResult
from assay.orchestrators.ticket import Ticket


def record_of(warehouse: Warehouse, ticket: Ticket) -> RecordedRun:
    """Return the record of a run; raises LeaseError where it is no longer the newest of its pipeline or workflow."""
    recorded = warehouse.newest(ticket.pipeline)
    if recorded is None or recorded.id != ticket.run:
        raise LeaseError(f"Run {ticket.run} of {ticket.pipeline} was followed by another; it publishes nothing.")
    return recorded


def record_begun_for(warehouse: Warehouse, name: str, origin: str) -> RecordedRun | None:
    """Return the record of the newest run of a pipeline or workflow, if it was begun for this origin."""
    recorded = warehouse.newest(name)
    return None if recorded is None or recorded.plan.get("origin") != origin else recorded


def opened(warehouse: Warehouse, ticket: Ticket, reopen: Callable[[RecordedRun], None]) -> RecordedRun:
    """Return the record of a run, opened again if it had failed; raises what `reopen` does where that cannot be."""
    recorded = record_of(warehouse, ticket)
    if recorded.state != "failed":
        return recorded
    try:
        reopen(recorded)
    except (LeaseError, UsageError):
        # Another part may have opened it a moment before.
        if record_of(warehouse, ticket).state != "staged":
            raise
    return record_of(warehouse, ticket)


@contextmanager
def failing_with(warehouse: Warehouse, handle: RunHandle, name: str) -> Iterator[None]:
    """Close a run as failed where the block ends by an error, so that the next need not wait for its lease."""
    try:
        yield
    except BaseException as error:
        why = describe(error) if isinstance(error, Exception) else "it was interrupted"
        with suppress(LeaseError):
            warehouse.close_run(handle, RunResult.failed(handle.id, name, why))
        raise
