"""The files of a PostgreSQL warehouse: written into a folder of this machine, and kept in the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Connection, delete

from assay.model.data import TEMPORARY, DataFile, Manifest
from assay.model.errors import WarehouseError
from assay.model.published import Life, Verified
from assay.model.run import NodeRun, RunHandle
from assay.warehouses import reading
from assay.warehouses.postgres import content, migrations
from assay.warehouses.postgres.checking import damaged, miscounted, missing, verified
from assay.warehouses.postgres.database import Database
from assay.warehouses.postgres.workshop import Workshop
from assay.warehouses.runs import RunRecords


class FileRecords(RunRecords):
    """The part of the warehouse that has to do with files, and how its database is reached."""

    def __init__(self, database: Database, folder: Path, lease_seconds: float) -> None:
        """Make the folder for copies of files where it is missing; raises WarehouseError where it cannot be made."""
        super().__init__(folder, lease_seconds)
        self._database = database
        self.url = database.shown
        self._made = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(
                f"{folder}: copies of files cannot be kept here: {error.strerror}; name a folder by XDG_CACHE_HOME."
            ) from None

    @property
    def workshop(self) -> Workshop:
        """Where runs build; not kept, since it refers to this warehouse, which lets its server go when it is freed."""
        return Workshop(self._database, self.local)

    def local(self, files: Iterable[DataFile]) -> str:
        """Return the folder under which these files can be read; those that are missing there are brought."""
        wanted = [file for file in files if not content.is_here(self.root, file)]
        if wanted:
            with self._reading() as connection:
                content.bring(connection, self.root, wanted)
        return self.root

    def record(self, handle: RunHandle, *manifests: Manifest) -> None:
        """Keep what one attempt staged, and record it; what an earlier attempt recorded stands, and this is left."""
        runs: dict[str, int | None] = {}
        for manifest in manifests:
            lasting = not manifest.dataset.startswith(TEMPORARY)
            runs |= {file.path: None if lasting else handle.id for file in manifest.added}
            runs |= {file.path: handle.id for file in manifest.delta}
        self._keep(runs)
        super().record(handle, *manifests)

    def record_node(self, handle: RunHandle, node: NodeRun) -> None:
        """Record what a node did, also when it failed, and keep what it rejected."""
        self._keep(dict.fromkeys(node.quarantine))
        super().record_node(handle, node)

    def lives(self, dataset: str) -> list[Life]:
        """Return every file that a dataset has and had, and that is still there."""
        with self._reading() as connection:
            found, there = reading.read_lives(connection, dataset), content.sizes(connection)
        return [life for life in found if life.file.path in there]

    def missing(self) -> tuple[str, ...]:
        """Return what published tables refer to and is not there, or not in full."""
        with self._reading() as connection:
            state = reading.read_state(connection)
            return (*missing(connection, state), *miscounted(connection, state))

    def damaged(self, files: Iterable[DataFile]) -> tuple[str, ...]:
        """Return those files that are not byte for byte as they were written; all of them are read."""
        with self._reading() as connection:
            return damaged(connection, files)

    def verify(self) -> Verified:
        """Read all that is published, and compare it with what was written."""
        with self._reading() as connection:
            return verified(connection, reading.read_state(connection))

    def keep_delivery(self, dataset: str, name: str, content: bytes) -> str:
        """Keep a file that a source is to read as long as its slice stands, and return its path."""
        path = self._write_delivery(dataset, name, content)
        self._keep({path: None})
        return f"{self.root}/{path}"

    def discard(self, run: int) -> None:
        """Remove the temporary files of a run."""
        with self._database.transaction() as connection:
            connection.execute(delete(content.CONTENT).where(content.CONTENT.c.run == run))
        super().discard(run)

    def warm_up(self) -> None:
        """Do nothing: a publish needs no more than is loaded."""

    def _keep(self, runs: Mapping[str, int | None]) -> None:
        if runs:
            with self._database.transaction() as connection:
                content.keep(connection, self.root, runs)

    def _reading(self) -> AbstractContextManager[Connection]:
        return self._database.read()

    def _writing(self) -> AbstractContextManager[Connection]:
        return self._database.write()

    def _is_made(self) -> bool:
        """Return whether the control tables are there; another process may have made them since this was opened."""
        if not self._made:
            with self._database.read() as connection:
                self._made = migrations.is_made(connection)
        return self._made
