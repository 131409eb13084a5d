"""What every step of a run is given, and the inputs as they will stand if the run publishes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from assay.model import graph
from assay.model.data import DataFile, Manifest, Version, dataset_of_view, rows_in
from assay.model.pipeline import Pipeline, made_of
from assay.model.ports import Engine, Frame, Session, Warehouse
from assay.model.run import RunHandle
from assay.model.schema import Schema
from assay.model.source import Slice
from assay.runtime.lanes import Lanes
from assay.runtime.planning.plan import Plan, leaves
from assay.runtime.tracing.trace import Traced
from assay.settings import Settings


@dataclass(frozen=True, slots=True)
class Work:
    """All that a step needs; it runs in any process that reaches the warehouse."""

    pipeline: Pipeline
    traced: Mapping[str, Traced]
    plan: Plan
    handle: RunHandle
    engine: Engine
    warehouse: Warehouse
    settings: Settings
    lanes: Lanes = field(default_factory=Lanes)

    @property
    def stamp(self) -> dt.datetime:
        """The time that stamps show, in UTC: the date that was asked for, or the start of the run."""
        options = self.plan.options
        if options.dated:
            return dt.datetime.combine(options.as_of, dt.time())
        return self.handle.started_at.replace(tzinfo=None)

    def prefix(self, attempt: int) -> str:
        """Return how files of an attempt begin: told apart from those of other attempts, also before a resume."""
        return f"{self.handle.id}-{self.handle.token}-{attempt}"

    def dataset(self, name: str) -> str:
        """Return the dataset of a node or source."""
        return dataset_of_view(name) if name in self.pipeline.views else self.pipeline.dataset_of(name)

    def manifest(
        self, dataset: str, schema: Schema, attempt: int, added: tuple[DataFile, ...], removed: tuple[str, ...]
    ) -> Manifest:
        """Return what is staged of a dataset that goes with a table or source: its rejected rows, its key map."""
        base = self.plan.state.versions.get(dataset)
        return Manifest(
            dataset=dataset,
            attempt=attempt,
            base=base.id if base else None,
            changed=bool(added) or bool(removed) or base is None,
            schema=schema,
            next_field_id=schema.highest_id + 1,
            partition_by=(),
            added=added,
            removed=removed,
            fingerprint="",
            inputs={},
        )

    def scan(self, session: Session, files: Sequence[DataFile], schema: Schema, name: str) -> Frame:
        """Open stored files of the warehouse, all written with these columns."""
        return session.scan(self.warehouse.local(files), files, schema, name)

    def base(self, name: str) -> Version | None:
        """Return the version that a table or source had when the run was planned."""
        return self.plan.state.versions.get(self.dataset(name))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A table, view or source as it will stand if the run publishes."""

    name: str
    versions: Mapping[str, int]
    """What it stands for: its own version, or those of everything a view was made of."""
    files: tuple[DataFile, ...]
    schema: Schema

    @property
    def rows(self) -> int:
        """The number of rows over all files."""
        return rows_in(self.files)

    def open(self, work: Work, session: Session, columns: Schema, alias: str) -> Frame:
        """Open the dataset with just the given columns."""
        stored = Schema(tuple(self.schema[column.name] for column in columns))
        return work.scan(session, self.files, stored, alias)


def versions_of(work: Work, name: str) -> dict[str, int]:
    """Return the version of each table and source that a node stands for, as it will be."""
    found: dict[str, int] = {}
    for leaf in leaves(work.pipeline, name) if name in work.pipeline.views else (name,):
        data = would_be(work, leaf)
        if data is not None:
            found |= data.versions
    return found


def would_be(work: Work, name: str) -> Dataset | None:
    """Return a node or source as it will stand: what this run staged, or else what is published."""
    dataset = work.dataset(name)
    base = work.plan.state.versions.get(dataset)
    manifest = work.warehouse.manifests(work.handle.id, [dataset]).get(dataset)
    if manifest is not None and manifest.changed:
        removed = set(manifest.removed)
        kept = tuple(file for file in base.files if file.path not in removed) if base else ()
        versions = dict(manifest.inputs) if name in work.pipeline.views else {dataset: work.handle.id}
        return Dataset(name, versions, (*kept, *manifest.added), manifest.schema)
    if base is None:
        return None
    return Dataset(name, {dataset: base.id}, base.files, base.schema)


def slices_behind(work: Work, name: str) -> tuple[Slice, ...]:
    """Return the slices, as they will stand, of all sources that a table is made from."""
    reads_of = made_of(work.pipeline)
    found: list[Slice] = []
    reads = {read for node in graph.upstream(reads_of, [name]) for read in reads_of[node]}
    for source in sorted(reads & set(work.pipeline.sources)):
        dataset = work.dataset(source)
        manifest = work.warehouse.manifests(work.handle.id, [dataset]).get(dataset)
        stands = work.plan.state.slices.get(dataset, ())
        found += manifest.slices if manifest is not None and manifest.changed else stands
    return tuple(found)


def inputs_moved(work: Work, name: str, base: Version) -> bool:
    """Return whether a table, as it was published, was made of other versions than those that will stand."""
    for read in leaves(work.pipeline, name):
        now = would_be(work, read)
        if now is None or any(base.inputs.get(dataset) != version for dataset, version in now.versions.items()):
            return True
    return False


def is_behind(work: Work, name: str) -> bool:
    """Return whether a table that this run leaves out must be computed by the next: it, or one that it is made of."""
    base = work.base(name)
    if base is None or inputs_moved(work, name, base):
        return True
    reads = (read for read in leaves(work.pipeline, name) if read in work.pipeline.tables)
    return any(work.plan.steps[read].action == "skip" and is_behind(work, read) for read in reads)
