"""Tables of databases before a run reads them: what of each has to be read, and why."""

from __future__ import annotations

import importlib
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from assay.model.database import PostgresTable
from assay.model.pipeline import Pipeline
from assay.model.published import State
from assay.model.run import RunOptions
from assay.model.source import FileIdentity, Slice
from assay.runtime.planning.delivery import SourcePlan, plan_source
from assay.runtime.tracing.trace import Traced


def reads_database(pipeline: Pipeline, name: str) -> bool:
    """Return whether a step waits for a database: of that name is a source that is a table of one."""
    return isinstance(pipeline.sources.get(name), PostgresTable)


def load_driver(pipeline: Pipeline) -> None:
    """Load what reads the pipeline's databases; raises UsageError where it is not installed."""
    if pipeline.databases:
        importlib.import_module("assay.sources.postgres.looking")


def plan_sources(
    pipeline: Pipeline,
    names: Collection[str],
    traced: Mapping[str, Traced],
    state: State,
    options: RunOptions,
    folder: Path,
) -> dict[str, SourcePlan]:
    """Return the plan of each source; a database is asked once for all of its tables.

    Raises SourceError for a source that cannot be read as declared.
    """
    looks = not (options.backfill or options.mended)
    asked = [set(tables) & set(names) for tables in pipeline.databases.values()] if looks else []
    plans: dict[str, SourcePlan] = {}
    for each in asked:
        if each:
            plans |= _plan_tables(pipeline, each, traced, state, options)
    for name in set(names) - plans.keys():
        plans[name] = plan_source(pipeline, name, traced[name].fingerprint, state, options, folder)
    return {name: plans[name] for name in pipeline.sources if name in plans}


def _plan_tables(
    pipeline: Pipeline, names: Collection[str], traced: Mapping[str, Traced], state: State, options: RunOptions
) -> dict[str, SourcePlan]:
    # Its driver is an extra.
    from assay.sources.postgres.looking import Asked, look_at

    tables = {name: source for each in pipeline.databases.values() for name, source in each.items() if name in names}
    asked, rereads, parts = {}, {}, {}
    for name, source in tables.items():
        version = state.versions.get(pipeline.dataset_of(name))
        rereads[name] = options.full or (version is not None and version.fingerprint != traced[name].fingerprint)
        parts[name] = slice_of(source, state.slices.get(pipeline.dataset_of(name), ()), options)
        asked[name] = Asked(source, version.schema.names if version is not None else (), parts[name].watermark)
    found = look_at(asked)
    plans = {}
    for name, source in tables.items():
        part = parts[name]
        known = state.slices.get(pipeline.dataset_of(name), ())
        why = ("it is read again" if rereads[name] else None) or found[name].whole
        plans[name] = SourcePlan(
            slices=(part,),
            to_read=frozenset([part.name]),
            gone=frozenset(each.name for each in known if each.name != part.name),
            reason=f"all of {source.relation} is read: {why}" if why else f"{source.relation} may have changed",
            surely=part.watermark is None,
            whole=rereads[name],
        )
    return plans


def slice_of(source: PostgresTable, known: Collection[Slice], options: RunOptions) -> Slice:
    """Return the slice that stands for a table, as it is before it is read."""
    before = next((part for part in known if part.name == source.relation), None)
    return Slice(
        name=source.relation,
        number=before.number if before else 1 + max((part.number for part in known), default=0),
        identity=FileIdentity(source.path, 0, 0, 0, 0, ""),
        extracted_on=options.as_of.isoformat(),
        extracted_at_ns=time.time_ns(),
        header=before.header if before else (),
        watermark=before.watermark if before else None,
    )
