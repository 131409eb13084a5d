"""The lake as a warehouse: Parquet and Iceberg metadata in a folder, and one SQLite transaction that publishes."""

from __future__ import annotations

import importlib
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from assay.model.data import TEMPORARY, Manifest, is_table
from assay.model.errors import LeaseError, WarehouseError
from assay.model.ports import PastRun, Publication, RecordedRun, Rows, RunHandle, State
from assay.model.run import NodeRun, RunResult
from assay.warehouses import lease, publishing, reading
from assay.warehouses.control import MANIFESTS, RUNS
from assay.warehouses.iceberg import catalog, durable, layout
from assay.warehouses.serial import manifest_to_json

_METADATA_MODULE = "assay.warehouses.iceberg.metadata"
_POLL_SECONDS = 0.2


class IcebergWarehouse:
    """A lake in a folder."""

    def __init__(self, root: Path, *, create: bool) -> None:
        """Open the lake; where there is none and `create` is set, the first run makes it.

        Raises WarehouseError where there is none, or where the path is something else.
        """
        self._root = root.absolute()
        self.root = str(self._root)
        self.url = str(root)
        self._catalog = catalog.Catalog(self._root / catalog.FILE)
        # A catalog without tables is that of a run killed while it made the lake.
        self._made = self._catalog.is_made()
        if self._made:
            self._catalog.check()
        elif not create:
            raise WarehouseError(f"{root}: holds no lake yet; `assay run PIPELINE --warehouse {root}` makes one.")

    def state(self, at: int | None = None) -> State:
        """Read every published pointer in one consistent read; `at` is a run whose publish is the last seen."""
        if not self._is_made():
            return State({}, {}, {})
        with self._catalog.read() as connection:
            found = reading.read_state(connection, at)
            if at is None:
                _refuse_foreign(found, catalog.pointers(connection))
        return found

    def begin(self, pipeline: str, plan: Mapping[str, Any], *, patience: float) -> RunHandle:
        """Register a run and take the pipeline's lease; wait `patience` seconds where another run holds it."""
        self._make()
        handle = self._leased(pipeline, lambda connection: lease.take(connection, pipeline, plan), patience)
        with self._catalog.read() as connection:
            earlier = reading.read_earlier(connection, pipeline, handle.id)
        self._forget({str(run) for run in earlier})
        return handle

    def newest(self, pipeline: str) -> RecordedRun | None:
        """Return the newest run of a pipeline."""
        if not self._is_made():
            return None
        with self._catalog.read() as connection:
            return reading.read_newest(connection, pipeline)

    def reopen(self, pipeline: str, run: int, keep: Collection[str], *, patience: float) -> RunHandle:
        """Take the lease for a run that failed, and forget what it staged for other datasets than those to keep."""

        def retaken(connection: Connection) -> RunHandle | None:
            handle = lease.retake(connection, pipeline, run)
            if handle is not None:
                stale = (MANIFESTS.c.run == run) & MANIFESTS.c.dataset.not_in(keep)
                connection.execute(MANIFESTS.delete().where(stale))
            return handle

        return self._leased(pipeline, retaken, patience)

    def record_plan(self, handle: RunHandle, plan: Mapping[str, Any]) -> None:
        """Record the plan that a run carries out, in the place of an earlier one."""
        with self._catalog.write() as connection:
            connection.execute(RUNS.update().where(RUNS.c.id == handle.id).values(plan=plan))

    def _leased(self, pipeline: str, take: Callable[[Connection], RunHandle | None], patience: float) -> RunHandle:
        """Return the handle that taking the lease gives once it is free; raises LeaseError after `patience` seconds."""
        deadline = time.monotonic() + patience
        while True:
            with self._catalog.write() as connection:
                handle = take(connection)
                holder = lease.holder(connection, pipeline)
            if handle is not None:
                return handle
            if time.monotonic() >= deadline:
                raise LeaseError(
                    f"Run {holder} of {pipeline} is still at work in {self.url}; try again when it has ended."
                )
            time.sleep(_POLL_SECONDS)

    def renew(self, handle: RunHandle) -> None:
        """Tell others that the run is alive."""
        # Another writer may hold the catalog for long; the lease outlasts several of these calls.
        with suppress(WarehouseError), self._catalog.write() as connection:
            lease.renew(connection, handle)

    def record(self, handle: RunHandle, *manifests: Manifest) -> None:
        """Record in one insert what one attempt staged; what an earlier attempt recorded stands, and this is left."""
        with self._catalog.write() as connection:
            if not reading.read_manifests(connection, handle.id, [manifests[0].dataset]):
                rows = [
                    {"run": handle.id, "dataset": manifest.dataset, "body": manifest_to_json(manifest)}
                    for manifest in manifests
                ]
                connection.execute(MANIFESTS.insert(), rows)

    def record_node(self, handle: RunHandle, node: NodeRun) -> None:
        """Record what a node did, also when it failed."""
        with self._catalog.write() as connection:
            publishing.write_node(connection, handle, node)

    def manifests(self, run: int, datasets: Collection[str] | None = None) -> dict[str, Manifest]:
        """Return what a run has staged, by dataset; only of the datasets named, where some are."""
        if not self._is_made():
            return {}
        with self._catalog.read() as connection:
            return reading.read_manifests(connection, run, datasets)

    def folder(self, dataset: str, run: int) -> str:
        """Return the folder of a dataset's data files, relative to root; a view's is of its run."""
        return layout.data_folder(dataset, run)

    def quarantine_folder(self) -> str:
        """Return the folder of the quarantine's files, relative to root."""
        return layout.QUARANTINE

    def prepare(self, run: int, manifests: Mapping[str, Manifest], state: State) -> Mapping[str, str]:
        """Make durable all that a publish refers to, and return the metadata location of each table."""
        metadata = importlib.import_module(_METADATA_MODULE)
        changed = [m for m in manifests.values() if m.changed and not m.dataset.startswith(TEMPORARY)]
        durable.fsync_files([f"{self.root}/{file.path}" for manifest in changed for file in manifest.added], self.root)
        tables = [manifest for manifest in changed if is_table(manifest.dataset)]
        return {table.dataset: _stage(metadata, self.root, run, table, state) for table in tables}

    def publish(self, handle: RunHandle, publication: Publication, prepared: Mapping[str, str], state: State) -> None:
        """Publish everything in one transaction, or nothing; raises ConflictError or LeaseError."""
        with self._catalog.write() as connection:
            publishing.check_pointers(connection, publication)
            for dataset, location in prepared.items():
                namespace, _, table = dataset.partition(".")
                catalog.add_namespace(connection, namespace)
                catalog.swap_pointer(connection, namespace, table, _location(state, dataset), location)
            seq = publishing.write_versions(connection, handle, publication, prepared)
            publishing.write_end(connection, handle, publication.result, seq if _any_changed(publication) else None)

    def close_run(self, handle: RunHandle, result: RunResult) -> None:
        """Record the end of a run that published nothing, and give the lease back."""
        with self._catalog.write() as connection:
            publishing.write_end(connection, handle, result, None)

    def outcome(self, run: int) -> str:
        """Return the state that a run is in by its record."""
        with self._catalog.read() as connection:
            return reading.read_outcome(connection, run)

    def discard(self, run: int) -> None:
        """Remove the temporary files of a run."""
        shutil.rmtree(self._root / layout.run_folder(run), ignore_errors=True)

    def _forget(self, runs: Collection[str]) -> None:
        """Remove what runs that cannot be resumed any more have left."""
        folders = self._root / layout.run_folder(0)
        for folder in folders.parent.iterdir() if folders.parent.is_dir() else ():
            if folder.name in runs:
                shutil.rmtree(folder, ignore_errors=True)

    def history(self, limit: int) -> list[PastRun]:
        """Return the newest runs first."""
        if not self._is_made():
            return []
        with self._catalog.read() as connection:
            return reading.read_history(connection, limit)

    def control_rows(self) -> Mapping[str, Rows]:
        """Return the control state that readers see as schema `meta`, by table."""
        with self._catalog.read() as connection:
            return reading.read_control(connection)

    def warm_up(self) -> None:
        """Import pyiceberg in the background: it takes as long as computing a small lake."""
        threading.Thread(target=importlib.import_module, args=(_METADATA_MODULE,), daemon=True).start()

    def _is_made(self) -> bool:
        """Return whether the lake is there; another process may have made it since this was opened."""
        self._made = self._made or self._catalog.is_made()
        return self._made

    def _make(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            if not self._is_made():
                self._catalog.create()
        except OSError as error:
            raise WarehouseError(f"{self.url}: cannot be made a lake: {error.strerror or error}.") from None


def _stage(metadata: Any, root: str, run: int, manifest: Manifest, state: State) -> str:
    change = metadata.TableChange(
        location=f"{root}/{layout.table_folder(manifest.dataset)}",
        base=_location(state, manifest.dataset),
        schema=manifest.schema,
        partition_by=manifest.partition_by,
        added=manifest.added,
        removed=manifest.removed,
        properties={"assay.run": str(run)},
    )
    return str(metadata.stage_metadata(root, change))


def _location(state: State, dataset: str) -> str | None:
    version = state.versions.get(dataset)
    return version.metadata_location if version else None


def _any_changed(publication: Publication) -> bool:
    """Return whether any dataset gets new content."""
    return any(manifest.changed for manifest in publication.manifests.values())


def _refuse_foreign(state: State, pointers: Mapping[str, str]) -> None:
    for name, version in state.versions.items():
        if is_table(name) and pointers.get(name) != version.metadata_location:
            raise WarehouseError(
                f"{name} was changed by another program than assay since run {version.id}; its rows are accounted for "
                "nowhere. Restore the table's metadata to what assay wrote, or load it into a table of its own."
            )
