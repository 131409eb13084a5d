"""The folder that a warehouse's files are written into, before anything refers to them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from assay.model.data import DataFile
from assay.warehouses import layout


class WrittenFiles:
    """The part of a warehouse that is a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.root = str(root)

    def folder(self, dataset: str, run: int) -> str:
        """Return the folder of a dataset's data files, relative to root; a view's is of its run."""
        return layout.data_folder(dataset, run)

    def quarantine_folder(self) -> str:
        """Return the folder of the quarantine's files, relative to root."""
        return layout.QUARANTINE

    def remove(self, files: Iterable[DataFile]) -> None:
        """Remove files that were written and that nothing refers to."""
        for file in files:
            (self._root / file.path).unlink()

    def discard(self, run: int) -> None:
        """Remove the temporary files of a run."""
        shutil.rmtree(self._root / layout.run_folder(run), ignore_errors=True)

    def _write_delivery(self, dataset: str, name: str, content: bytes) -> str:
        """Write a file that a source reads, under a name of its own, and return its path, relative to root.

        An equal one that is there is not taken again: a vacuum may have found that nobody needs it.
        """
        path = layout.delivery_path(dataset, name)
        written = self._root / path
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_bytes(content)
        return path
