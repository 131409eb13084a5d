"""Manifests, versions and results as the rows and JSON of the control tables, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import RowMapping

from assay.model.data import ColumnStats, DataFile, Manifest, Version
from assay.model.schema import Schema
from assay.model.source import FileIdentity, Slice, slice_from_json, slice_to_json, starts_from_json


def manifest_to_json(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest as plain data."""
    body = {name: getattr(manifest, name) for name in _PLAIN}
    return body | {
        "schema": manifest.schema.to_json(),
        "partition_by": list(manifest.partition_by),
        "added": [_file_to_json(file) for file in manifest.added],
        "removed": list(manifest.removed),
        "gone": [_file_to_json(file) for file in manifest.gone],
        "came": [_file_to_json(file) for file in manifest.came],
        "inputs": dict(manifest.inputs),
        "key": list(manifest.key),
        "slices": [slice_to_json(part) for part in manifest.slices],
    }


def manifest_from_json(body: Mapping[str, Any]) -> Manifest:
    """Rebuild a manifest from `manifest_to_json`."""
    return Manifest(
        **{name: body[name] for name in _PLAIN},
        schema=Schema.from_json(body["schema"]),
        partition_by=tuple(body["partition_by"]),
        added=tuple(_file(f) for f in body["added"]),
        removed=tuple(body["removed"]),
        # A run that an older version began has none, and does without.
        gone=tuple(_file(f) for f in body.get("gone", ())),
        came=tuple(_file(f) for f in body.get("came", ())),
        inputs=body["inputs"],
        key=tuple(body["key"]),
        slices=tuple(slice_from_json(part) for part in body["slices"]),
    )


_PLAIN = ("dataset", "attempt", "base", "changed", "next_field_id", "fingerprint", "as_of", "stamps")


def _file_to_json(file: DataFile) -> dict[str, Any]:
    """Return a file as plain data; of thousands, `asdict` would copy every text."""
    stats = {name: asdict(known) for name, known in file.stats.items()}
    return {each.name: getattr(file, each.name) for each in fields(file)} | {"stats": stats}


def _file(body: Mapping[str, Any]) -> DataFile:
    stats = {name: ColumnStats(**values) for name, values in body["stats"].items()}
    return DataFile(**{**body, "stats": stats})


def version_from_row(row: RowMapping, files: tuple[DataFile, ...]) -> Version:
    """Rebuild a version from its row and its files."""
    return Version(
        id=row["run"],
        dataset=row["dataset"],
        schema=Schema.from_json(row["columns"]),
        next_field_id=row["next_field_id"],
        partition_by=tuple(row["partition_by"]),
        files=files,
        fingerprint=row["fingerprint"],
        inputs=row["inputs"],
        as_of=row["as_of"],
        metadata_location=row["metadata_location"],
        key=tuple(row["key"]),
        stamps=row["stamps"],
    )


def file_from_row(row: RowMapping) -> DataFile:
    """Rebuild a data file from its row; its statistics live in the table's own metadata."""
    return DataFile(
        path=row["path"],
        rows=row["row_count"],
        bytes=row["bytes"],
        sha256=row["sha256"],
        partition=row["partition"],
        slice=row["slice"],
    )


def slice_to_row(dataset: str, part: Slice, seq: int) -> dict[str, Any]:
    """Return the row of a slice that is published as number `seq`."""
    identity: dict[str, Any] = slice_to_json(part)["identity"]
    # Inode numbers of some file systems need all 64 bits, unsigned.
    return identity | {
        "inode": str(part.identity.inode),
        "dataset": dataset,
        "name": part.name,
        "number": part.number,
        "extracted_on": part.extracted_on,
        "extracted_at_ns": part.extracted_at_ns,
        "row_count": part.rows,
        "starts": part.starts,
        "header": part.header,
        "mends": part.mends,
        "mended_lines": part.mended_lines,
        "watermark": part.watermark,
        "added_seq": seq,
    }


def watermark_to_row(part: Slice) -> dict[str, Any]:
    """Return what changes in the row of a slice when it was read again and its rows are the same."""
    return {"watermark": part.watermark, "sha256": part.identity.sha256, "header": list(part.header)}


def slice_from_row(row: RowMapping) -> Slice:
    """Rebuild a slice from its row."""
    marks = {name: row[name] for name in ("path", "size", "mtime_ns", "ctime_ns", "sha256")}
    return Slice(
        name=row["name"],
        number=row["number"],
        identity=FileIdentity(**marks, inode=int(row["inode"])),
        extracted_on=row["extracted_on"],
        extracted_at_ns=row["extracted_at_ns"],
        rows=row["row_count"],
        starts=starts_from_json(row["starts"]),
        header=tuple(row["header"]),
        mends=row["mends"],
        mended_lines=tuple(row["mended_lines"]),
        watermark=row["watermark"],
    )
