"""What a pipeline's functions give for the tables as they are published, and what they drop."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.model.data import Version
from assay.model.pipeline import Pipeline
from assay.model.ports import Frame, Session, Warehouse
from assay.model.published import State
from assay.model.run import Run
from assay.model.schema import Schema
from assay.model.table import Node, Table
from assay.runtime.tracing.trace import Traced, call
from assay.transform.drop import Dropped, collecting


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a function gives for its inputs as they are published."""

    frame: Frame
    opened: Mapping[str, Frame]
    """By the name of the input."""
    dropped: list[Dropped]


@dataclass(slots=True)
class Functions:
    """The functions of a pipeline, each evaluated when it is first asked for."""

    pipeline: Pipeline
    traced: Mapping[str, Traced]
    state: State
    warehouse: Warehouse
    session: Session
    _known: dict[str, Evaluated | None] = field(default_factory=dict)

    def of(self, node: Node) -> Evaluated | None:
        """Return what a function gives; None where what it reads is not published as it needs it."""
        if node.name not in self._known:
            self._known[node.name] = self._evaluate_now(node)
        return self._known[node.name]

    def _evaluate_now(self, node: Node) -> Evaluated | None:
        opened = {}
        for parameter, name in node.inputs.items():
            frame = self._input(name)
            if frame is None:
                return None
            opened[parameter] = frame
        with collecting() as dropped:
            result = call(node, opened, Run(self.as_of(node)))
            frame = self.session.cast(self.session.resolve(result, node.name), self.traced[node.name].schema)
        return Evaluated(frame, {name: opened[p] for p, name in node.inputs.items()}, dropped)

    def _input(self, name: str) -> Frame | None:
        if name in self.pipeline.views:
            evaluated = self.of(self.pipeline.views[name])
            return evaluated.frame if evaluated else None
        version = self.state.versions.get(self.pipeline.dataset_of(name))
        seen = self.traced[name].seen
        if version is None or any(c.name not in version.schema for c in seen):
            return None
        return self.scan(version, Schema(tuple(version.schema[c.name] for c in seen)), name)

    def scan(self, version: Version, columns: Schema, name: str) -> Frame:
        """Open a published version with just the given columns."""
        return self.session.scan(self.warehouse.local(version.files), version.files, columns, name)

    def as_of(self, node: Node) -> dt.date:
        """Return the date that a published table was computed for; today for a view."""
        version = self.state.versions.get(self.pipeline.dataset_of(node.name)) if isinstance(node, Table) else None
        return dt.date.fromisoformat(version.as_of) if version and version.as_of else dt.datetime.now(dt.UTC).date()
