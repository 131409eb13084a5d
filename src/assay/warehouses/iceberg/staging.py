"""The metadata of tables that a run is to publish: written once each, while other tables are computed or at the end."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterable

from assay.model.data import Manifest, TableMetadata, is_table
from assay.model.errors import AssayError, WarehouseError, describe
from assay.model.published import State
from assay.warehouses import layout
from assay.warehouses.iceberg.change import TableChange

_METADATA_MODULE = "assay.warehouses.iceberg.metadata"
Written = tuple[TableMetadata, list[str]]
"""Metadata, with the paths of the files that are new: orphans until they are durable and published."""


class Staging:
    """What was written ahead and is not published yet; no vacuum removes it while its run may go on."""

    def __init__(self, root: str) -> None:
        """Say where the paths of data files start."""
        self._root = root
        self._ahead: dict[tuple[int, str], tuple[TableChange, Written]] = {}

    def write_ahead(self, run: int, manifests: Iterable[Manifest], state: State) -> None:
        """Write the metadata of tables that are staged, for `written`."""
        for dataset, change in _changes(self._root, run, manifests, state).items():
            self._ahead[run, dataset] = change, _write(self._root, change)

    def written(self, run: int, manifests: Iterable[Manifest], state: State) -> dict[str, Written]:
        """Return the metadata of tables by dataset; what was not written ahead, for just this change, is written."""
        found = {}
        for dataset, change in _changes(self._root, run, manifests, state).items():
            ahead = self._ahead.pop((run, dataset), None)
            found[dataset] = ahead[1] if ahead and ahead[0] == change else _write(self._root, change)
        return found


def warm_up() -> None:
    """Import what writes metadata in the background, unless it is loaded."""
    if _METADATA_MODULE not in sys.modules:
        # Python waits for it at its end: one broken off in the libraries' own code takes the process down with it.
        threading.Thread(target=importlib.import_module, args=(_METADATA_MODULE,)).start()


def location(state: State, dataset: str) -> str | None:
    """Return where the metadata of a table is published."""
    version = state.versions.get(dataset)
    return version.metadata_location if version else None


def _changes(root: str, run: int, manifests: Iterable[Manifest], state: State) -> dict[str, TableChange]:
    return {m.dataset: _change(root, run, m, state) for m in manifests if m.changed and is_table(m.dataset)}


def _change(root: str, run: int, manifest: Manifest, state: State) -> TableChange:
    return TableChange(
        location=f"{root}/{layout.table_folder(manifest.dataset)}",
        base=location(state, manifest.dataset),
        schema=manifest.schema,
        partition_by=manifest.partition_by,
        added=manifest.added,
        removed=manifest.removed,
        run=run,
    )


def _write(root: str, change: TableChange) -> Written:
    """Write a table's metadata."""
    metadata = importlib.import_module(_METADATA_MODULE)
    try:
        written: Written = metadata.stage_metadata(root, change)
        return written
    except AssayError:
        raise
    except OSError as error:
        why = error.strerror or str(error)
        place = error.filename or f"{change.location}/metadata"
        raise WarehouseError(f"{place}: metadata cannot be read and written anew: {why}.") from error
    except Exception as error:
        # pyiceberg has a different error for each way in which a file can be damaged.
        raise WarehouseError(
            f"{change.base}: it, or a manifest that it names, is damaged: {describe(error)}. Restore it from a copy."
        ) from error
