"""Taking out of a table's metadata what a vacuum removed, so that it refers to nothing that is gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Connection

from assay.warehouses import vacuuming
from assay.warehouses.iceberg.durable import fsync_files, local_path
from assay.warehouses.layout import metadata_stamp


def trim(root: str, location: str, run: int, is_kept: Callable[[str], bool], *, write: bool = True) -> str:
    """Write a table's metadata anew without the snapshots and earlier versions that are not kept.

    Returns its location: the one given, where all of it is kept. With `write` unset, just says where it would be.
    The snapshot that is current must be kept.
    """
    path = local_path(location)
    document = json.loads(path.read_text(encoding="utf-8"))
    trimmed = _trimmed(document, is_kept)
    if trimmed == document:
        return location
    version = int(path.name.split("-")[0]) + 1
    target = f"{PurePosixPath(location).parent}/{version:05d}-{metadata_stamp(run)}.metadata.json"
    if write:
        local_path(target).write_text(json.dumps(trimmed, separators=(",", ":")), encoding="utf-8")
        fsync_files([target], root)
    return target


def keeps(connection: Connection, root: str) -> Callable[[str], bool]:
    """Return what tells of a place in the lake whether a version refers to it."""
    kept = vacuuming.references(connection)
    return lambda place: place in kept.locations or place.removeprefix(f"{root}/") in kept.paths


def _trimmed(document: dict[str, Any], is_kept: Callable[[str], bool]) -> dict[str, Any]:
    snapshots = [snapshot for snapshot in document["snapshots"] if is_kept(snapshot["manifest-list"])]
    known = {snapshot["snapshot-id"] for snapshot in snapshots}
    return document | {
        "snapshots": [_without_lost_parent(snapshot, known) for snapshot in snapshots],
        "snapshot-log": [entry for entry in document["snapshot-log"] if entry["snapshot-id"] in known],
        "metadata-log": [entry for entry in document["metadata-log"] if is_kept(entry["metadata-file"])],
        "refs": {name: ref for name, ref in document["refs"].items() if ref["snapshot-id"] in known},
    }


def _without_lost_parent(snapshot: dict[str, Any], known: set[int]) -> dict[str, Any]:
    if snapshot.get("parent-snapshot-id") in known:
        return snapshot
    return {name: value for name, value in snapshot.items() if name != "parent-snapshot-id"}
