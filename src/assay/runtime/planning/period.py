"""Periods: the month or the day that a run rebuilds, and which tables can be rebuilt for it alone."""

from __future__ import annotations

import datetime as dt
import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass

import narwhals as nw
from narwhals import Expr, col

from assay.model.data import Version
from assay.model.errors import UsageError
from assay.model.pipeline import Pipeline
from assay.model.ports import Frame
from assay.model.rows import counted_inputs
from assay.model.run import RunOptions
from assay.model.schema import Column, Schema
from assay.model.table import Table
from assay.runtime.tracing.trace import Traced

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """The rows of a table that a run rebuilds: those whose column lies between two values, both included."""

    column: str
    first: str | dt.date
    last: str | dt.date
    inputs: tuple[str, ...]
    """Parameters that are opened for these rows alone."""

    @property
    def holds(self) -> Expr:
        """True for the rows of the period."""
        first, last = (nw.lit(v) if isinstance(v, str) else nw.lit(v, nw.Date()) for v in (self.first, self.last))
        return (col(self.column) >= first) & (col(self.column) <= last)

    def within(self, *frames: Frame) -> tuple[Frame, ...]:
        """Return the rows of the period of each frame; all rows of all where one of them does not know the column."""
        kinds = {frame.collect_schema().get(self.column) for frame in frames}
        known = None not in kinds and len(kinds) == 1
        return tuple(frame.filter(self.holds) for frame in frames) if known else frames

    def __str__(self) -> str:
        span = str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
        return f"{self.column} {span}"


def asked(options: RunOptions) -> str | None:
    """Return the option by which a period was asked for, as it was written.

    Raises UsageError for two of them, or a month that is none.
    """
    if options.month is not None and options.date is not None:
        raise UsageError("Give --month or --date, not both.")
    if options.month is not None and not _MONTH.fullmatch(options.month):
        raise UsageError(f"{options.month!r} is no month; write it as 2024-12.")
    return f"--month {options.month}" if options.month else f"--date {options.date}" if options.date else None


def period_of(
    pipeline: Pipeline, traced: Mapping[str, Traced], name: str, options: RunOptions, base: Version | None
) -> Period | str:
    """Return what of a table is rebuilt for the month or day asked for, or why it is computed as ever.

    A period is a column of DATE, or for months one named `month` or `..._month` that holds texts such as 2024-11, among
    those that the table is partitioned by or that are in its key.
    """
    from assay.runtime.tracing.locality import is_local

    table = pipeline.tables[name]
    schema = traced[name].schema
    found = next((c for c in (*table.partition_by, *table.key) if _kind(schema, c, options)), None)
    kind = "month" if options.month else "day"
    if found is None:
        return f"no {kind} in its partitions or key"
    if table.key and found not in table.key:
        return f"rows with one key may be in several {kind}s"
    # By a column of another type rows are told apart otherwise: a time on a period's last day is behind that day.
    inputs = tuple(p for p, upstream in table.inputs.items() if _has(traced[upstream].seen, schema[found]))
    counted = set(counted_inputs(table.rows, table.upstream))
    seen = {parameter: traced[upstream].seen for parameter, upstream in table.inputs.items()}
    schemas = {parameter: {c.name: c.type for c in columns} for parameter, columns in seen.items()}
    if not counted <= {table.inputs[p] for p in inputs} or not is_local(
        traced[name].judged, schemas, dict.fromkeys(inputs, (found,))
    ):
        return f"its function, or a check, does not keep the {kind}s apart"
    if base is not None and not _same_shape(table, traced[name].stored, base):
        return "its columns or partitions have changed"
    return Period(found, *_span(schema, found, options), inputs)


def _kind(schema: Schema, column: str, options: RunOptions) -> bool:
    type_ = schema[column].type
    return type_ == "DATE" or (bool(options.month) and type_ == "VARCHAR" and f"_{column}".endswith("_month"))


def _has(schema: Schema, column: Column) -> bool:
    return column.name in schema and schema[column.name].type == column.type


def _span(schema: Schema, column: str, options: RunOptions) -> tuple[str | dt.date, str | dt.date]:
    if options.date:
        return options.date, options.date
    assert options.month, "a period was asked for"
    if schema[column].type == "VARCHAR":
        return options.month, options.month
    first = dt.date.fromisoformat(f"{options.month}-01")
    return first, first.replace(day=monthrange(first.year, first.month)[1])


def _same_shape(table: Table, stored: Schema, base: Version) -> bool:
    pairs = [(c.name, c.type) for c in stored] == [(c.name, c.type) for c in base.schema]
    return pairs and base.partition_by == table.partition_by
