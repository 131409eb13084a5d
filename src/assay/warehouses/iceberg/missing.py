"""What a lake refers to and does not have, or has otherwise than it was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from assay.model.data import DataFile
from assay.model.published import State, Verified
from assay.warehouses.iceberg.durable import local_path


def missing(root: Path, state: State) -> tuple[str, ...]:
    """Return what a published state refers to and is not there: files, in their size, and metadata of tables."""
    return tuple(_missing(root, state))


def verified(root: Path, state: State) -> Verified:
    """Return what reading every file of a published state finds."""
    files = [file for version in state.versions.values() for file in version.files]
    lost = missing(root, state)
    told = {text.partition(" (of ")[0] for text in lost}
    changed = (path for path in damaged(root, files) if path not in told)
    return Verified(len(files), sum(file.bytes for file in files), (*lost, *changed))


def damaged(root: Path, files: Iterable[DataFile]) -> tuple[str, ...]:
    """Return those files that are not there, or not byte for byte as they were written; all of them are read."""
    return tuple(file.path for file in files if _sha256(root / file.path) != file.sha256)


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


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
