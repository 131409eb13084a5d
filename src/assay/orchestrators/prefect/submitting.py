"""Flow runs on other workers: started by the name of their deployment, waited for, and told when one fails."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import MissingContextError, ObjectNotFound
from prefect.logging import get_logger
from prefect.states import Scheduled

from assay.model.errors import RunError, UsageError

POLL_SECONDS = 2.0


class SubflowError(RunError):
    """A flow run that was waited for did not complete."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Flow runs that were started together."""

    runs: Mapping[UUID, str]
    """The flow runs, each with the name of its deployment."""

    def wait(self, *, timeout: float | None = None, poll: float = POLL_SECONDS) -> dict[str, Any]:
        """Wait until all have ended and sum up: how many there are, and the state and seconds of each.

        Raises SubflowError where one did not complete, TimeoutError after `timeout` seconds.
        """
        ended = wait_for_flow_runs(list(self.runs), timeout=timeout, poll=poll)
        told = {str(run.id): {"deployment": self.runs[run.id], **_told(run)} for run in ended}
        return {"flow_runs": told, "completed": len(told)}


def submit(*deployments: str, parameters: Mapping[str, Any] | None = None) -> Submission:
    """Start a run of each deployment, all with the same parameters; `wait()` waits for them.

    Args:
        *deployments: names as "flow/deployment".
        parameters: of the flows.
    """
    runs = trigger_multiple_subflows([(name, parameters or {}) for name in deployments])
    return Submission(dict(zip(runs, deployments, strict=True)))


def trigger_subflow(
    deployment: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    key: str | None = None,
    scheduled_time: dt.datetime | None = None,
) -> UUID:
    """Start a run of a deployment, named "flow/deployment", and return its id without waiting for it.

    Within a flow it is shown as one of its subflows. With a `key` it is started once: asked again, that run is
    returned, and is run again if it did not complete. Its own date is that of its `scheduled_time`, now by default.
    Raises UsageError where there is no such deployment.
    """
    given = dict(parameters or {})
    try:
        started: Any = run_deployment(
            deployment, parameters=given, scheduled_time=scheduled_time, timeout=0, idempotency_key=key
        )
    except ObjectNotFound:
        raise UsageError(
            f"The server has no deployment {deployment!r}; `assay deploy prefect` makes those of assay.toml."
        ) from None
    run: UUID = started.id
    if started.state.is_final() and not started.state.is_completed():
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run, Scheduled(name="AwaitingRetry"), force=True)
    _log(f"sub-flow {deployment} triggered: {started.name} ({run})")
    return run


def trigger_multiple_subflows(calls: Iterable[tuple[str, Mapping[str, Any]]]) -> list[UUID]:
    """Start several runs, each of a deployment with its parameters, and return their ids in this order."""
    return [trigger_subflow(deployment, parameters) for deployment, parameters in calls]


def wait_for_flow_runs(
    flow_runs: Sequence[UUID], *, timeout: float | None = None, poll: float = POLL_SECONDS
) -> list[Any]:
    """Wait until all flow runs have ended, and return them as the server knows them.

    Raises SubflowError that names each which did not complete, once all have ended; TimeoutError after `timeout`
    seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    ended: dict[UUID, Any] = {}
    with get_client(sync_client=True) as client:
        while True:
            for run in flow_runs:
                if run not in ended and (found := client.read_flow_run(run)).state.is_final():
                    ended[run] = found
                    _log(f"flow run {found.name} {found.state.name.lower()} ({run})")
            if len(ended) == len(set(flow_runs)):
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"{len(set(flow_runs)) - len(ended)} flow runs have not ended in {timeout:g} s.")
            time.sleep(poll)
    found = [ended[run] for run in flow_runs]
    if failed := [run for run in found if not run.state.is_completed()]:
        why = "; ".join(f"{run.name}: {run.state.name}: {run.state.message}" for run in failed)
        raise SubflowError(f"{len(failed)} of {len(found)} flow runs did not complete: {why}")
    return found


def _told(run: Any) -> dict[str, Any]:
    return {"name": run.name, "state": run.state.name, "seconds": round(run.total_run_time.total_seconds(), 3)}


def _log(line: str) -> None:
    """Say it in the log of the flow run that this is, or of the process."""
    try:
        get_run_logger().info(line)
    except MissingContextError:
        get_logger("assay").info(line)
