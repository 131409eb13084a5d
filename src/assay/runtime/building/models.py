"""Models that were built: how each ended, and what is staged of those that have rows."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from assay.engines.dbt.results import Built, Result
from assay.model.check import Verdict
from assay.model.data import DataFile, Manifest, dataset_of_definitions
from assay.model.database import PostgresTable
from assay.model.dbt import DBT, DbtProject, Model
from assay.model.definition import STORED, Definition, DefinitionKind
from assay.model.ports import Destination
from assay.model.run import NodeRun, Status
from assay.model.source import FileIdentity, Slice
from assay.model.workshop import Workspace
from assay.runtime.extracting.following import brought_over
from assay.runtime.extracting.mirroring import Mirrored
from assay.runtime.planning.delivery import SourcePlan
from assay.runtime.tracing.trace import trace_source
from assay.runtime.work import Work
from assay.sources.postgres.built import tables_built, views_built

_TOLD = 5
"""So many of what failed are named; each stands in its own record."""


_UNIT = "unit_test."
"""What the names of tests begin with that tell how rows differ from those that were expected."""


@dataclass(frozen=True, slots=True)
class Results:
    """How a build ended."""

    nodes: Mapping[str, NodeRun]
    """By model."""
    verdicts: tuple[Verdict, ...]
    """Of tests that are about no model."""
    failed: tuple[str, ...] = ()
    """What speaks against publishing."""


def results_of(work: Work, project: DbtProject, built: Built) -> Results:
    """Return the record of every model, before any of them is staged, and what failed."""
    verdicts: dict[str, list[Verdict]] = {}
    for test, about in project.tests.items():
        if (result := built.results.get(test)) is not None and result.status != "skipped":
            told = result.message if result.failures and test.startswith(_UNIT) else ""
            verdicts.setdefault(about, []).append(_verdict(built.titles[test], result, told))
    nodes = {
        name: replace(_node(work, model, built.results.get(model.unique_id)), verdicts=tuple(verdicts.get(name, ())))
        for name, model in project.models.items()
    }
    # What it said stands in the record of the model, and is told from there.
    faults = [f"{node.name} fails" for node in nodes.values() if node.error]
    faults += [
        f"{about}: test {verdict.check} fails{_count(verdict)}"
        for about, found in verdicts.items()
        for verdict in found
        if verdict.blocks
    ]
    faults += [
        f"{name}: {result.message}" for name, result in built.results.items() if _is_apart(result, name, project)
    ]
    more = [f"and {len(faults) - _TOLD:,} more"] if len(faults) > _TOLD else []
    return Results(nodes, tuple(verdicts.get(DBT, ())), (*faults[:_TOLD], *more))


def _is_apart(result: Result, name: str, project: DbtProject) -> bool:
    """Return whether something failed that is neither a model nor a test: a hook of the project, or one that is new."""
    models = {model.unique_id for model in project.models.values()}
    return not result.went_well and result.status != "skipped" and name not in models and name not in project.tests


def _verdict(title: str, result: Result, told: str) -> Verdict:
    if result.status == "error":
        return Verdict(title, "block", 1, result.message)
    return Verdict(title, "warn" if result.status == "warn" else "block", result.failures, told)


def _count(verdict: Verdict) -> str:
    return f": {verdict.detail}" if verdict.detail else f" ({verdict.broken:,} found)"


def _node(work: Work, model: Model, result: Result | None) -> NodeRun:
    step = work.plan.steps[model.name]
    if result is None:
        base = work.base(model.name) if model.has_rows else None
        why = "nothing it reads has changed"
        return NodeRun(model.name, "unchanged", why, base.rows if base else None, attempts=0)
    if result.status == "skipped":
        return NodeRun(model.name, "blocked", "what it reads, or a test of that, failed", attempts=0)
    status: Status = "computed" if result.went_well else "failed"
    error = None if result.went_well else result.message
    return NodeRun(model.name, status, step.reason, error=error, started_at=result.started_at, ended_at=result.ended_at)


def stage_models(
    work: Work,
    space: Workspace,
    results: Results,
    inputs: Mapping[str, Mapping[str, int]],
    chosen: Sequence[str],
    attempt: int,
) -> Results:
    """Stage the tables that were built, and what the database must have for all models; return the records."""
    project = work.pipeline.dbt
    assert project is not None, "its models were built"
    tables = tables_built(space, {name: project.models[name] for name in chosen})
    texts = views_built(space, [model for model in project.models.values() if not model.has_rows])
    mirrored = brought_over(_reading(work, tables, project), tables, attempt) if tables else {}
    own = {
        name: replace(each.manifests[0], inputs=dict(inputs[name]), partition_by=()) for name, each in mirrored.items()
    }
    others = [manifest for each in mirrored.values() for manifest in each.manifests[1:]]
    definitions = _definitions(work, project, tables, texts, attempt)
    work.warehouse.record(work.handle, *own.values(), *others, definitions)
    staged = {name: _staged(results.nodes[name], each) for name, each in mirrored.items()}
    return replace(results, nodes={**results.nodes, **staged})


def _staged(node: NodeRun, mirrored: Mirrored) -> NodeRun:
    found = mirrored.node
    ledger = replace(found.ledger, read={DBT: found.ledger.returned})
    return replace(
        node, status=found.status, reason=found.reason, rows=found.rows, ledger=ledger, quarantine=found.quarantine
    )


def _reading(work: Work, tables: Mapping[str, PostgresTable], project: DbtProject) -> Work:
    """Return the work with what was built as tables of a database that are to be read whole."""
    traced = {n: replace(trace_source(t), fingerprint=project.models[n].fingerprint) for n, t in tables.items()}
    sources = {}
    for name in tables:
        dataset = project.models[name].dataset
        identity = FileIdentity(DBT, 0, 0, 0, 0, "")
        part = Slice(dataset, 1, identity, work.plan.options.as_of.isoformat(), time.time_ns())
        sources[name] = SourcePlan((part,), frozenset([dataset]), frozenset(), "dbt has built it", whole=True)
    plan = replace(work.plan, sources={**work.plan.sources, **sources})
    return replace(work, pipeline=work.pipeline.with_sources(tables), traced={**work.traced, **traced}, plan=plan)


def _definitions(
    work: Work, project: DbtProject, tables: Mapping[str, PostgresTable], texts: Mapping[str, str], attempt: int
) -> Manifest:
    """Return what is to be recorded of what the database must have beside rows."""
    dataset = dataset_of_definitions(work.pipeline.name)
    base = work.plan.state.versions.get(dataset)
    with work.engine.session() as session:
        before = session.fetch(work.scan(session, base.files, base.schema, "definitions")) if base else []
        known = {row[0]: Definition.from_row(dict(zip(STORED.names, row, strict=True))) for row in before}
        wanted = [_definition(model, tables, texts, known) for model in project.models.values()]
        changed = wanted != list(known.values())
        added: tuple[DataFile, ...] = ()
        if changed:
            with tempfile.TemporaryDirectory(prefix="definitions-", dir=work.engine.room) as folder:
                rows = Path(folder, "rows.jsonl")
                rows.write_text("".join(f"{json.dumps(each.to_row())}\n" for each in wanted), "utf-8")
                place = work.warehouse.folder(dataset, work.handle.id)
                to = Destination(work.warehouse.root, place, work.prefix(attempt), STORED)
                added = session.write(session.open_json_lines(str(rows), STORED), to)
    removed = tuple(file.path for file in base.files) if base and changed else ()
    manifest = work.manifest(dataset, STORED, attempt, added, removed)
    return replace(manifest, changed=changed, fingerprint=project.fingerprint)


def _definition(
    model: Model,
    tables: Mapping[str, PostgresTable],
    texts: Mapping[str, str],
    known: Mapping[str, Definition],
) -> Definition:
    grants = tuple((privilege, role) for privilege, roles in model.grants.items() for role in roles)
    if not model.has_rows:
        kind: DefinitionKind = "materialized view" if model.kind == "materialized view" else "view"
        return Definition(model.dataset, kind, sql=texts[model.name], indexes=model.indexes, grants=grants)
    if (table := tables.get(model.name)) is None:
        return known[model.dataset]
    columns = tuple(table.kinds.items())
    return Definition(model.dataset, "table", columns, model.key, model.partition_by, "", model.indexes, grants)
