"""Turns what a run staged into new Iceberg metadata, without a catalog; the one file that knows pyiceberg.

Only public names of pyiceberg are used; tests/warehouses/test_iceberg_contract.py holds it to them. Its transactions
are not used: they need a catalog, and its overwrite keeps one more manifest for every overwrite there ever was.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pyiceberg import io, manifest
from pyiceberg.manifest import ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema as IcebergSchema
from pyiceberg.serializers import FromInputFile, ToOutputFile
from pyiceberg.table import snapshots, sorting, update
from pyiceberg.table.metadata import TableMetadataV2
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record

from assay.model.data import DataFile, TableMetadata
from assay.model.errors import WarehouseError
from assay.model.schema import Schema
from assay.warehouses.iceberg.change import TableChange
from assay.warehouses.iceberg.durable import local_path
from assay.warehouses.iceberg.values import file_metrics, iceberg_type, partition_values
from assay.warehouses.layout import metadata_stamp

_PROPERTIES = {
    "write.metadata.previous-versions-max": "20",
    # The log of versions is bounded, their files stay: undo and readers of an older pointer need them, until vacuum.
    "write.metadata.delete-after-commit.enabled": "false",
    "commit.manifest-merge.enabled": "true",  # for other writers; assay merges by the numbers below
}
# A manifest takes up to _FULL files. Those with less than half of that are merged once there are _FEW of them: n files
# need at most 2n / _FULL + _FEW manifests a partition spec, and a change rewrites the entries of few.
_FULL = 500
_FEW = 8
# Others can travel back so far; assay reads any kept state from its own tables, and each version repeats these.
_SNAPSHOTS = 20


def stage_metadata(root: str, change: TableChange) -> tuple[TableMetadata, list[str]]:
    """Write the metadata of one change, as one snapshot, and return it with the paths of the files that are new.

    `root` is where the paths of data files start. What is written is an orphan until the caller has made it durable and
    publishes the location.
    A change that moves no file makes a snapshot too: every change has its summary and can be travelled to. Safe to call
    from several threads.

    Raises WarehouseError where the base is not as assay writes it, or does not hold a file that is to be removed.
    """
    files, main = _LocalFiles(), {"ref-name": "main", "type": "branch"}
    base = _load(files, change.base) if change.base else _new_table(change)
    schema, spec = _schema(base.schemas, change.schema), _partition_spec(base.partition_specs, change)
    snapshot, stored = _SnapshotWriter(files, root, change, base, schema, spec, base.current_snapshot()).write()
    surplus = [old.snapshot_id for old in base.snapshots[: max(0, len(base.snapshots) + 1 - _SNAPSHOTS)]]
    updates: tuple[update.TableUpdate, ...] = (
        *(() if schema in base.schemas else (update.AddSchemaUpdate(schema_=schema),)),
        update.SetCurrentSchemaUpdate(schema_id=schema.schema_id),
        *(() if spec in base.partition_specs else (update.AddPartitionSpecUpdate(spec=spec),)),
        update.SetDefaultSpecUpdate(spec_id=spec.spec_id),
        update.AddSnapshotUpdate(snapshot=snapshot),
        update.SetSnapshotRefUpdate.model_validate({**main, "snapshot-id": snapshot.snapshot_id}),
        *((update.RemoveSnapshotsUpdate.model_validate({"snapshot-ids": surplus}),) if surplus else ()),
    )
    metadata = update.update_table_metadata(base, updates, metadata_location=change.base)
    version = int(PurePosixPath(change.base).name.split("-")[0]) + 1 if change.base else 0
    target = files.new_output(f"{_folder(change)}/{version:05d}-{metadata_stamp(change.run)}.metadata.json")
    ToOutputFile.table_metadata(metadata, target)
    names = tuple(path.removeprefix(f"{root.rstrip('/')}/") for path in stored)
    return TableMetadata(target.location, names), files.written


def _folder(change: TableChange) -> str:
    return f"{change.location.rstrip('/')}/metadata"


def _load(files: _LocalFiles, location: str) -> TableMetadataV2:
    try:
        metadata = FromInputFile.table_metadata(files.new_input(location))
    except FileNotFoundError as error:
        raise WarehouseError(f"The published metadata {location!r} is missing.") from error
    if not isinstance(metadata, TableMetadataV2):
        raise WarehouseError(f"{location!r} has format version {metadata.format_version}; assay writes version 2.")
    return metadata


def _new_table(change: TableChange) -> TableMetadataV2:
    # Not by pyiceberg's new_table_metadata: that numbers the columns anew.
    schema, spec = _schema([], change.schema), _partition_spec([], change)
    return TableMetadataV2(
        location=change.location.rstrip("/"),
        last_column_id=schema.highest_field_id,
        schemas=[schema],
        partition_specs=[spec],
        last_partition_id=spec.last_assigned_field_id,
        sort_orders=[sorting.UNSORTED_SORT_ORDER],
        properties=dict(_PROPERTIES),
    )


def _schema(known: Sequence[IcebergSchema], schema: Schema) -> IcebergSchema:
    """Return the known schema with these columns, or a new one under the next number."""
    fields = [{"id": c.field_id, "name": c.name, "type": iceberg_type(c.type), "required": False} for c in schema]
    number = max((earlier.schema_id for earlier in known), default=-1) + 1
    wanted = IcebergSchema.model_validate({"type": "struct", "fields": fields, "schema-id": number})
    types = {field.field_id: field.field_type for field in wanted.fields}
    for earlier in known:
        if earlier.fields == wanted.fields:
            return earlier
        for old in earlier.fields:
            if (new := types.get(old.field_id, old.field_type)) != old.field_type:
                raise WarehouseError(f"Column {old.name!r} is {old.field_type}, and cannot be {new} under that id.")
    return wanted


def _partition_spec(known: Sequence[PartitionSpec], change: TableChange) -> PartitionSpec:
    """Return the known spec of these columns, or a new one; a column has one partition field's number in all specs."""
    wanted = [(change.schema[name].field_id, name) for name in change.partition_by]
    for earlier in known:
        if [(field.source_id, field.name) for field in earlier.fields] == wanted:
            return earlier
    numbers = {field.source_id: field.field_id for spec in known for field in spec.fields}
    for source, _ in wanted:
        numbers.setdefault(source, max(numbers.values(), default=PARTITION_FIELD_ID_START - 1) + 1)
    fields = [PartitionField(source, numbers[source], IdentityTransform(), name) for source, name in wanted]
    return PartitionSpec(*fields, spec_id=max((spec.spec_id for spec in known), default=-1) + 1)


@dataclass(slots=True)
class _SnapshotWriter:
    """Writes the manifests and the manifest list of one snapshot."""

    files: _LocalFiles
    root: str
    change: TableChange
    base: TableMetadataV2
    schema: IcebergSchema
    spec: PartitionSpec
    parent: snapshots.Snapshot | None

    def write(self) -> tuple[snapshots.Snapshot, list[str]]:
        """Return the snapshot, and the paths of its manifests and of their list."""
        number = self.base.new_snapshot_id()
        kept, entries = self._split(number)
        for file in map(self._data_file, self.change.added):
            added = ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, snapshot_id=number, data_file=file)
            entries[self.spec.spec_id].append(added)
        operation = snapshots.Operation.APPEND
        if self.change.removed:
            operation = snapshots.Operation.OVERWRITE if self.change.added else snapshots.Operation.DELETE
        summary = snapshots.Summary(operation, **_counts(entries.values()), **{"assay.run": str(self.change.run)})
        written = [file for spec_id, group in entries.items() for file in self._manifests(number, spec_id, group)]
        listed = self._manifest_list(number, [*written, *kept])
        snapshot = snapshots.Snapshot(
            snapshot_id=number,
            parent_snapshot_id=self.parent.snapshot_id if self.parent else None,
            sequence_number=self.base.next_sequence_number(),
            # Strictly growing, whatever the clock does: travel to a moment must find one snapshot.
            timestamp_ms=max(time.time_ns() // 1_000_000, self.base.last_updated_ms + 1),
            manifest_list=listed,
            summary=snapshots.update_snapshot_summaries(summary, self.parent.summary if self.parent else None),
            schema_id=self.schema.schema_id,
        )
        return snapshot, [listed, *(file.manifest_path for file in (*written, *kept))]

    def _split(self, number: int) -> tuple[list[ManifestFile], dict[int, list[ManifestEntry]]]:
        """Return the manifests that stay as they are, and the entries to write anew, by partition spec."""
        kept: list[ManifestFile] = []
        entries: dict[int, list[ManifestEntry]] = defaultdict(list)
        missing = {self._path(path) for path in self.change.removed}
        for file in self.parent.manifests(self.files) if self.parent else []:
            if file.content != manifest.ManifestContent.DATA:
                raise WarehouseError(f"{self.change.location!r} has delete files, which assay never writes.")
            live = file.fetch_manifest_entry(self.files) if missing else []
            if gone := missing & {entry.data_file.file_path for entry in live}:
                missing -= gone
                entries[file.partition_spec_id] += [_rewritten(entry, gone, number) for entry in live]
            elif _live_files(file):  # else it only told what left the table with an earlier snapshot
                kept.append(file)
        if missing:
            raise WarehouseError(f"{self.change.location!r} does not hold {', '.join(sorted(missing))}.")
        small: dict[int, list[ManifestFile]] = defaultdict(list)
        for file in kept:
            if _live_files(file) < _FULL // 2:
                small[file.partition_spec_id].append(file)
        merged = [file for files in small.values() if len(files) >= _FEW for file in files]
        for file in merged:
            live = file.fetch_manifest_entry(self.files)
            entries[file.partition_spec_id] += [_rewritten(entry, set(), number) for entry in live]
        return [file for file in kept if file not in merged], entries

    def _manifests(self, number: int, spec_id: int, entries: Sequence[ManifestEntry]) -> Iterator[ManifestFile]:
        spec = {**self.base.specs(), self.spec.spec_id: self.spec}[spec_id]
        # The column of an old spec may be gone from the schema; its values keep the type of the last schema with it.
        sources, schemas = {field.source_id for field in spec.fields}, [self.schema, *reversed(self.base.schemas)]
        schema = next(known for known in schemas if sources <= {field.field_id for field in known.fields})
        for start in range(0, len(entries), _FULL):
            target = self.files.new_output(f"{_folder(self.change)}/{metadata_stamp(self.change.run)}-m0.avro")
            with manifest.write_manifest(2, spec, schema, target, number, "deflate") as writer:
                for entry in entries[start : start + _FULL]:
                    writer.add_entry(entry)
            yield writer.to_manifest_file()

    def _manifest_list(self, number: int, manifests: list[ManifestFile]) -> str:
        target = self.files.new_output(f"{_folder(self.change)}/snap-{number}-0-{metadata_stamp(self.change.run)}.avro")
        before, sequence = self.parent.snapshot_id if self.parent else None, self.base.next_sequence_number()
        with manifest.write_manifest_list(2, target, number, before, sequence, "deflate") as writer:
            writer.add_manifests(manifests)
        return target.location

    def _data_file(self, file: DataFile) -> manifest.DataFile:
        schema, columns = self.change.schema, self.change.partition_by
        return manifest.DataFile.from_args(
            content=manifest.DataFileContent.DATA,
            file_path=self._path(file.path),
            file_format=manifest.FileFormat.PARQUET,
            partition=Record(*partition_values(schema, file, columns)),
            record_count=file.rows,
            file_size_in_bytes=file.bytes,
            **file_metrics(schema, file),
        )

    def _path(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}"


def _rewritten(entry: ManifestEntry, gone: set[str], number: int) -> ManifestEntry:
    """Turn an entry that was read into one that stays, or that leaves with this snapshot."""
    entry.status = ManifestEntryStatus.EXISTING
    if entry.data_file.file_path in gone:
        entry.status, entry.snapshot_id = ManifestEntryStatus.DELETED, number
    return entry


def _counts(groups: Iterable[Iterable[ManifestEntry]]) -> dict[str, str]:
    metrics = snapshots.UpdateMetrics()
    for entry in (entry for group in groups for entry in group):
        if entry.status == ManifestEntryStatus.ADDED:
            metrics.add_file(entry.data_file)
        elif entry.status == ManifestEntryStatus.DELETED:
            metrics.remove_file(entry.data_file)
    return metrics.to_dict()


def _live_files(file: ManifestFile) -> int:
    return (file.added_files_count or 0) + (file.existing_files_count or 0)


class _LocalFile(io.InputFile, io.OutputFile):
    """One file on a local disk. pyiceberg's own would import pyarrow.dataset: 0.2 CPU s."""

    def __len__(self) -> int:
        return local_path(self.location).stat().st_size

    def exists(self) -> bool:
        return local_path(self.location).exists()

    def open(self, seekable: bool = True) -> io.InputStream:  # noqa: ARG002
        return local_path(self.location).open("rb")

    def create(self, overwrite: bool = False) -> io.OutputStream:
        path = local_path(self.location)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb" if overwrite else "xb")

    def to_input_file(self) -> io.InputFile:
        return self


class _LocalFiles(io.FileIO):
    """The local disk, with the names of what was written in this change."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def new_input(self, location: str) -> io.InputFile:
        return _LocalFile(location)

    def new_output(self, location: str) -> io.OutputFile:
        self.written.append(location)
        return _LocalFile(location)

    def delete(self, location: str | io.InputFile | io.OutputFile) -> None:
        raise NotImplementedError("what was written stays until vacuum")
