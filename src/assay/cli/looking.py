"""Commands that look at a warehouse, and change nothing."""

from __future__ import annotations

import datetime as dt
import sys

import click

from assay import platform, queries
from assay.cli import options
from assay.cli.printing import print_rows, put
from assay.model.past import PastRun
from assay.observe.summary import aligned


@click.command()
@options.warehouse
@options.limit(20, "How many runs to list.")
@options.as_json
def history(warehouse: str | None, limit: int, as_json: bool) -> None:
    """List the runs of a warehouse, the newest first."""
    runs = platform.history(warehouse, limit=limit)
    if as_json:
        put([{name: getattr(r, name) for name in r.__slots__} for r in runs])
        return
    head = ("run", "pipeline", "state", "as of", "started", "tables", "problem")
    rows = [
        (str(r.id), r.pipeline, _state(r), r.as_of, r.started_at[:19], str(len(r.tables)), "; ".join(r.problems))
        for r in runs
    ]
    put("\n".join(aligned([head, *rows], left=(1, 2, 3, 4, 6))))


def _state(run: PastRun) -> str:
    if run.state == "published" and run.undone:
        return f"undo of {', '.join(map(str, run.undone))}"
    return run.state


@click.command()
@click.argument("table")
@options.warehouse
@options.limit(10, "How many rows to show.")
@options.at
@options.as_json
def show(table: str, warehouse: str | None, limit: int, at: int | dt.datetime | None, as_json: bool) -> None:
    """Show the first rows of TABLE, such as gold_daily_revenue."""
    print_rows(*queries.first_rows(table, warehouse, limit, at=at), as_json=as_json)


@click.command()
@click.argument("table")
@options.warehouse
@options.as_json
def profile(table: str, warehouse: str | None, as_json: bool) -> None:
    """Show what the columns of TABLE hold: nulls, values, bounds."""
    print_rows(*queries.profile(table, warehouse), as_json=as_json)


@click.command()
@click.argument("query")
@options.warehouse
@options.at
@options.as_json
def sql(query: str, warehouse: str | None, at: int | dt.datetime | None, as_json: bool) -> None:
    """Run QUERY, in SQL, over the published tables.

    All tables are of one published run. Schema `meta` holds runs, ledger, checks and the quarantine. QUERY is one
    statement that reads; COPY (...) TO 'file.parquet' writes what it finds to a file.
    """
    print_rows(*queries.ask(query, warehouse, at=at), as_json=as_json)


@click.command()
@options.warehouse
@options.as_json
def verify(warehouse: str | None, as_json: bool) -> None:
    """Compare every published file with what was written.

    All of them are read. Exits with 1 where a file is damaged or gone.
    """
    found = platform.verify(warehouse)
    if as_json:
        put({"files": found.files, "bytes": found.bytes, "damaged": list(found.damaged)})
    else:
        end = f"{len(found.damaged):,} damaged" if found.damaged else "all are as they were written"
        put("\n".join([*(f"damaged: {path}" for path in found.damaged), f"{found.files:,} files: {end}"]))
    if found.damaged:
        sys.exit(1)
