"""Making DAGs: one for a pipeline, a part of one or a workflow, from its declaration alone."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack, assert_never

from airflow.sdk import DAG

from assay.model.errors import DeclarationError
from assay.model.pipeline import Pipeline
from assay.model.workflow import Part, Task, Unit, Workflow
from assay.orchestrators.airflow.alerts import Callback, when_a_run_is_given_up, when_a_task_fails, when_late
from assay.orchestrators.airflow.asking import SOURCES, params_of, params_of_workflow
from assay.orchestrators.airflow.phases import add_workflow
from assay.orchestrators.airflow.pipelines import PipelineTasks
from assay.orchestrators.airflow.site import Site, site_of
from assay.orchestrators.airflow.tasks import add_pipeline, as_function
from assay.orchestrators.airflow.workflows import WorkflowTasks
from assay.orchestrators.opening import options_for, unit_of

_START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


class DagArguments(TypedDict, total=False):
    """What can be said of a DAG beside what it runs; all else goes to Airflow's own DAG as it is."""

    warehouse: str | Path | None
    """Where it publishes; by default what the settings say. A folder counts from that of assay.toml."""
    sources: Mapping[str, str]
    """Source name -> path to read instead of the declared one."""
    retries: int
    """How often a task is tried again after its first failure: 2."""
    retry_delay: dt.timedelta
    """How long to wait before that: 30 seconds."""
    timeout: dt.timedelta | None
    """How long a task may take."""
    database_pool: str | None
    """The pool of Airflow of which a task that reads a database takes a slot, so that not too many do so at once."""
    alert_to: str | None
    """Who gets a mail when a task, or the DAG run as a whole, has failed, by Airflow's connection `smtp_default`."""
    deadline: dt.timedelta | None
    """How long after it is queued a DAG run must have ended, or who gets alerts is told; needs Airflow's triggerer."""
    dag_id: str
    """By default the name of what it runs."""
    start_date: dt.datetime
    catchup: bool
    """Whether runs are made for the times before it was there: not by default."""
    max_active_runs: int
    """1 by default: one run of a pipeline is made at a time."""
    tags: list[str]


def to_dag(declared: Unit | str, *, schedule: Any = None, **arguments: Unpack[DagArguments]) -> Any:
    """Return a DAG that runs a pipeline or workflow: what `assay run` does, with a task a table and a group a layer.

    Args:
        declared: a Pipeline, a part of one, a Workflow, a name in assay.toml, or "module:object".
        schedule: when it is run, as Airflow's DAG takes it, such as "0 2 * * *".
        **arguments: see DagArguments; what else Airflow's DAG knows is handed on to it.

    The settings are those of the folder of the file that calls this: of the nearest assay.toml upwards.
    Raises DeclarationError for what no DAG can be made of.
    """
    return _dag(declared, sys._getframe(1).f_code.co_filename, schedule, dict(arguments))


def _dag(declared: Unit | str, file: str, schedule: Any, given: dict[str, Any]) -> Any:
    site = site_of(file, given.pop("warehouse", None), given.pop("database_pool", None))
    unit = unit_of(declared, site.settings)
    sources, alert_to = given.pop("sources", {}), given.pop("alert_to", None)
    asked: dict[str, Any] = {
        "dag_id": unit.name,
        "start_date": _START,
        "catchup": False,
        "max_active_runs": 1,
        "tags": ["assay"],
        "params": _params(unit, sources),
        **_late(given.get("dag_id", unit.name), alert_to, given.pop("deadline", None)),
    }
    tasks = {**_trying(given), **_alerting(alert_to), **given.pop("default_args", {})}
    failing = [*_giving_up(unit, site), *_mailing(alert_to), *_listed(given.pop("on_failure_callback", None))]
    with DAG(**{**asked, **given}, default_args=tasks, on_failure_callback=failing, schedule=schedule) as dag:
        _add(unit, site)
    return dag


def _trying(given: dict[str, Any]) -> dict[str, Any]:
    """Return how often each task is tried, and how long it may take."""
    return {
        "retries": given.pop("retries", 2),
        "retry_delay": given.pop("retry_delay", dt.timedelta(seconds=30)),
        "execution_timeout": given.pop("timeout", None),
    }


def _alerting(alert_to: str | None) -> dict[str, Any]:
    return {"on_failure_callback": when_a_task_fails(alert_to)} if alert_to else {}


def _mailing(alert_to: str | None) -> list[Callback]:
    return [when_a_run_is_given_up(alert_to)] if alert_to else []


def _late(dag_id: str, alert_to: str | None, after: dt.timedelta | None) -> dict[str, Any]:
    return {"deadline": when_late(dag_id, alert_to, after)} if after is not None else {}


def _listed(callbacks: Any) -> list[Any]:
    """Return the callbacks that a user gave: none, one or some."""
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, list) else [callbacks]


def _params(unit: Unit, sources: Mapping[str, str]) -> dict[str, Any]:
    match unit:
        case Pipeline():
            return params_of(unit, sources)
        case Part(pipeline=pipeline):
            known = {*options_for(unit), SOURCES}
            return {name: each for name, each in params_of(pipeline, sources).items() if name in known}
        case _:
            return params_of_workflow()


def _add(unit: Unit, site: Site) -> None:
    """Add the tasks of what is declared to the DAG that is open."""
    match unit:
        case Pipeline() | Part():
            add_pipeline(PipelineTasks(unit, site))
        case Workflow():
            add_workflow(WorkflowTasks(unit, site))
        case Task():
            raise DeclarationError(f"{unit.name} is a task: a DAG runs pipelines, parts of them and workflows.")
        case _:
            assert_never(unit)


def _giving_up(unit: Unit, site: Site, within: WorkflowTasks | None = None) -> Iterator[Callback]:
    """Yield what closes the runs that a DAG run has left open: first those of a workflow's steps."""
    match unit:
        case Pipeline() | Part():
            yield as_function(PipelineTasks(unit, site, within).give_up)
        case Workflow():
            doing = WorkflowTasks(unit, site, within)
            for each in unit.units.values():
                yield from _giving_up(each, site, doing)
            yield as_function(doing.give_up)
        case Task():
            return
        case _:
            assert_never(unit)
