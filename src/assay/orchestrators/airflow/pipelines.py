"""A run of a pipeline as tasks: what each does in a process of its own, which knows of others by the ticket alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from assay.loading import reading
from assay.model.dbt import DBT
from assay.model.outcome import UnitRun, UnitStatus
from assay.model.pipeline import Pipeline
from assay.model.run import NodeRun, RunOptions, RunResult
from assay.model.workflow import Part, pipeline_of
from assay.observe.lines import line_of
from assay.orchestrators.airflow.asking import SOURCES, options_in
from assay.orchestrators.airflow.context import Context, origin_in, ticket_in, why_given_up
from assay.orchestrators.airflow.failing import LOG, told
from assay.orchestrators.airflow.site import Site
from assay.orchestrators.airflow.workflows import WorkflowTasks
from assay.orchestrators.apart import Apart
from assay.orchestrators.opening import check_passwords, parts
from assay.orchestrators.units import chosen

_AT = "at"
"""When it began, beside its ticket."""


@dataclass(frozen=True, slots=True)
class PipelineTasks:
    """What the tasks of one pipeline do in a DAG run."""

    unit: Pipeline | Part
    site: Site
    within: WorkflowTasks | None = None
    """The workflow of which this is a step."""

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline that is run."""
        return pipeline_of(self.unit)

    @property
    def prefix(self) -> str:
        """What the names of its tasks begin with."""
        return f"{self.unit.name}." if self.within else ""

    @property
    def chosen(self) -> RunOptions | None:
        """What a part of a pipeline chooses; None for all of it."""
        return chosen(self.unit, RunOptions(dt.date.min))[1] if isinstance(self.unit, Part) else None

    def begin(self, **context: Any) -> dict[str, Any]:
        """Plan the run, or go on with the one that was begun for this DAG run; return its ticket."""
        with self._failing(context), self._parts(context) as apart:
            asked = options_in(context, self.within.whole if self.within else self.unit)
            given = context["params"].get(SOURCES)
            check_passwords(given)
            declared, options = chosen(self.unit, asked)
            pipeline = reading(declared, given, self.site.folder)
            ticket = apart.begin(pipeline, options, origin_in(context, self.prefix))
        LOG.info("%s: %s", self.pipeline.name, f"run {ticket.run}" if ticket.run else "there is nothing to do")
        return {**ticket.to_json(), _AT: dt.datetime.now(dt.UTC).isoformat()}

    def step(self, step: str, **context: Any) -> dict[str, Any]:
        """Do one step, and tell what it did; fails where that failed, and is skipped where there is nothing to do."""
        return _told(_well(self._done(step, context)))

    def dbt_run(self, **context: Any) -> dict[str, Any]:
        """Have dbt build and test the models; fails where one was not built, what tests found fails `dbt_test`."""
        node = self._done(DBT, context)
        return {**_told(node), "found": node.error} if _is_built(node) else _told(_well(node))

    def dbt_test(self, **context: Any) -> None:
        """Fail where tests of the models did; to be cleared with `dbt_run`, which tests again."""
        built = context["ti"].xcom_pull(task_ids=f"{self.prefix}dbt_run")
        if built is None:
            raise AirflowSkipException("There is nothing to test.")
        if found := built.get("found"):
            raise AirflowFailException(f"{found}. Clear {self.prefix}dbt_run when that is mended: it tests, too.")

    def publish(self, **context: Any) -> dict[str, Any]:
        """Publish all tables, or nothing, and tell which layers have changed; fails where the run has."""
        ticket = ticket_in(context, self.prefix)
        if ticket.run is None:
            self._record(context, "done")
            raise AirflowSkipException("There is nothing to publish.")
        with self._failing(context, ticket.run):
            with self._parts(context) as apart:
                result = apart.end(self.pipeline, ticket)
            if not result.ok:
                why = "; ".join(result.problems)
                raise AirflowFailException(f"Run {result.run} of {result.pipeline} failed: {why}")
        self._record(context, "done", result.run)
        LOG.info("%s: run %s is %s", result.pipeline, result.run, result.state)
        return {"run": result.run, "state": result.state, "changed": _changed(result)}

    def tell(self, layer: str, **context: Any) -> None:
        """Tell those who wait for a layer that its tables have changed; is skipped where none has."""
        published = context["ti"].xcom_pull(task_ids=f"{self.prefix}publish") or {}
        changed = published.get("changed", {}).get(layer)
        if not changed:
            raise AirflowSkipException(f"No table of {layer} has changed.")
        context["outlet_events"][self.asset(layer)].extra = {"run": published["run"], "rows": changed}

    def asset(self, layer: str) -> Any:
        """Return what stands for a layer of the pipeline among Airflow's assets."""
        name = self.pipeline.name
        return Asset(name=f"{name}.{layer}", uri=f"assay://{name}/{layer}")

    def give_up(self, context: Context) -> None:
        """Close a run that its DAG run has left open, so that the next need not wait."""
        with self._parts() as apart:
            if (ticket := apart.begun(self.pipeline, origin_in(context, self.prefix))) is not None:
                apart.abandon(ticket, why_given_up(context))

    def _done(self, step: str, context: Context) -> NodeRun:
        ticket = ticket_in(context, self.prefix)
        if step not in ticket.steps:
            raise AirflowSkipException(f"{step}: there is nothing to do.")
        with self._parts(context) as apart:
            node = apart.do(self.pipeline, ticket, step)
        LOG.info(line_of(node, "table"))
        if node.traceback:
            LOG.error(node.traceback)
        if node.status == "skipped":
            raise AirflowSkipException(f"{step}: {node.reason}.")
        return node

    @contextmanager
    def _parts(self, context: Context | None = None) -> Iterator[Apart]:
        """Open what does a part of the run; for a task, with the leases of the workflows that it is in."""
        attending = self.within.attending(context) if self.within and context else nullcontext()
        with told(), parts(self.site.settings, self.site.location) as apart, attending:
            yield apart

    @contextmanager
    def _failing(self, context: Context, run: int | None = None) -> Iterator[None]:
        """Record in the workflow why this step of it failed."""
        try:
            yield
        except AirflowException as error:
            self._record(context, "failed", run, str(error))
            raise

    def _record(self, context: Context, status: UnitStatus, run: int | None = None, error: str | None = None) -> None:
        if self.within is None:
            return
        begun = context["ti"].xcom_pull(task_ids=f"{self.prefix}begin") or {}
        started = dt.datetime.fromisoformat(begun[_AT]) if begun else None
        done = UnitRun(self.unit.name, "pipeline", status, run, error=error, attempts=1, started_at=started)
        with told():
            self.within.record(context, done)


def _is_built(node: NodeRun) -> bool:
    """Return whether dbt has built what it could, and nothing but tests failed."""
    verdicts = [*node.verdicts, *(verdict for model in node.along for verdict in model.verdicts)]
    return any(verdict.blocks for verdict in verdicts) and not any(model.status == "failed" for model in node.along)


def _well(node: NodeRun) -> NodeRun:
    """Return a step that ended well; raises where it failed."""
    if node.status == "failed":
        failed = [each for each in node.along if each.status == "failed"] or [node]
        why = "; ".join(f"{each.name}: {each.error}" for each in failed)
        raise (AirflowException if node.may_pass else AirflowFailException)(why)
    return node


def _told(node: NodeRun) -> dict[str, Any]:
    return {"status": node.status, "rows": node.rows, "seconds": round(node.seconds, 3)}


def _changed(result: RunResult) -> dict[str, dict[str, int | None]]:
    """Return the tables that got new content, and their rows, by layer."""
    changed: dict[str, dict[str, int | None]] = {}
    for name, node in result.tables.items():
        if node.status == "written":
            changed.setdefault(name.partition("_")[0], {})[name] = node.rows
    return changed
