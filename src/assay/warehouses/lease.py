"""The lease of a pipeline: one run at a time, and a token that fences every run it was taken from."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from assay.model.errors import LeaseError, UsageError
from assay.model.run import RunHandle
from assay.warehouses.control import LEASES, RUNS
from assay.warehouses.owner import Owner

SECONDS = 60.0
"""How long a lease holds without being renewed; on its owner's host a dead owner is seen at once."""

HANDED_SECONDS = 900.0
"""How long it holds between the steps of a run that no process has in its hands."""


def take(connection: Connection, pipeline: str, plan: Mapping[str, Any], seconds: float) -> RunHandle | None:
    """Register a run and take its pipeline's lease for so long, or return None where a living run holds it.

    The run that a dead owner left behind is marked failed.
    """
    if not _is_free(connection, pipeline):
        return None
    started = dt.datetime.now(dt.UTC)
    run = connection.execute(
        insert(RUNS)
        .values(pipeline=pipeline, state="staged", as_of=plan["as_of"], started_at=started.isoformat(), plan=plan)
        .returning(RUNS.c.id)
    ).scalar_one()
    return RunHandle(run, _hold_anew(connection, pipeline, run, seconds), started)


def retake(connection: Connection, pipeline: str, run: int, seconds: float) -> RunHandle | None:
    """Take a pipeline's lease for a run of it that failed, or return None where a living run holds it.

    Raises UsageError where the run is no longer the newest, or did not fail.
    """
    if not _is_free(connection, pipeline):
        return None
    newest = select(RUNS.c.id, RUNS.c.state, RUNS.c.started_at).where(RUNS.c.pipeline == pipeline)
    row = connection.execute(newest.order_by(RUNS.c.id.desc()).limit(1)).one()
    if (row.id, row.state) != (run, "failed"):
        raise UsageError(f"Run {run} cannot be resumed: run {row.id} is {row.state} in the meantime.")
    connection.execute(update(RUNS).where(RUNS.c.id == run).values(state="staged", ended_at=None, result=None))
    return RunHandle(run, _hold_anew(connection, pipeline, run, seconds), dt.datetime.fromisoformat(row.started_at))


def _is_free(connection: Connection, pipeline: str) -> bool:
    """Return whether no living run holds the lease; the run that a dead owner left behind is marked failed."""
    held = connection.execute(select(LEASES).where(LEASES.c.pipeline == pipeline)).one_or_none()
    if held is None or held.run is None:
        return True
    owner = Owner.from_text(held.owner)
    # A clock may be set at any time; how long the machine is up tells the truth to all who run on it.
    holds = held.expires_up > time.monotonic() if owner.shares_uptime() else held.expires_at > time.time()
    if holds and not owner.is_surely_dead():
        return False
    _fail_abandoned(connection, held.run)
    return True


def _hold_anew(connection: Connection, pipeline: str, run: int, seconds: float) -> int:
    """Give the lease to a run, and return its token."""
    seq = connection.execute(select(func.coalesce(func.max(RUNS.c.seq), 0))).scalar_one()
    mine = {"run": run, "owner": Owner.here().to_text(), "seq": seq, **_for(seconds)}
    given = update(LEASES).where(LEASES.c.pipeline == pipeline).values(**mine, token=LEASES.c.token + 1)
    token = connection.execute(given.returning(LEASES.c.token)).scalar_one_or_none()
    if token is None:
        token = 1
        connection.execute(insert(LEASES).values(pipeline=pipeline, token=token, **mine))
    return int(token)


def _for(seconds: float) -> dict[str, int]:
    """Return when a lease ends that is to hold so long from now."""
    return {"expires_at": math.ceil(time.time() + seconds), "expires_up": math.ceil(time.monotonic() + seconds)}


def renew(connection: Connection, handle: RunHandle, seconds: float) -> None:
    """Prolong the lease; raises LeaseError where another run has taken over."""
    _hold(connection, handle, **_for(seconds))


def held(connection: Connection, pipeline: str, run: int) -> RunHandle:
    """Return the handle by which a run holds its pipeline's lease; raises LeaseError where it does not."""
    started = select(RUNS.c.started_at).where(RUNS.c.id == run).scalar_subquery()
    mine = (LEASES.c.pipeline == pipeline) & (LEASES.c.run == run)
    row = connection.execute(select(LEASES.c.token, started.label("started_at")).where(mine)).one_or_none()
    if row is None:
        raise _taken_over(run)
    return RunHandle(run, row.token, dt.datetime.fromisoformat(row.started_at))


def own(connection: Connection, handle: RunHandle, seconds: float) -> None:
    """Let the lease belong to this process, from whatever process it was; raises LeaseError as `renew` does."""
    _hold(connection, handle, owner=Owner.here().to_text(), **_for(seconds))


def hand_over(connection: Connection, handle: RunHandle) -> None:
    """Let the lease belong to no process, and hold for long: whoever does the next step of the run renews it.

    Raises LeaseError where another run has taken over.
    """
    _hold(connection, handle, owner=Owner.nobody().to_text(), **_for(HANDED_SECONDS))


def release(connection: Connection, handle: RunHandle) -> None:
    """Give the lease back; raises LeaseError where another run has taken over."""
    _hold(connection, handle, run=None)


def end_dead(connection: Connection) -> None:
    """Take the lease from every run whose owner is dead or silent: from now on it cannot publish."""
    for pipeline in connection.execute(select(LEASES.c.pipeline).where(LEASES.c.run.is_not(None))).scalars().all():
        if _is_free(connection, pipeline):
            connection.execute(update(LEASES).where(LEASES.c.pipeline == pipeline).values(run=None))


def at_work(connection: Connection) -> dict[int, int]:
    """Return the runs that hold a lease, and the last publish when each took it."""
    held = select(LEASES.c.run, LEASES.c.seq).where(LEASES.c.run.is_not(None))
    return {row.run: row.seq for row in connection.execute(held)}


def check(connection: Connection, handle: RunHandle) -> None:
    """Raise LeaseError where another has taken the run over: what it would record belongs to nobody's run."""
    mine = (LEASES.c.run == handle.id) & (LEASES.c.token == handle.token)
    if connection.execute(select(LEASES.c.run).where(mine)).first() is None:
        raise _taken_over(handle.id)


def holder(connection: Connection, pipeline: str) -> int | None:
    """Return the run that holds the pipeline's lease."""
    return connection.execute(select(func.max(LEASES.c.run)).where(LEASES.c.pipeline == pipeline)).scalar()


def _hold(connection: Connection, handle: RunHandle, **values: int | str | None) -> None:
    mine = (LEASES.c.run == handle.id) & (LEASES.c.token == handle.token)
    if connection.execute(update(LEASES).where(mine).values(**values)).rowcount != 1:
        raise _taken_over(handle.id)


def _taken_over(run: int) -> LeaseError:
    return LeaseError(f"Run {run} was taken over by another run; it publishes nothing.")


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
