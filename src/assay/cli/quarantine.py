"""Commands of the quarantine: what was rejected, and how it comes back."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from assay import assembly, mending, queries
from assay.cli import options
from assay.cli.printing import place_of, print_rows, program, put
from assay.cli.telling import watch
from assay.observe.summary import counted, summary

_source = click.option("--source", metavar="NAME", help="A source of the pipeline; needed where it has several.")


@click.group()
def quarantine() -> None:
    """See what was rejected, and why; bring back what is mended."""


@quarantine.command(name="list")
@options.warehouse
@click.option("--all", "history", is_flag=True, help="What any run rejected, also what does not stand any more.")
@click.option("--run", type=options.Whole(min=1), help="What one run rejected, also one that failed.")
@click.option("--table", metavar="TABLE", help="Those of one table, or of one source.")
@options.limit(20, "How many rows to list.")
@options.as_json
def list_(warehouse: str | None, history: bool, run: int | None, table: str | None, limit: int, as_json: bool) -> None:
    """List the rows that are rejected now, with all of their reasons.

    `row` is the line of the file as it came (base64 where it is no text in the file's encoding), or the row as JSON.
    """
    names, rows = queries.quarantine(warehouse, run=run, table=table, history=history, limit=limit)
    if not rows and not as_json:
        failed = None if run or history else queries.failed_with_rejects(warehouse, table=table)
        hint = f" Run {failed} failed, and has rejected rows: {_listing(failed, table, warehouse)}" if failed else ""
        put(f"{_nothing(table, run, history=history)}{hint}")
        return
    left_out = () if as_json or history or run else ("state", "stands", "replayed_by")
    shown = [n for n, name in enumerate(names) if name not in left_out]
    print_rows([names[n] for n in shown], [[row[n] for n in shown] for row in rows], as_json=as_json)


def _listing(run: int, table: str | None, warehouse: str | None) -> str:
    of_table = f" --table {shlex.quote(table)}" if table else ""
    return f"{program()} quarantine list --run {run}{of_table}{place_of(warehouse)}"


def _nothing(table: str | None, run: int | None, *, history: bool) -> str:
    of_table = f" of {table}" if table else ""
    if run is not None:
        return f"Run {run} has rejected no row{of_table}."
    return f"No row{of_table} was ever rejected." if history else f"No row{of_table} stands rejected."


@quarantine.command()
@options.pipeline
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_source
@click.option("--delivery", metavar="NAME", help="The lines of one delivered file.")
@options.warehouse
def export(pipeline: str, file: Path, source: str | None, delivery: str | None, warehouse: str | None) -> None:
    """Write the bad lines of a source of PIPELINE to FILE, to be mended.

    FILE is in the source's own format. Its first column tells which line each row mends; leave that as it is.
    """
    count = mending.export(pipeline, file, source=source, delivery=delivery, warehouse=warehouse)
    put(f"{counted(count, 'line')} written to {file}. When they are mended:")
    words = ["assay", "quarantine", "replay", pipeline, *(["--source", source] if source else []), "--with", str(file)]
    put(f"  {shlex.join(words)}{place_of(warehouse)}")


@quarantine.command()
@options.pipeline
@_source
@click.option("--with", "mended", type=click.Path(dir_okay=False, path_type=Path), help="What export wrote, mended.")
@options.running
def replay(pipeline: str, source: str | None, mended: Path | None, as_json: bool, **given: Any) -> None:
    """Bring back what was rejected from PIPELINE, once its rule or itself is mended.

    With --with, lines that were exported and mended are loaded as a delivery of their own, each once. Without it, the
    pipeline is run: tables whose rules have changed are computed anew, sources declared otherwise are read again.
    """
    with watch(quiet=as_json) as observers:
        settings = assembly.current_settings(workers=given["workers"])
        done = mending.replay(
            pipeline,
            mended=mended,
            source=source,
            warehouse=given["warehouse"],
            settings=settings,
            observers=observers,
        )
    put(done.to_json() if as_json else "\n".join(_told(done, place_of(given["warehouse"]))))
    if done.result is not None and not done.result.ok:
        sys.exit(1)


def _told(done: mending.Replayed, place: str) -> Iterator[str]:
    if done.result is not None:
        yield f"{summary(done.result, place)}\n"
    for mark, reasons in done.bad.items():
        yield f"still bad: {mark}: {'; '.join(reasons)}"
    if done.again:
        yield f"{counted(len(done.again), 'line')} left out: replayed before"
    yield f"back: {counted(done.back, 'row')}; rejected still: {counted(done.stand, 'row')}"
