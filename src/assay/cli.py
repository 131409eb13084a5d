"""The command line: parse, call one function, print its result as text or JSON."""

from __future__ import annotations

import datetime as dt
import json
import logging
import math
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from assay import platform
from assay.model.errors import AssayError, UsageError
from assay.model.run import RunResult
from assay.observe.progress import progress
from assay.observe.summary import aligned, summary

_EXIT_INTERRUPTED = 130
Command = Callable[..., Any]


class _Date(click.ParamType[dt.date]):
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.date:
        """Read a date such as 2024-12-01."""
        try:
            return dt.date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no date; write it as 2024-12-01.", param, ctx)


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


_warehouse = click.option("--warehouse", metavar="DIR", help="Folder of the lake (default: the setting `warehouse`).")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")


def _run_options(command: Command) -> Command:
    """Add the options that say what a run is about."""
    for option in reversed(
        (
            click.argument("pipeline"),
            click.option(
                "--source", "sources", type=_Assignment(), multiple=True, help="Read a source from another path."
            ),
            click.option("--as-of", type=_Date(), help="The run's own date (default: today)."),
            click.option(
                "--select",
                multiple=True,
                metavar="TABLE",
                help="Compute one table; +TABLE with what it reads, TABLE+ with what follows.",
            ),
            click.option("--layer", "layers", multiple=True, metavar="LAYER", help="Compute the tables of one layer."),
            click.option("--full", is_flag=True, help="Compute everything anew."),
            click.option("--allow-duplicates", is_flag=True, help="Load a file although its content is known."),
            click.option("--allow-empty", is_flag=True, help="Let a file that brought rows come again without any."),
            _warehouse,
            click.option(
                "--workers", type=click.IntRange(min=1), help="Tables computed side by side (default: cores)."
            ),
            _json,
        )
    ):
        command = option(command)
    return command


_HELP = """Medallion pipelines that prove themselves.

Each bronze, silver and gold table is one Python function. A run computes them in parallel and publishes all of them
with every row accounted for, or nothing.

\b
Begin with:
  assay run PIPELINE     compute and publish
  assay plan PIPELINE    what a run would do, and why
  assay show TABLE       look at a table

PIPELINE is a name in assay.toml or module:object, such as orders:orders.
"""


@click.group(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="assay", prog_name="assay")
def cli() -> None:
    """Hold the commands."""


@cli.command()
@_run_options
def run(pipeline: str, as_json: bool, workers: int | None, **options: Any) -> None:
    """Run PIPELINE: publish all of its tables, or nothing.

    Exits with 0 when the tables are published or already as they would be, 1 when the run failed, 2 when the
    command, the declaration or an input as a whole is wrong.
    """
    with _progress(quiet=as_json) as observers:
        result = platform.run(pipeline, observers=observers, **_arguments(options, workers))
    _print(result.to_json() if as_json else summary(result))
    if not result.ok:
        sys.exit(1)
    if result.state == "published" and not as_json:
        _print(_what_next(result, options["warehouse"]))


@cli.command()
@_run_options
def plan(pipeline: str, as_json: bool, workers: int | None, **options: Any) -> None:
    """Show what a run of PIPELINE would do, and why. Changes nothing."""
    planned = platform.plan(pipeline, **_arguments(options, workers))
    if as_json:
        _print(planned.to_json())
    else:
        rows = [(step.action, step.name, step.reason) for step in planned.steps.values()]
        _print("\n".join(aligned(rows, left=(0, 1, 2))))


@cli.command()
@_warehouse
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs to list.")
@_json
def history(warehouse: str | None, limit: int, as_json: bool) -> None:
    """List the runs of a warehouse, the newest first."""
    runs = platform.history(warehouse, limit=limit)
    if as_json:
        _print([{name: getattr(r, name) for name in r.__slots__} for r in runs])
        return
    head = ("run", "pipeline", "state", "as of", "started", "tables", "problem")
    rows = [
        (str(r.id), r.pipeline, r.state, r.as_of, r.started_at[:19], str(len(r.tables)), "; ".join(r.problems))
        for r in runs
    ]
    _print("\n".join(aligned([head, *rows], left=(1, 2, 3, 4, 6))))


@cli.command()
@click.argument("table")
@_warehouse
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many rows to show.")
@_json
def show(table: str, warehouse: str | None, limit: int, as_json: bool) -> None:
    """Show the first rows of TABLE, such as gold_daily_revenue."""
    _print_rows(*platform.first_rows(table, warehouse, limit), as_json=as_json)


@cli.command()
@click.argument("query")
@_warehouse
@_json
def sql(query: str, warehouse: str | None, as_json: bool) -> None:
    """Run QUERY over the published tables: "select * from gold.daily_revenue".

    All tables are of one published run. Schema `meta` holds runs, ledger, checks and the quarantine.
    """
    _print_rows(*platform.query(query, warehouse), as_json=as_json)


@cli.command()
@click.argument("pipeline")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--rows", type=click.IntRange(min=1), default=150_000, show_default=True, help="Rows to make.")
@click.option("--seed", type=int, default=42, show_default=True, help="Equal seeds give equal files.")
def sample(pipeline: str, folder: Path, rows: int, seed: int) -> None:
    """Write sample data for PIPELINE into FOLDER."""
    written = platform.sample(pipeline, folder, rows=rows, seed=seed)
    _print("\n".join(f"{name}: {path}" for name, path in written.items()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors that assay raises on purpose are printed without a traceback."""
    # Retries stand in the result, and an interrupted connection is no news; without a handler, logging prints both.
    for library in ("stamina", "sqlalchemy"):
        logging.getLogger(library).addHandler(logging.NullHandler())
    try:
        cli.main(args=arguments, prog_name="assay", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(UsageError.exit_code)
    except AssayError as error:
        click.echo(f"assay: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("assay: interrupted; nothing was published.", err=True)
        sys.exit(_EXIT_INTERRUPTED)


def _arguments(options: dict[str, Any], workers: int | None) -> dict[str, Any]:

    settings = platform.current_settings()
    if workers is not None:
        settings = replace(settings, workers=workers)
    return {**options, "sources": dict(options["sources"]), "settings": settings}


def _progress(*, quiet: bool) -> Any:
    if quiet or not sys.stderr.isatty():
        return nullcontext(())

    return progress()


def _what_next(result: RunResult, warehouse: str | None) -> str:
    place = f" --warehouse {shlex.quote(warehouse)}" if warehouse else ""
    program = "assay" if shutil.which("assay") else os.path.relpath(sys.argv[0])
    last = [name for name, node in result.tables.items() if node.rows is not None][-1]
    layer, _, entity = last.partition("_")
    return "\n".join(
        (
            "",
            "What to try next:",
            f"  {program} show {last}{place}",
            f'  {program} sql "select * from {layer}.{entity} limit 5"{place}',
            f"  {program} history{place}",
        )
    )


def _print_rows(names: Sequence[str], rows: Iterable[Sequence[Any]], *, as_json: bool) -> None:

    if as_json:
        _print([dict(zip(names, row, strict=True)) for row in rows])
        return
    text = [tuple(names), *(tuple("" if value is None else str(value) for value in row) for row in rows)]
    _print("\n".join(aligned(text, left=range(len(names)))))


def _print(document: Any) -> None:
    """Print text as it is, and anything else as JSON: the one place that writes to standard output."""
    click.echo(document if isinstance(document, str) else json.dumps(_numbers(document), indent=2, default=_plain))


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
