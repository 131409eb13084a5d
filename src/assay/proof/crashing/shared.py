"""Scratch lakes whose catalogs are in databases of one embedded server, which can be struck down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from assay.proof.grounds import Folders
from assay.warehouses.iceberg import signpost
from assay.warehouses.iceberg.shared import SharedCatalog
from assay.warehouses.postgres.scratch import Databases


class SharedLakes:
    """Lakes: a path is a lake's own folder, and has a database for its catalog."""

    def __init__(self, folder: Path) -> None:
        """Start the server, whose data is in the folder."""
        self._databases = Databases(folder, lambda _: None)
        self._folders = Folders()

    def location(self, path: Path) -> str:
        """Return the folder, in which a lake without tables is made where there is none: it names its catalog."""
        if not signpost.is_there(path):
            SharedCatalog(path, self._databases.location(path)).create()
        return self._folders.location(path)

    def clear(self, path: Path) -> None:
        """Make the lake anew, without tables."""
        self._folders.clear(path)
        self._databases.clear(path)
        self.location(path)

    def copy(self, path: Path, to: Path) -> None:
        """Copy the folder and the database, and let the one name the other."""
        self._folders.copy(path, to)
        self._databases.copy(path, to)
        found = signpost.read(to)
        assert found is not None, "a lake of these was copied"
        there = replace(found, address=self._databases.location(to))
        (to / signpost.FILE).write_text(there.to_text(), encoding="utf-8")

    def remove(self, path: Path) -> None:
        """Remove the folder, and drop the database."""
        self._folders.remove(path)
        self._databases.remove(path)

    def strike(self) -> bool:
        """End the server as a failure of its machine does, and start it again: it recovers by its log."""
        return self._databases.strike()

    def close(self) -> None:
        """Let the server stop."""
        self._databases.close()
