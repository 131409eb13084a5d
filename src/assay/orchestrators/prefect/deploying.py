"""Putting the deployments of a project on a server of Prefect, with all that their runs need there."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists, ParameterTypeError, SignatureMismatchError
from prefect.states import StateType
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker
from pydantic import ValidationError

from assay.model.errors import SettingsError
from assay.orchestrators.outline import DATABASE
from assay.orchestrators.prefect import entry
from assay.orchestrators.prefect.declared import Deployment, check, deployments_of
from assay.orchestrators.prefect.flows import deployed_flow
from assay.settings import Settings

HEARTBEAT_SECONDS = 30
"""How often a flow run tells that it is alive; Prefect takes no less."""
SILENT_SECONDS = 90
SILENT = "assay: a flow run that fell silent is run again"
_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = ("Completed", "Failed", "Cancelled", "Crashed", "AwaitingRetry", "Scheduled", "Paused", "Suspended")


def deploy(settings: Settings) -> list[tuple[Deployment, str]]:
    """Make or renew every deployment that assay.toml declares, and return each with the pool that it runs on.

    Two pools of processes are made: flow runs that wait for others have one of their own, so that they never keep the
    workers busy that those need. Steps that read databases share a limit. A flow run whose process is gone is started
    again by whoever is free. Raises SettingsError, before anything is made, that names what is wrong with one.
    """
    known = deployments_of(settings)
    for each in known.values():
        check(each, known)
    prepared = [_prepared(each) for each in known.values()]
    with get_client(sync_client=True) as client:
        for pool in (settings.work_pool, _parents(settings)):
            _make_pool(client, pool)
        limit_databases(client, settings)
        _watch_silent(client)
        return [(each.deployment, _deploy(client, each, settings)) for each in prepared]


def limit_databases(client: Any, settings: Settings) -> None:
    """Let so many steps read databases at once, over all workers of the server, as the settings say."""
    client.upsert_global_concurrency_limit_by_name(DATABASE, settings.database_limit)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A deployment that may be made: its flow is found, takes its parameters, and its schedule is one."""

    deployment: Deployment
    flow: Any
    schedules: list[DeploymentScheduleCreate]


def _prepared(deployment: Deployment) -> _Prepared:
    place, flow = f"deployments.{deployment.name}", deployed_flow(deployment.name)
    if deployment.parameters:
        try:
            flow.validate_parameters(dict(deployment.parameters))
        except (ParameterTypeError, SignatureMismatchError) as wrong:
            raise SettingsError(f"{place}.parameters: {wrong}") from None
    if not deployment.cron:
        return _Prepared(deployment, flow, [])
    try:
        when = CronSchedule(cron=deployment.cron, timezone=deployment.timezone)
    except ValidationError as wrong:
        raise SettingsError(f"{place}: {wrong.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return _Prepared(deployment, flow, [DeploymentScheduleCreate(schedule=when)])


def _parents(settings: Settings) -> str:
    return f"{settings.work_pool}-parents"


def _make_pool(client: Any, name: str) -> None:
    template = ProcessWorker.get_default_base_job_template()
    try:
        client.create_work_pool(WorkPoolCreate(name=name, type=ProcessWorker.type, base_job_template=template))
    except ObjectAlreadyExists:
        return


def _deploy(client: Any, prepared: _Prepared, settings: Settings) -> str:
    deployment, flow, folder = prepared.deployment, prepared.flow, str(Path(settings.folder).absolute())
    pool = _parents(settings) if deployment.waits else settings.work_pool
    client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=deployment.name,
        description=flow.description,
        entrypoint=f"{entry.__name__}.{deployment.name}",
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": folder}}],
        work_pool_name=pool,
        parameters=dict(deployment.parameters),
        parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
        schedules=prepared.schedules,
        tags=list(deployment.tags),
        job_variables={"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}},
    )
    return pool


def _watch_silent(client: Any) -> None:
    """Have a flow run that is no longer heard of scheduled anew: its process, or the machine of it, is gone.

    What its run has done so far stands in the warehouse, and is gone on with.
    """
    ends = {f"prefect.flow-run.{end}" for end in _ENDS}
    trigger = EventTrigger(
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        after={_HEARTBEAT},
        expect={_HEARTBEAT, *ends},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=dt.timedelta(seconds=SILENT_SECONDS),
    )
    again = ChangeFlowRunState(
        state=StateType.SCHEDULED, name="AwaitingRetry", message=f"Nothing was heard of it for {SILENT_SECONDS} s."
    )
    if not client.read_automations_by_name(SILENT):
        client.create_automation(AutomationCore(name=SILENT, trigger=trigger, actions=[again], enabled=True))
