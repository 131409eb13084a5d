"""What a lake refers to and does not have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from assay.model.ports import State
from assay.warehouses.iceberg.durable import local_path


def missing(root: Path, state: State) -> tuple[str, ...]:
    """Return what a published state refers to and is not there: files, in their size, and metadata of tables."""
    return tuple(_missing(root, state))


def _missing(root: Path, state: State) -> Iterator[str]:
    for version in state.versions.values():
        for file in version.files:
            path = root / file.path
            if not path.is_file():
                yield file.path
            elif path.stat().st_size != file.bytes:
                yield f"{file.path} (of {file.bytes:,} bytes, {path.stat().st_size:,})"
        if version.metadata_location is not None:
            yield from _missing_metadata(local_path(version.metadata_location))


def _missing_metadata(path: Path) -> Iterator[str]:
    if not path.is_file():
        yield str(path)
        return
    snapshots = json.loads(path.read_bytes()).get("snapshots") or ()
    lists = (local_path(snapshot["manifest-list"]) for snapshot in snapshots)
    yield from (str(each) for each in lists if not each.is_file())
