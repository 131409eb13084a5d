"""What a warehouse that stores rows must know of a pipeline's tables before the first of them comes."""

from __future__ import annotations

from collections.abc import Mapping

from assay.model.check import Unique
from assay.model.pipeline import Pipeline
from assay.model.published import TableShape
from assay.model.table import Table
from assay.runtime.tracing.trace import Traced


def shapes(pipeline: Pipeline, traced: Mapping[str, Traced]) -> list[TableShape]:
    """Return the shape of every table, in the order of the pipeline; sources that are published come first."""
    mirrors = [
        TableShape(
            pipeline.dataset_of(name),
            tuple((column, source.kinds.get(column, kind)) for column, kind in _columns(traced[name])),
            source.key,
            comments=source.comments,
        )
        for name, source in pipeline.mirrors.items()
    ]
    tables = [
        TableShape(
            pipeline.dataset_of(name),
            _columns(traced[name]),
            table.key if _is_surely_unique(table) else (),
            table.partition_by,
        )
        for name, table in pipeline.tables.items()
    ]
    return [*mirrors, *tables]


def _columns(traced: Traced) -> tuple[tuple[str, str], ...]:
    return tuple((column.name, column.type) for column in traced.stored if not column.is_system)


def _is_surely_unique(table: Table) -> bool:
    """Return whether no two rows with one key are ever published: a check may be declared that only warns of them."""
    own = [check for check in table.checks if isinstance(check, Unique) and set(check.columns) == set(table.key)]
    return bool(table.key) and all(check.action == "block" for check in own)
