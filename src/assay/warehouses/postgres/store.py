"""A PostgreSQL database as a warehouse: tables are rows in the schemas of their layers, all else is in schema `assay`.

What a run stages are files, as in a lake; they are kept in the server, and the publish copies their rows into the
tables in the transaction that moves the pointers.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from assay.model.data import DataFile, Manifest, TableMetadata, dataset_of_definitions, is_table
from assay.model.definition import Definition
from assay.model.errors import UsageError, WarehouseError
from assay.model.ports import Publication
from assay.model.published import Opened, State, TableShape
from assay.model.run import RunHandle
from assay.model.schema import Schema
from assay.model.vacuum import Retention, Vacuumed
from assay.warehouses import lease, publishing, readers, reading, undoing
from assay.warehouses.postgres import content, definitions, migrations, scripts, tables, views
from assay.warehouses.postgres.checking import missing
from assay.warehouses.postgres.database import Database
from assay.warehouses.postgres.exchange import exchange
from assay.warehouses.postgres.files import FileRecords
from assay.warehouses.postgres.scripts import Script
from assay.warehouses.postgres.vacuum import vacuum


class PostgresWarehouse(FileRecords):
    """A database, and a folder of this machine with copies of its files."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        create: bool,
        name: str | None = None,
        migrates: bool = False,
        lease_seconds: float = lease.SECONDS,
    ) -> None:
        """Open the warehouse; where there is none and `create` is set, a migration makes it.

        It is called by its name, or else by its address. What it lacks is made only where it `migrates` by itself.
        Raises WarehouseError where there is none, or where the server cannot be reached, or lets nobody in.
        """
        super().__init__(Database(url), folder, lease_seconds)
        self.url = name or self.url
        self._migrates = migrates
        if not self._is_made() and not create:
            raise WarehouseError(f"{self.url}: holds no warehouse yet; `assay migrate PIPELINE` makes one.")

    def state(self, at: int | dt.datetime | None = None) -> State:
        """Read every published pointer in one consistent read; `at` is the last run seen, or the time."""
        if not self._is_made():
            return State({}, {}, {})
        with self._reading() as connection:
            return reading.read_state(connection, at)

    def begin(self, pipeline: str, plan: Mapping[str, Any], *, patience: float) -> RunHandle:
        """Register a run and take the pipeline's lease; wait `patience` seconds where another run holds it."""
        if not self._is_made():
            self.make_room(())
        handle = self._leased(pipeline, self._taker(pipeline, plan), patience)
        with self._reading() as connection:
            left = select(content.CONTENT.c.run).where(content.CONTENT.c.run.is_not(None)).distinct()
            earlier = reading.read_earlier(connection, pipeline, handle.id, list(connection.execute(left).scalars()))
        for run in earlier:
            # It cannot be resumed any more.
            self.discard(run)
        return handle

    def migrations(self, shapes: Sequence[TableShape], own: Sequence[Script] = ()) -> list[str]:
        """Return the statements that the database lacks for tables of these shapes, and people's own."""
        with self._reading() as connection:
            return [*migrations.missing(connection, shapes), *(script.text for script in scripts.left(connection, own))]

    def migrate(self, shapes: Sequence[TableShape], own: Sequence[Script] = ()) -> list[str]:
        """Carry out what the database lacks, all or nothing, and return the statements."""
        with self._writing() as connection:
            statements = migrations.missing(connection, shapes)
            migrations.carry_out(connection, statements)
            new = scripts.left(connection, own)
            scripts.carry_out(connection, new)
            views.check(connection, [shape.dataset for shape in shapes])
        return [*statements, *(script.text for script in new)]

    @staticmethod
    def roles(shapes: Sequence[TableShape]) -> list[str]:
        """Return statements that make roles with few rights; nobody is made a member of one."""
        return migrations.roles(shapes)

    def make_room(self, shapes: Sequence[TableShape]) -> None:
        """See to it that tables of these shapes can be published; raises UsageError that names what has to be done."""
        if self._migrates:
            if self.migrations(shapes):
                self.migrate(shapes)
            return
        with self._reading() as connection:
            lacking = migrations.lacking(connection, shapes)
        if lacking:
            raise UsageError(
                f"{self.url}: lacks tables or columns of this pipeline, or has the index of an earlier key; `assay "
                "migrate PIPELINE --warehouse ...` mends it, and with --sql shows how; so does `assay sync --migrate`."
            )

    def open(self, at: int | dt.datetime | None = None) -> Opened:
        """Read a published state, and bring its files; no vacuum removes those copies while it is open."""
        with ExitStack() as holding:
            holding.callback(readers.hold(self._root, readers.OPENING).close)
            with self._reading() as connection:
                state = reading.read_state(connection, at)
                content.bring(connection, self.root, [file for one in state.versions.values() for file in one.files])
                content.bring_unnamed(connection, self.root, reading.read_all_quarantined(connection))
            return Opened(self.root, state, holding.pop_all().close)

    def prepare(self, run: int, manifests: Mapping[str, Manifest], state: State) -> Mapping[str, TableMetadata]:
        """Do nothing: what a publish refers to was kept as it was recorded, and nobody else reads it."""
        del run, manifests, state
        return {}

    def publish(
        self, handle: RunHandle, publication: Publication, prepared: Mapping[str, TableMetadata], state: State
    ) -> None:
        """Publish everything in one transaction, or nothing; raises ConflictError or LeaseError."""
        with self._database.transaction() as connection:
            # Rows are moved before others are kept waiting, but not for nothing.
            lease.check(connection, handle)
            own = publication.manifests.get(dataset_of_definitions(publication.pipeline))
            before = self._definitions(connection, publication.pipeline) if own else []
            after = definitions.read(self.local(own.added), own.added) if own and own.changed else before
            with definitions.brought_about(connection, after, before):
                for dataset in _changed_tables(publication):
                    manifest = publication.manifests[dataset]
                    root = self.local((*manifest.added, *manifest.delta))
                    exchange(connection, root, manifest, state.versions.get(dataset))
            views.refresh(connection, _changed_tables(publication))
            self._database.lock(connection)
            publishing.check_pointers(connection, publication)
            publishing.write(connection, handle, publication, prepared)

    def vacuum(self, retention: Retention | None, *, remove: bool) -> Vacuumed:
        """Remove what no kept state, no run at work and no reader needs, or just tell what would go."""
        with self._writing() as connection:
            return vacuum(connection, self._root, retention, remove=remove)

    def _write_undo(
        self, connection: Connection, handle: RunHandle, undone: undoing.UndoneRuns
    ) -> dict[str, int | None]:
        before = self._definitions(connection, undone.pipeline)
        found = undoing.changes(connection, undone)
        undoing.write(connection, handle, undone, found)
        state = reading.read_state(connection)
        changed = [change.dataset for change in found if is_table(change.dataset)]
        for dataset in changed:
            version = state.versions.get(dataset)
            files = {file.path: file for file in version.files} if version else {}
            there = tables.shown(connection, dataset)
            tables.hide(connection, dataset, sorted(there - files.keys()))
            if version:
                back = [file for path, file in files.items() if path not in there]
                self._show(connection, dataset, version.schema, back)
        definitions.make_views(connection, self._definitions(connection, undone.pipeline), before)
        views.refresh(connection, changed)
        if gone := missing(connection, state):
            raise WarehouseError(f"{gone[0]} is gone, so what stood before cannot be brought back.")
        return undoing.restored(found)

    def _definitions(self, connection: Connection, pipeline: str) -> list[Definition]:
        version = reading.read_state(connection).versions.get(dataset_of_definitions(pipeline))
        return definitions.read(self.local(version.files), version.files) if version else []

    def _show(self, connection: Connection, dataset: str, schema: Schema, files: Sequence[DataFile]) -> None:
        columns = [column.name for column in schema if not column.is_system]
        tables.show(connection, self.local(files), dataset, columns, files)


def _changed_tables(publication: Publication) -> list[str]:
    return [name for name, manifest in publication.manifests.items() if manifest.changed and is_table(name)]
