"""What is published in a warehouse, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.model.data import DataFile, Version
from assay.model.schema import Schema
from assay.model.source import Slice


@dataclass(frozen=True, slots=True)
class State:
    """All that is published, read in one query."""

    versions: Mapping[str, Version]
    """By dataset."""
    slices: Mapping[str, tuple[Slice, ...]]
    """By source dataset, in order of their numbers."""
    owners: Mapping[str, str]
    """Dataset -> pipeline that writes it."""
    undone: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    """Source dataset -> name and sha256 of the deliveries that an undo took away."""
    seq: int = field(default=0, compare=False)
    """The number of the last publish that is seen; other pipelines' publishes count too."""


@dataclass(frozen=True, slots=True)
class Life:
    """A file of a dataset, and how long it was part of it."""

    file: DataFile
    schema: Schema
    """The columns that it was written with."""
    since: int
    """The run that brought it."""
    until: int | None
    """The run that took it away."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at every published byte found."""

    files: int
    bytes: int
    damaged: tuple[str, ...]
    """Files that are not there, or not as they were written."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A small table in memory."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Opened:
    """A published state that stays readable until it is closed."""

    root: str
    """The folder that holds its files."""
    state: State
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class TableShape:
    """What a warehouse that stores rows must know of a table before the first of them comes."""

    dataset: str
    columns: tuple[tuple[str, str], ...]
    """Names and types that readers see."""
    key: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    comments: Mapping[str, str] = field(default_factory=dict)
    """What is said of columns; of the table, under an empty name."""
