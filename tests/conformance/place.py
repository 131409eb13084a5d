"""A warehouse under test: staging and publishing through its Protocol alone, in this process or another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from assay.model.data import Manifest, is_table
from assay.model.ports import Destination, Engine, Publication, Warehouse
from assay.model.published import State, TableShape
from assay.model.run import NodeRun, RunHandle, RunResult, RunState
from assay.model.schema import Schema
from assay.transform.sql import sql
from tests.conformance.implementations import WAREHOUSES

ROOT = Path(__file__).parents[2]
PLAN = {"as_of": "2024-12-01", "steps": {}}
ID = (("id", "BIGINT"),)
Columns = Sequence[tuple[str, str]]

# Another process: it begins a run, says so in one line, and then waits until its standard input is closed.
_BEGIN = """
import json, sys
from pathlib import Path
from tests.conformance.implementations import WAREHOUSES
from tests.conformance.place import PLAN
handle = WAREHOUSES[sys.argv[1]](Path(sys.argv[2])).begin(sys.argv[3], PLAN, patience=0)
print(json.dumps([handle.id, handle.token]), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Place:
    """A warehouse, how to open it again, and an engine for its files."""

    kind: str
    folder: Path
    warehouse: Warehouse
    engine: Engine

    def reopen(self) -> Warehouse:
        """Open the same warehouse as a stranger would."""
        return WAREHOUSES[self.kind](self.folder)

    def begin(self, pipeline: str = "shop", patience: float = 0.0) -> RunHandle:
        return self.warehouse.begin(pipeline, PLAN, patience=patience)

    def draft(
        self,
        handle: RunHandle,
        dataset: str,
        query: str = "select 1 as id",
        columns: Columns = ID,
        state: State | None = None,
    ) -> Manifest:
        """Write the query's rows as the dataset's whole content, in place of what the state holds; record nothing."""
        base = (state or self.warehouse.state()).versions.get(dataset)
        schema = Schema.of(columns).following(base.schema if base else None, base.next_field_id if base else 1)
        if is_table(dataset):
            self.warehouse.make_room([TableShape(dataset, tuple(columns))])
        to = Destination(self.warehouse.root, self.warehouse.folder(dataset, handle.id), f"{handle.id}-1", schema)
        with self.engine.session() as session:
            added = session.write(session.resolve(sql(query), dataset), to)
        return Manifest(
            dataset=dataset,
            attempt=1,
            base=base.id if base else None,
            changed=True,
            schema=schema,
            next_field_id=max(schema.highest_id + 1, base.next_field_id if base else 1),
            partition_by=(),
            added=added,
            removed=tuple(file.path for file in base.files) if base else (),
            fingerprint=f"of run {handle.id}",
            inputs={},
            as_of="2024-12-01",
        )

    def stage(
        self,
        handle: RunHandle,
        dataset: str,
        query: str = "select 1 as id",
        columns: Columns = ID,
        state: State | None = None,
    ) -> Manifest:
        """Draft a manifest and record it."""
        manifest = self.draft(handle, dataset, query, columns, state)
        self.warehouse.record(handle, manifest)
        return manifest

    def publish(
        self,
        handle: RunHandle,
        *,
        pipeline: str = "shop",
        state: State | None = None,
        reads: Sequence[str] = (),
        result: RunResult | None = None,
    ) -> None:
        """Publish what the run has recorded, planned on the state, having read the datasets named."""
        planned = state or self.warehouse.state()
        manifests = self.warehouse.manifests(handle.id)
        versions = {name: planned.versions[name].id if name in planned.versions else None for name in reads}
        versions |= {name: manifest.base for name, manifest in manifests.items()}
        publication = Publication(pipeline, manifests, versions, result or ended(handle, pipeline))
        prepared = self.warehouse.prepare(handle.id, manifests, planned)
        self.warehouse.publish(handle, publication, prepared, planned)

    def run(self, pipeline: str = "shop", **queries: str) -> int:
        """Run and publish: each keyword is a dataset of layer bronze, its query has a column `id`."""
        handle = self.begin(pipeline)
        for entity, query in queries.items():
            self.stage(handle, f"bronze.{entity}", query)
        self.publish(handle, pipeline=pipeline)
        return handle.id

    def rows(self, dataset: str, state: State | None = None) -> list[tuple[Any, ...]]:
        """Return what a reader sees of the dataset, in order of the first column."""
        version = (state or self.warehouse.state()).versions[dataset]
        with self.engine.session() as session:
            return sorted(
                session.fetch(session.scan(self.warehouse.local(version.files), version.files, version.schema, "seen"))
            )

    def facts(self) -> tuple[Any, ...]:
        """Return all that others can see, for comparing before and after."""
        return self.warehouse.state(), self.warehouse.history(100)

    @contextmanager
    def stranger(
        self, pipeline: str = "shop", around: Sequence[str] = ()
    ) -> Iterator[tuple[subprocess.Popen[str], RunHandle]]:
        """Let another process begin a run and wait; it is killed at the latest at the end of the block.

        `around` is a command that runs it.
        """
        command = [*around, sys.executable, "-c", _BEGIN, self.kind, str(self.folder), pipeline]
        process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin
        assert process.stdout
        with process:
            try:
                number, token = json.loads(process.stdout.readline())
                yield process, RunHandle(number, token, datetime.now(UTC))
            finally:
                process.kill()


def ended(
    handle: RunHandle,
    pipeline: str = "shop",
    state: RunState = "published",
    problems: Sequence[str] = (),
    tables: Mapping[str, NodeRun] | None = None,
) -> RunResult:
    """Return the result of a run, as it is recorded with its end."""
    nodes = dict(tables or {})
    return RunResult(handle.id, pipeline, state, date(2024, 12, 1), nodes, nodes, 0.1, tuple(problems))
