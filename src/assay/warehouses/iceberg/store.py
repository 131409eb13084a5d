"""The lake as a warehouse: Parquet and Iceberg metadata in a folder, and one SQL transaction that publishes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from assay.model.data import TEMPORARY, DataFile, Manifest, TableMetadata
from assay.model.errors import WarehouseError
from assay.model.ports import Publication
from assay.model.published import Opened, State, TableShape, Verified
from assay.model.run import RunHandle
from assay.model.vacuum import Retention, Vacuumed
from assay.warehouses import layout, lease, publishing, readers, reading, undoing
from assay.warehouses.iceberg import durable, ownership, restoring
from assay.warehouses.iceberg.catalog import Catalog, pointers, swap_pointers
from assay.warehouses.iceberg.missing import damaged, missing, verified
from assay.warehouses.iceberg.sqlite import FILE, SqliteCatalog
from assay.warehouses.iceberg.staging import Staging, location, warm_up
from assay.warehouses.iceberg.vacuum import vacuum
from assay.warehouses.runs import RunRecords


class IcebergWarehouse(RunRecords):
    """A lake in a folder."""

    workshop = None

    def __init__(
        self,
        root: Path,
        *,
        create: bool,
        catalog: Catalog | None = None,
        lease_seconds: float = lease.SECONDS,
    ) -> None:
        """Open the lake; where there is none and `create` is set, the first run makes it.

        Its catalog is in its folder, where no other is given. Raises WarehouseError where there is no lake, or where
        the path is something else.
        """
        super().__init__(root.absolute(), lease_seconds)
        self.url = str(root)
        self._staging = Staging(self.root)
        self._catalog = catalog or SqliteCatalog(self._root / FILE)
        # A catalog without tables is that of a run killed while it made the lake.
        self._made = self._catalog.is_made()
        if self._made:
            self._catalog.check()
        elif not create:
            ownership.refuse_lost(root)
            if root.exists() and not root.is_dir():
                raise WarehouseError(f"{root}: is a file; a lake is a folder.")
            raise WarehouseError(f"{root}: holds no lake yet; `assay run PIPELINE --warehouse {root}` makes one.")

    def state(self, at: int | dt.datetime | None = None) -> State:
        """Read every published pointer in one consistent read; `at` is the last run seen, or the time."""
        if not self._is_made():
            return State({}, {}, {})
        with self._catalog.read() as connection:
            found = reading.read_state(connection, at)
            if at is None:
                ownership.refuse_foreign(found, pointers(connection))
        return found

    def begin(self, pipeline: str, plan: Mapping[str, Any], *, patience: float) -> RunHandle:
        """Register a run and take the pipeline's lease; wait `patience` seconds where another run holds it."""
        if not self._is_made():
            ownership.refuse_lost(self._root)
            self._catalog.create()
        handle = self._leased(pipeline, self._taker(pipeline, plan), patience)
        left = [int(folder.name) for folder in (self._root / layout.RUNS).glob("*") if folder.name.isdigit()]
        with self._catalog.read() as connection:
            earlier = reading.read_earlier(connection, pipeline, handle.id, left)
        for run in earlier:
            # It cannot be resumed any more.
            self.discard(run)
        return handle

    def make_room(self, shapes: Sequence[TableShape]) -> None:
        """Do nothing: a lake takes tables of any shape."""

    def local(self, files: Iterable[DataFile]) -> str:
        """Return the lake's folder."""
        del files
        return self.root

    def missing(self) -> tuple[str, ...]:
        """Return what published tables refer to and is not there, or not in full."""
        return missing(self._root, self.state())

    def damaged(self, files: Iterable[DataFile]) -> tuple[str, ...]:
        """Return those files that are not byte for byte as they were written."""
        return damaged(self._root, files)

    def verify(self) -> Verified:
        """Read all published files, and compare them with what was written."""
        self._catalog.check_structure()
        return verified(self._root, self.state())

    def keep_delivery(self, dataset: str, name: str, content: bytes) -> str:
        """Keep a file that a source is to read as long as its slice stands, and return its path."""
        path = f"{self.root}/{self._write_delivery(dataset, name, content)}"
        durable.fsync_files([path], self.root)
        return path

    def prepare_ahead(self, run: int, datasets: Collection[str], state: State) -> None:
        """Write the metadata of tables that are staged; if they are not published, a vacuum removes it."""
        self._staging.write_ahead(run, self.manifests(run, datasets).values(), state)

    def prepare(self, run: int, manifests: Mapping[str, Manifest], state: State) -> Mapping[str, TableMetadata]:
        """Make durable all that a publish refers to, and return the metadata of each table."""
        ownership.refuse_moved(self.root, state)
        changed = [m for m in manifests.values() if m.changed and not m.dataset.startswith(TEMPORARY)]
        with self._catalog.read() as connection:
            # Rows that the ledger calls rejected must be there as surely as those it calls written.
            rejected = reading.read_quarantined(connection, run)
        added = [*(file.path for manifest in changed for file in manifest.added), *rejected]
        staged = self._staging.written(run, changed, state)
        new = chain.from_iterable(written for _, written in staged.values())
        durable.fsync_files([*(f"{self.root}/{path}" for path in added), *new], self.root)
        return {dataset: metadata for dataset, (metadata, _) in staged.items()}

    def publish(
        self, handle: RunHandle, publication: Publication, prepared: Mapping[str, TableMetadata], state: State
    ) -> None:
        """Publish everything in one transaction, or nothing; raises ConflictError or LeaseError."""
        with self._catalog.write() as connection:
            # Who was taken over, or has published and lost the answer, is told that, and of no conflict with another.
            lease.check(connection, handle)
            publishing.check_pointers(connection, publication)
            swap_pointers(connection, {name: (location(state, name), new.location) for name, new in prepared.items()})
            publishing.write(connection, handle, publication, prepared)

    def open(self, at: int | dt.datetime | None = None) -> Opened:
        """Read a published state, and hold it against every vacuum."""
        opening = readers.hold(self._root, readers.OPENING)
        try:
            state = self.state(at)
            held = readers.hold(self._root, str(state.seq))
        finally:
            opening.close()
        return Opened(self.root, state, held.close)

    def vacuum(self, retention: Retention | None, *, remove: bool) -> Vacuumed:
        """Remove what no kept state, no run at work and no reader needs, or just tell what would go."""
        return vacuum(self._root, self._catalog, retention, remove=remove)

    def warm_up(self) -> None:
        """Import pyiceberg in the background: it takes as long as computing a small lake."""
        warm_up()

    def _write_undo(
        self, connection: Connection, handle: RunHandle, undone: undoing.UndoneRuns
    ) -> dict[str, int | None]:
        found = undoing.changes(connection, undone)
        found = restoring.move_back(connection, self.root, handle.id, found)
        undoing.write(connection, handle, undone, found)
        if gone := missing(self._root, reading.read_state(connection)):
            raise WarehouseError(f"{gone[0]} is gone, so what stood before cannot be brought back.")
        return undoing.restored(found)

    def _reading(self) -> AbstractContextManager[Connection]:
        return self._catalog.read()

    def _writing(self) -> AbstractContextManager[Connection]:
        return self._catalog.write()

    def _is_made(self) -> bool:
        """Return whether the lake is there; another process may have made it since this was opened."""
        self._made = self._made or self._catalog.is_made()
        return self._made
