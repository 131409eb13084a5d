"""What commands print: text, documents as JSON, rows as columns."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import click

from assay.observe.saying import harmless
from assay.observe.summary import aligned


def print_rows(names: Sequence[str], rows: Iterable[Sequence[Any]], *, as_json: bool) -> None:
    """Print rows as aligned columns, or as a JSON array of objects."""
    if as_json:
        put([dict(zip(names, row, strict=True)) for row in rows])
        return
    text = [tuple(names), *(tuple(map(cell, row)) for row in rows)]
    put("\n".join(aligned(text, left=range(len(names)))))


def cell(value: Any) -> str:
    """Return a value as it stands in a line of text."""
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return "" if value is None else str(value)


def place_of(warehouse: str | None) -> str:
    """Return what a command must be told, behind its other words, to find the same warehouse."""
    return f" --warehouse {shlex.quote(warehouse)}" if warehouse else ""


def program() -> str:
    """Return how this program is called."""
    return "assay" if shutil.which("assay") else os.path.relpath(sys.argv[0])


def put(document: Any) -> None:
    """Print text, and anything else as JSON: the one place that writes to standard output.

    Nothing of it is obeyed by a terminal; JSON keeps every value exactly.
    """
    told = document if isinstance(document, str) else json.dumps(_numbers(document), indent=2, default=_plain)
    click.echo(harmless(told))


def _numbers(document: Any) -> Any:
    """Return the document with numbers that JSON has no word for as text: NaN and the infinities."""
    if isinstance(document, dict):
        return {name: _numbers(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [_numbers(value) for value in document]
    return document if not isinstance(document, float) or math.isfinite(document) else str(document)


def _plain(value: Any) -> Any:
    """Return what JSON has no word for: a DECIMAL as a number where that loses no digit, all else as text."""
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    return str(value)
