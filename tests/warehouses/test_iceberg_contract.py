"""What assay.warehouses.iceberg.metadata takes from pyiceberg is there, public, and takes what it is given."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyiceberg import io, manifest
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile, ToOutputFile
from pyiceberg.table import snapshots, sorting, update
from pyiceberg.table.metadata import TableMetadataV2

SOURCE = Path(__file__).parents[2] / "src/assay/warehouses/iceberg/metadata.py"

PARAMETERS: list[tuple[Callable[..., Any], list[str]]] = [
    (manifest.write_manifest, ["format_version", "spec", "schema", "output_file", "snapshot_id", "avro_compression"]),
    (
        manifest.write_manifest_list,
        ["format_version", "output_file", "snapshot_id", "parent_snapshot_id", "sequence_number", "avro_compression"],
    ),
    (manifest.ManifestFile.fetch_manifest_entry, ["self", "io", "discard_deleted"]),
    (manifest.ManifestWriter.add_entry, ["self", "entry"]),
    (manifest.ManifestWriter.to_manifest_file, ["self"]),
    (manifest.ManifestListWriter.add_manifests, ["self", "manifest_files"]),
    (snapshots.Snapshot.manifests, ["self", "io"]),
    (snapshots.UpdateMetrics.add_file, ["self", "data_file"]),
    (snapshots.UpdateMetrics.remove_file, ["self", "data_file"]),
    (snapshots.update_snapshot_summaries, ["summary", "previous_summary"]),
    (update.update_table_metadata, ["base_metadata", "updates", "enforce_validation", "metadata_location"]),
    (FromInputFile.table_metadata, ["input_file", "encoding"]),
    (ToOutputFile.table_metadata, ["metadata", "output_file", "overwrite"]),
    (TableMetadataV2.new_snapshot_id, ["self"]),
    (TableMetadataV2.next_sequence_number, ["self"]),
    (TableMetadataV2.current_snapshot, ["self"]),
    (TableMetadataV2.specs, ["self"]),
    (io.InputFile.open, ["self", "seekable"]),
    (io.OutputFile.create, ["self", "overwrite"]),
]
FIELDS = {
    TableMetadataV2: {"location", "schemas", "partition_specs", "last_partition_id", "last_column_id", "sort_orders"},
    snapshots.Snapshot: {"snapshot_id", "sequence_number", "timestamp_ms", "manifest_list", "summary", "schema_id"},
    Schema: {"fields", "schema_id"},
    PartitionSpec: {"fields", "spec_id"},
    PartitionField: {"source_id", "field_id", "transform", "name"},
    update.AddSchemaUpdate: {"schema_"},
    update.SetCurrentSchemaUpdate: {"schema_id"},
    update.AddPartitionSpecUpdate: {"spec"},
    update.SetDefaultSpecUpdate: {"spec_id"},
    update.AddSnapshotUpdate: {"snapshot"},
    update.RemoveSnapshotsUpdate: {"snapshot_ids"},
    update.SetSnapshotRefUpdate: {"ref_name", "type", "snapshot_id"},
}
ABSTRACT = {
    io.FileIO: {"new_input", "new_output", "delete"},
    io.InputFile: {"__len__", "exists", "open"},
    io.OutputFile: {"__len__", "exists", "create", "to_input_file"},
}
DATA_FILE = {
    *("content", "file_path", "file_format", "partition", "record_count", "file_size_in_bytes", "column_sizes"),
    *("value_counts", "null_value_counts", "lower_bounds", "upper_bounds"),
}


@pytest.mark.parametrize(("function", "parameters"), PARAMETERS, ids=lambda value: getattr(value, "__qualname__", ""))
def test_pyiceberg_has_the_function(function: Callable[..., Any], parameters: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == parameters


@pytest.mark.parametrize("model", FIELDS, ids=lambda model: model.__name__)
def test_pyiceberg_has_the_fields(model: Any) -> None:
    assert FIELDS[model] <= set(model.model_fields)


@pytest.mark.parametrize("base", ABSTRACT, ids=lambda base: base.__name__)
def test_pyiceberg_asks_a_file_for_no_more_than_it_gets(base: Any) -> None:
    assert base.__abstractmethods__ == ABSTRACT[base]


def test_pyiceberg_keeps_the_numbers_that_are_built_on() -> None:
    assert {field.name for field in manifest.DATA_FILE_TYPE[2].fields} >= DATA_FILE
    assert (PARTITION_FIELD_ID_START, sorting.UNSORTED_SORT_ORDER.order_id) == (1000, 0)
    defaults = {name: TableMetadataV2.model_fields[name].default for name in ("current_schema_id", "default_spec_id")}
    assert (defaults, TableMetadataV2.model_fields["default_sort_order_id"].default) == (dict.fromkeys(defaults, 0), 0)


def test_nothing_private_of_pyiceberg_is_used() -> None:
    tree = ast.parse(SOURCE.read_text())
    own = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    assert {name for name in used - own if name.startswith("_") and not name.startswith("__")} == set()


def test_staging_metadata_does_not_load_pyarrow() -> None:
    code = (
        "import sys, assay.warehouses.iceberg.metadata; print({'pyarrow', 'pandas', 'sqlalchemy'} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert result.stdout.strip() == "set()"
