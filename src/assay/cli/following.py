"""Commands that follow rows through time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from assay import queries
from assay.cli import options
from assay.cli.printing import cell, put
from assay.model.difference import RowDifference, TableDifference
from assay.observe.fate import story
from assay.observe.summary import aligned

_FATES = {"came": "is new", "went": "is gone", "stayed": ""}


@click.command()
@click.argument("key", nargs=-1, required=True)
@click.option("--pipeline", metavar="PIPELINE", help="Needed where the warehouse has several.")
@options.limit(5, "How many rows to follow.")
@options.warehouse
@options.as_json
def where(key: tuple[str, ...], pipeline: str | None, limit: int, warehouse: str | None, as_json: bool) -> None:
    """Tell where a row is: its line, its tables, or why it is not.

    KEY is a value, such as 4711, or COLUMN=VALUE, such as order_id=4711; several of these must all hold.
    """
    found = queries.where(*key, pipeline=pipeline, warehouse=warehouse, limit=limit)
    put(found.to_json() if as_json else "\n".join(story(found)))


@click.command()
@click.argument("before", metavar="RUN", type=options.state)
@click.argument("after", metavar="RUN", type=options.state)
@click.option("--table", metavar="TABLE", help="Show rows of one table: what came, what went, and old and new values.")
@options.limit(20, "How many rows to show of the table.")
@options.warehouse
@options.as_json
def diff(
    before: int | dt.datetime,
    after: int | dt.datetime,
    table: str | None,
    limit: int,
    warehouse: str | None,
    as_json: bool,
) -> None:
    """Tell which rows of each table differ from one RUN to another.

    RUN is the number of a run that has published, for what stood after it, or a time such as 2024-12-01T08:00 (UTC).
    Rows are followed by their table's key; without one they are compared whole.
    """
    found = queries.diff(before, after, warehouse, table=table, limit=limit)
    if as_json:
        put([each.to_json() for each in found])
        return
    put("\n".join([*_tables(found), *(line for each in found for line in _rows(each))]))


def _tables(found: Sequence[TableDifference]) -> list[str]:
    if not found:
        return ["Nothing differs."]
    head = ("table", "rows", "added", "removed", "changed", "")
    rows = [
        (t.table, f"{t.rows_after:,}", f"{t.added:,}", f"{t.removed:,}", f"{t.changed:,}" if t.key else "-", _note(t))
        for t in found
    ]
    return aligned([head, *rows], left=(0, 5))


def _note(table: TableDifference) -> str:
    told = {
        "new columns": table.columns_added,
        "gone columns": table.columns_removed,
        "other types": table.columns_retyped,
    }
    notes = [_FATES[table.fate], *(f"{what}: {', '.join(names)}" for what, names in told.items() if names)]
    return "; ".join(filter(None, notes))


def _rows(table: TableDifference) -> Iterator[str]:
    if table.rows:
        yield ""
        yield from aligned([(row.kind, _key(row), _values(row)) for row in table.rows], left=(0, 1, 2))


def _key(row: RowDifference) -> str:
    return _pairs(row.key) or (f"{row.count:,} times" if row.count > 1 else "")


def _values(row: RowDifference) -> str:
    if row.kind == "changed":
        return ", ".join(f"{name}: {cell(old)} -> {cell(row.after[name])}" for name, old in row.before.items())
    return _pairs({name: value for name, value in (row.after or row.before).items() if name not in row.key})


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={cell(value)}" for name, value in values.items())
