"""Options that commands share, and the types of their values."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, get_args

import click

from assay.model.database import Mode
from assay.model.past import read_at

Command = Callable[..., Any]


class Whole(click.IntRange):
    """A whole number in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a whole number; the words of the library name its own class to whoever writes none."""
        try:
            return int(super().convert(int(value), param, ctx))
        except ValueError:
            self.fail(f"{value!r} is no whole number.", param, ctx)


class _Date(click.ParamType[dt.date]):
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.date:
        """Read a date such as 2024-12-01."""
        try:
            return dt.date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no date; write it as 2024-12-01.", param, ctx)


class _Month(click.ParamType[str]):
    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read a month such as 2024-12."""
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", str(value)):
            self.fail(f"{value!r} is no month; write it as 2024-12.", param, ctx)
        return str(value)


class _Assignment(click.ParamType[tuple[str, str]]):
    name = "name=path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Read NAME=PATH."""
        if isinstance(value, tuple):
            return value
        name, equals, path = str(value).partition("=")
        if not (name and equals and path):
            self.fail(f"{value!r}: write it as bookings=path/to/file.csv.", param, ctx)
        return name, path


class _At(click.ParamType["int | dt.datetime"]):
    name = "run or time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | dt.datetime:
        """Read the number of a run, or a time such as 2024-12-01T08:00 in UTC."""
        if isinstance(value, dt.datetime):
            return value
        try:
            return read_at(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither a run nor a time; write 12, or 2024-12-01T08:00 (UTC).", param, ctx)


state = _At()
"""The type of a published state: the number of a run, or a time."""
at = click.option("--at", type=state, metavar="RUN|TIME", help="As it was after a run, or at a time (UTC).")
warehouse = click.option(
    "--warehouse",
    metavar="PLACE",
    help="A lake's folder, postgresql://... or postgresql:FOLDER (default: the setting `warehouse`).",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
pipeline = click.argument("pipeline")
workers = click.option(
    "--workers", type=Whole(min=1), metavar="N", help="Tables computed side by side (default: one a core)."
)

allow_duplicates = click.option("--allow-duplicates", is_flag=True, help="Load a file although its content is known.")


def limit(default: int, what: str) -> Command:
    """Return the option that says how many there may be."""
    return click.option("--limit", type=Whole(min=1), default=default, show_default=True, help=what)


_reading = (
    click.option("--source", "sources", type=_Assignment(), multiple=True, help="Read a source from another path."),
    allow_duplicates,
    click.option("--redo", is_flag=True, help="Load files again that an undo took away."),
    click.option("--allow-empty", is_flag=True, help="Let a file that brought rows come again without any."),
)
_when = (click.option("--as-of", type=_Date(), help="The run's own date (default: today)."),)
_period = (
    click.option("--month", type=_Month(), metavar="YYYY-MM", help="Rebuild one month, in tables that have months."),
    click.option("--date", type=_Date(), metavar="YYYY-MM-DD", help="Rebuild one day, in tables that have days."),
)
_select = (
    click.option(
        "--select",
        multiple=True,
        metavar="TABLE",
        help="Compute one table; +TABLE with what it reads, TABLE+ with what follows.",
    ),
)
_layers = (click.option("--layer", "layers", multiple=True, metavar="LAYER", help="Compute the tables of one layer."),)
_full = (click.option("--full", is_flag=True, help="Compute everything anew."),)
_running = (warehouse, workers, as_json)


def _together(*options: Command) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


of_proof = _together(pipeline, _reading[0], *_when)
"""What a command takes that proves something of a pipeline in a scratch warehouse."""
of_run = _together(pipeline, *_reading, *_when, *_select, *_layers, *_period, *_full, *_running)
"""What `run` and `plan` take: everything."""
of_first_layer = _together(pipeline, *_reading, *_when, *_select, *_period, *_full, *_running)
"""What a command takes that computes the layer which reads the sources."""
of_layer = _together(pipeline, *_when, *_select, *_period, *_full, *_running)
"""What a command takes that computes a layer from those below it."""
of_incremental = _together(pipeline, *_reading, *_when, *_running)
"""What a command takes that loads what is new."""
of_backfill = _together(pipeline, *_when, *_select, *_layers, *_period, *_running)
"""What a command takes that computes anew from what is stored."""
mirrored = _together(
    click.option(
        "--tables",
        multiple=True,
        metavar="NAME",
        help="A table or pattern, such as sales.*; '!sales.*' leaves out.",
    ),
    click.option(
        "--mode",
        type=click.Choice(get_args(Mode)),
        default="xmin",
        show_default=True,
        help="How a reading finds what has changed.",
    ),
    click.option(
        "--updated",
        metavar="COLUMN",
        default="updated_at",
        show_default=True,
        help="What mode horizon goes by: the time of a row's last change.",
    ),
    click.option("--deletes/--keep-deleted", default=True, help="Whether rows that are gone leave (default: they do)."),
    click.option("--layer", metavar="NAME", default="raw", show_default=True, help="Where the tables stand."),
    click.option("--migrate", is_flag=True, help="Make the tables and columns that a database lacks."),
    *_full,
)
"""What a command takes that mirrors a database."""
running_as_of = _together(*_when, *_running)
of_resume = _together(pipeline, *_running)
"""What a command takes that goes on with a run."""
running = _together(*_running)
"""What a command takes that runs a pipeline in its own way."""
