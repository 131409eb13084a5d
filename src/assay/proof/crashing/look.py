"""Looking at a warehouse after a crash: what a reader sees, and whether its books are in order."""

from __future__ import annotations

from collections.abc import Iterator

from assay.model.data import Version, is_table, name_of_table
from assay.model.pipeline import Pipeline
from assay.model.ports import Engine, Warehouse
from assay.model.run import NodeRun
from assay.proof.crashing.crash import Look
from assay.runtime.publishing.gate import imbalances


def look(engine: Engine, warehouse: Warehouse, pipeline: Pipeline) -> Look:
    """Return what is published: every table by its content, what is missing, and what does not balance."""
    versions = [v for name, v in sorted(warehouse.state().versions.items()) if is_table(name)]
    missing = warehouse.missing()
    if missing:
        return Look({}, missing)
    tables, wrong = {}, list(_unbalanced(warehouse, pipeline))
    with engine.session() as session:
        for version in versions:
            name = name_of_table(version.dataset)
            tables[name] = session.digest(
                session.scan(warehouse.local(version.files), version.files, version.schema, name)
            )
            wrong += _miscounted(version, tables[name])
    return Look(tables, (), tuple(wrong))


def _miscounted(version: Version, digest: str) -> Iterator[str]:
    rows = int(digest.partition(":")[0])
    if rows != version.rows:
        yield f"{version.dataset} has {rows:,} rows, and {version.rows:,} by its record"


def _unbalanced(warehouse: Warehouse, pipeline: Pipeline) -> Iterator[str]:
    """Yield what does not balance in the newest run, where it is published."""
    newest = warehouse.newest(pipeline.name)
    if newest is None or newest.state != "published":
        return
    for name, body in newest.nodes.items():
        yield from imbalances(pipeline, NodeRun.from_json(name, body))
