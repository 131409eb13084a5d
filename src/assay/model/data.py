"""What is stored: data files, the manifest of what a run staged, and the version that readers see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from assay.model.schema import Schema
from assay.model.source import Slice


@dataclass(frozen=True, slots=True)
class ColumnStats:
    """What a file's footer says of one column; bounds are the values' text form, None where unknown or inexact."""

    lower: str | None
    upper: str | None
    nulls: int
    values: int
    bytes: int


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file: path relative to the warehouse, rows and bytes from the file itself."""

    path: str
    rows: int
    bytes: int
    partition: Mapping[str, str | None] = field(default_factory=dict)
    stats: Mapping[str, ColumnStats] = field(default_factory=dict)
    slice: str | None = None
    sha256: str = ""
    """Of the file as it was written: Parquet has no sums of its own that its readers look at."""


def rows_in(files: Iterable[DataFile]) -> int:
    """Return the number of rows over all files."""
    return sum(file.rows for file in files)


@dataclass(frozen=True, slots=True)
class Version:
    """One published state of a dataset: what it holds, and what it was made from."""

    id: int
    """The number of the run that published it."""
    dataset: str
    schema: Schema
    next_field_id: int
    partition_by: tuple[str, ...]
    files: tuple[DataFile, ...]
    fingerprint: str
    inputs: Mapping[str, int]
    as_of: str | None = None
    metadata_location: str | None = None
    key: tuple[str, ...] = ()
    """The columns that tell its rows apart, where it was declared so."""
    stamps: bool = False
    """Whether its columns created_at and updated_at are assay's."""

    @property
    def rows(self) -> int:
        """The number of rows over all files."""
        return rows_in(self.files)


@dataclass(frozen=True, slots=True)
class TableMetadata:
    """What other programs read of one version of a table, written before it is published."""

    location: str
    """Where they begin to read."""
    files: tuple[str, ...]
    """What that refers to beside data files, relative to the warehouse."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one attempt staged for one dataset, and what it was made from; recorded once, by an atomic insert."""

    dataset: str
    attempt: int
    base: int | None
    """The version this was compared with (its pointer must still stand at publish), None for a new dataset."""
    changed: bool
    """False when the staged content equals the published one: nothing is published for it."""
    schema: Schema
    next_field_id: int
    partition_by: tuple[str, ...]
    added: tuple[DataFile, ...]
    removed: tuple[str, ...]
    fingerprint: str
    inputs: Mapping[str, int]
    """The version of each dataset read: this run's own number where this run staged it, IN_PART where a table was
    computed from a part of it alone, and is not done with it."""
    as_of: str | None = None
    gone: tuple[DataFile, ...] = ()
    """Where files were replaced for the sake of some rows: temporary files with those rows as they were."""
    came: tuple[DataFile, ...] = ()
    """Temporary files with those rows as they are, partitioned as the table is."""
    key: tuple[str, ...] = ()
    stamps: bool = False
    slices: tuple[Slice, ...] = ()
    """Of a source: its slices as they stand after this run, with the numbers that positions are made of."""

    @property
    def delta(self) -> tuple[DataFile, ...]:
        """The rows for whose sake files were replaced, as they were and as they are."""
        return self.gone + self.came


IN_PART = 0
"""In the place of an input's version: no run has this number."""
TEMPORARY = "view:"
SOURCE = "source:"
KEYS = "keys:"
REJECTS = "rejects:"
DEFINITIONS = "definitions:"


def dataset_of_table(layer: str, entity: str) -> str:
    """Return the dataset of a table: where it is stored, and how SQL names it."""
    return f"{layer}.{entity}"


def name_of_table(dataset: str) -> str:
    """Return the name of a table by its dataset, as users write it."""
    return dataset.replace(".", "_", 1)


def dataset_of_keys(table: str, key: tuple[str, ...]) -> str:
    """Return the dataset that holds the numbers of a table's natural keys: by another key, other numbers."""
    return f"{KEYS}{table}.{'.'.join(key)}"


def dataset_of_source(pipeline: str, source: str) -> str:
    """Return the dataset that holds what a pipeline has read from a source."""
    return f"{SOURCE}{pipeline}.{source}"


def dataset_of_rejects(dataset: str) -> str:
    """Return the dataset of the rows of a table or source that are rejected as it stands."""
    return f"{REJECTS}{dataset}"


def dataset_of_definitions(pipeline: str) -> str:
    """Return the dataset of what a database must have, beside rows, for a pipeline's models."""
    return f"{DEFINITIONS}{pipeline}"


def dataset_of_view(view: str) -> str:
    """Return the dataset of a view: it lives as long as its run."""
    return f"{TEMPORARY}{view}"


def dataset_of_news(view: str) -> str:
    """Return the dataset of the rows that a view has new in this run, where nobody needs the others."""
    return f"{TEMPORARY}{view}.news"


def dataset_of_delta(dataset: str) -> str:
    """Return the dataset of a manifest's delta: it lives as long as its run."""
    return f"{TEMPORARY}{dataset}.delta"


def is_table(dataset: str) -> bool:
    """Return whether readers see the dataset."""
    return not dataset.startswith((TEMPORARY, SOURCE, KEYS, REJECTS, DEFINITIONS))
