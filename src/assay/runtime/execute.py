"""Executing one step of a run, in whatever process: retries, sessions, and the record of what happened."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from functools import partial
from traceback import format_exception

from assay.model.dbt import DBT
from assay.model.errors import AssayError, UsageError, describe
from assay.model.pipeline import Pipeline
from assay.model.run import DONE, NodeRun, Status
from assay.model.secrets import without_secrets
from assay.runtime.computing.stage import stage_table, stage_view
from assay.runtime.extracting.extract import extract
from assay.runtime.planning.databases import reads_database
from assay.runtime.planning.plan import Plan
from assay.runtime.planning.steps import NOT_SELECTED, left_to_tables
from assay.runtime.retrying import tried
from assay.runtime.work import Work


def execute(work: Work, name: str, attempt: int = 1) -> NodeRun:
    """Run one source, view or table of a run, with its retries, and record what it did.

    Attempts are numbered from the one given: two that may be made at once must have numbers of their own.
    A fault of its own is recorded, not raised; an input that is wrong as a whole (SourceError) ends the run.
    """
    step = work.plan.steps[name]
    if step.action == "skip":
        return skipped(work.pipeline, work.plan, name)
    if step.action == "maybe" and name in work.pipeline.views:
        return left_to_tables(name)
    started, began = dt.datetime.now(dt.UTC), time.monotonic()
    retried: list[str] = []
    try:
        done = tried(
            lambda number: _once(work, name, attempt - 1 + number),
            retries=work.settings.retries,
            seconds=work.settings.retry_seconds,
            may_pass=_may_pass,
            retried=retried,
        )
    except UsageError:
        raise
    except Exception as error:
        done = _failed(name, step.reason, error)
    if (other := _done_by_another(work, done, range(attempt, attempt + len(retried) + 1))) is not None:
        return other
    told = partial(
        replace,
        attempts=len(retried) + 1,
        retried=tuple(retried),
        started_at=started,
        # The clock may have been set meanwhile.
        ended_at=started + dt.timedelta(seconds=time.monotonic() - began),
    )
    along = tuple(told(each) if each.name in work.pipeline.sources else each for each in done.along)
    done = told(done, along=along)
    recorded = {*work.pipeline.sources, *work.pipeline.models}
    for each in (done, *(each for each in along if each.name in recorded)):
        work.warehouse.record_node(work.handle, each)
    return done


def _done_by_another(work: Work, done: NodeRun, attempts: range) -> NodeRun | None:
    """Return what another process recorded of the step, where it is that whose rows stand: both did it at once."""
    if done.name in work.pipeline.views or done.name == DBT:
        return None
    dataset = work.dataset(done.name)
    staged = work.warehouse.manifests(work.handle.id, [dataset]).get(dataset)
    if staged is None or staged.attempt in attempts:
        return None
    recorded = work.warehouse.newest(work.pipeline.name)
    body = recorded.nodes.get(done.name) if recorded is not None and recorded.id == work.handle.id else None
    return NodeRun.from_json(done.name, body) if body is not None and body["status"] in DONE else None


def _failed(name: str, reason: str, error: Exception) -> NodeRun:
    traceback = without_secrets("".join(format_exception(error)))
    return NodeRun(name, "failed", reason, error=describe(error), may_pass=_may_pass(error), traceback=traceback)


def skipped(pipeline: Pipeline, plan: Plan, name: str) -> NodeRun:
    """Return the record of a node that stands as it is."""
    reason = plan.steps[name].reason
    if name in pipeline.views or name == DBT:
        return NodeRun(name, "skipped", reason, attempts=0)
    base = plan.state.versions.get(pipeline.dataset_of(name))
    status: Status = "skipped" if reason == NOT_SELECTED else "unchanged"
    return NodeRun(name, status, reason, base.rows if base else None, attempts=0)


def blocked(work: Work, name: str, by: str) -> NodeRun:
    """Return the record of a node that could not run because of one it reads."""
    base = None if name in work.pipeline.views or name == DBT else work.base(name)
    return NodeRun(name, "blocked", f"{by} failed", base.rows if base else None, attempts=0)


def _once(work: Work, name: str, attempt: int) -> NodeRun:
    if reads_database(work.pipeline, name):
        return _follow(work, name, attempt)
    if name == DBT and work.pipeline.models:
        return _build(work, attempt)
    with work.engine.session() as session:
        if name in work.pipeline.sources:
            return extract(work, name, session, attempt)
        if name in work.pipeline.views:
            return stage_view(work, name, session, attempt)
        return stage_table(work, name, session, attempt)


def _follow(work: Work, name: str, attempt: int) -> NodeRun:
    from assay.runtime.extracting.following import follow

    return follow(work, name, attempt)


def _build(work: Work, attempt: int) -> NodeRun:
    from assay.runtime.building.build import build

    return build(work, attempt)


def _may_pass(error: Exception) -> bool:
    """Whether trying again may help: what assay itself refuses, it would refuse again."""
    return not isinstance(error, AssayError)
