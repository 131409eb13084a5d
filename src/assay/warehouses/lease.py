"""The lease of a pipeline: one run at a time, and a token that fences every run it was taken from."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from assay.model.errors import LeaseError
from assay.model.ports import RunHandle
from assay.warehouses.control import LEASES, RUNS
from assay.warehouses.owner import Owner

SECONDS = 60
"""How long a lease holds without being renewed; on its owner's host a dead owner is seen at once."""


def take(connection: Connection, pipeline: str, plan: Mapping[str, Any]) -> RunHandle | None:
    """Register a run and take its pipeline's lease, or return None where a living run holds it.

    The run that a dead owner left behind is marked failed.
    """
    held = connection.execute(select(LEASES).where(LEASES.c.pipeline == pipeline)).one_or_none()
    if held is not None and held.run is not None:
        if held.expires_at > time.time() and not Owner.from_text(held.owner).is_surely_dead():
            return None
        _fail_abandoned(connection, held.run)
    token = (held.token if held else 0) + 1
    started = dt.datetime.now(dt.UTC)
    run = connection.execute(
        insert(RUNS)
        .values(pipeline=pipeline, state="staged", as_of=plan["as_of"], started_at=started.isoformat(), plan=plan)
        .returning(RUNS.c.id)
    ).scalar_one()
    lease = {"run": run, "token": token, "owner": Owner.here().to_text(), "expires_at": int(time.time()) + SECONDS}
    if held is None:
        connection.execute(insert(LEASES).values(pipeline=pipeline, **lease))
    else:
        connection.execute(update(LEASES).where(LEASES.c.pipeline == pipeline).values(**lease))
    return RunHandle(run, token, started)


def renew(connection: Connection, handle: RunHandle) -> None:
    """Prolong the lease; raises LeaseError where another run has taken over."""
    _hold(connection, handle, expires_at=int(time.time()) + SECONDS)


def release(connection: Connection, handle: RunHandle) -> None:
    """Give the lease back; raises LeaseError where another run has taken over."""
    _hold(connection, handle, run=None, expires_at=0)


def holder(connection: Connection, pipeline: str) -> int | None:
    """Return the run that holds the pipeline's lease."""
    return connection.execute(select(func.max(LEASES.c.run)).where(LEASES.c.pipeline == pipeline)).scalar()


def _hold(connection: Connection, handle: RunHandle, **values: int | None) -> None:
    mine = (LEASES.c.run == handle.id) & (LEASES.c.token == handle.token)
    if connection.execute(update(LEASES).where(mine).values(**values)).rowcount != 1:
        raise LeaseError(f"Run {handle.id} was taken over by another run; it publishes nothing.")


def _fail_abandoned(connection: Connection, run: int) -> None:
    connection.execute(
        update(RUNS)
        .where(RUNS.c.id == run, RUNS.c.state == "staged")
        .values(
            state="failed",
            ended_at=dt.datetime.now(dt.UTC).isoformat(),
            result={"problems": ["its process ended before it could publish"], "tables": {}},
        )
    )
