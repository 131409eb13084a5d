"""What commands print: text, documents as JSON, rows as columns."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import click

from assay.cli.json_text import INDENT, hexadecimal, json_text
from assay.engines.duckdb import quoting
from assay.model.errors import UsageError
from assay.observe.saying import harmless
from assay.observe.summary import Columns

_BATCH = 2_000
"""Rows that are printed at once: columns are as wide as the first of these need, and wider where later ones are."""


def print_rows(names: Sequence[str], rows: Iterable[Sequence[Any]], *, as_json: bool) -> None:
    """Print rows, as they come, as aligned columns, or as a JSON array of objects.

    Raises UsageError where columns of one name would be one member of an object.
    """
    for piece in _objects(names, iter(rows)) if as_json else _lines(names, iter(rows)):
        _write(piece)


def _objects(names: Sequence[str], rows: Iterator[Sequence[Any]]) -> Iterator[str]:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise UsageError(
            f"{names.count(twice)} columns are called {twice!r}, and an object of JSON has one of that name. Give each "
            f"a name of its own, such as `{quoting.name(twice)} as {quoting.name(f'{twice}_2')}`."
        )
    before = "["
    while batch := list(islice(rows, _BATCH)):
        found = (json_text(dict(zip(names, row, strict=True)), f"\n{INDENT}") for row in batch)
        yield before + ",".join(f"\n{INDENT}{each}" for each in found)
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _lines(names: Sequence[str], rows: Iterator[Sequence[Any]]) -> Iterator[str]:
    columns, batch = Columns(range(len(names))), [tuple(names), *_cells(rows)]
    while batch:
        yield "".join(f"{line}\n" for line in columns.lines(batch))
        batch = _cells(rows)


def _cells(rows: Iterator[Sequence[Any]]) -> list[tuple[str, ...]]:
    return [tuple(map(cell, row)) for row in islice(rows, _BATCH)]


def cell(value: Any) -> str:
    """Return a value as it stands in a line of text."""
    if isinstance(value, bytes):
        return hexadecimal(value)
    if isinstance(value, list):
        return "; ".join(hexadecimal(each) if isinstance(each, bytes) else str(each) for each in value)
    return "" if value is None else str(value)


def place_of(warehouse: str | None) -> str:
    """Return what a command must be told, behind its other words, to find the same warehouse."""
    return f" --warehouse {shlex.quote(warehouse)}" if warehouse else ""


def program() -> str:
    """Return how this program is called."""
    return "assay" if shutil.which("assay") else os.path.relpath(sys.argv[0])


def put(document: Any) -> None:
    """Print text, and anything else as JSON, which keeps every value exactly."""
    _write(f"{document if isinstance(document, str) else json_text(document)}\n")


def _write(text: str) -> None:
    """Write to standard output, in this one place: nothing of it is obeyed by a terminal."""
    click.echo(harmless(text), nl=False)
