"""DAG files as a user writes them, parsed and run by Airflow itself in this process."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import find_relevant_relatives
from airflow.sdk import DAG
from airflow.sdk.definitions.dag import _run_task
from airflow.serialization.serialized_objects import DagSerialization
from airflow.settings import Session
from airflow.utils.state import DagRunState, TaskInstanceState

_FILES = count(1)
_HEAD = "from assay.orchestrators.airflow import to_dag\nfrom tests.airflow.running import remembering\n"


@dataclass(frozen=True)
class Outcome:
    """How a DAG run ended."""

    run_id: str
    state: str
    tasks: Mapping[str, str]
    """The state of each task."""
    tries: Mapping[str, int]

    def named(self, state: str) -> set[str]:
        """Return the tasks that ended so."""
        return {name for name, ended in self.tasks.items() if ended == state}


def remembering(file: str) -> dict[str, Any]:
    """Return what has each task write down why it failed: what Airflow tells whoever is called then."""

    def remember(context: Mapping[str, Any]) -> None:
        with Path(file).open("a") as told:
            told.write(f"{context['ti'].task_id}: {context['exception']}\n")

    return {"on_failure_callback": remember}


def dag_of(folder: Path, text: str) -> DAG:
    """Write a DAG file and return the one DAG that Airflow finds in it."""
    file = folder / f"dag_{next(_FILES)}.py"
    file.write_text(f"{_HEAD}{dedent(text)}")
    return _dag(file)


def dag_in(folder: Path, file: Path) -> DAG:
    """Return the one DAG that Airflow finds in a file of the project, which stays where it is."""
    link = folder / f"dag_{next(_FILES)}.py"
    link.symlink_to(file)
    return _dag(link)


def _dag(file: Path) -> DAG:
    bag = DagBag(file)
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    return dag


def run(dag: DAG, *, at: dt.datetime | None = None, **asked: Any) -> Outcome:
    """Run a DAG to its end, for now or as it would have been at a time, with some of its parameters."""
    return _outcome(dag.test(logical_date=at or dt.datetime.now(dt.UTC), run_conf=asked))


def cleared(dag: DAG, before: Outcome, *tasks: str) -> Outcome:
    """Clear tasks of a DAG run and all that follow them, as Airflow's page does, and let it go on to its end."""
    session = Session()
    known = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    # As `dag.test` does, since what is stored of a DAG has no functions.
    known.on_failure_callback = dag.on_failure_callback
    follow = find_relevant_relatives(
        tasks, (), direction="downstream", dag=known, run_id=before.run_id, session=session
    )
    known.clear(task_ids={*tasks, *follow}, run_id=before.run_id, session=session)
    found = session.query(DagRun).filter_by(dag_id=dag.dag_id, run_id=before.run_id).one()
    found.dag = known
    found.set_state(DagRunState.RUNNING)
    while found.state == DagRunState.RUNNING:
        session.expire_all()
        found.dag = known
        ready, _ = found.update_state(session=session)
        for instance in ready:
            instance.try_number += 1
            instance.state = TaskInstanceState.SCHEDULED
        session.commit()
        for instance in ready:
            _run_task(ti=instance, task=dag.task_dict[instance.task_id])
        if not ready:
            time.sleep(0.05)
    return _outcome(found)


def _outcome(run: DagRun) -> Outcome:
    instances = run.get_task_instances()
    states = {instance.task_id: str(instance.state) for instance in instances}
    tries = {instance.task_id: instance.try_number for instance in instances}
    return Outcome(run.run_id, str(run.state), states, tries)
