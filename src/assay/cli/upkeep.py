"""Commands that keep a warehouse in order."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

import click

from assay import assembly, platform
from assay.cli import options
from assay.cli.printing import put
from assay.model.vacuum import Kind, Vacuumed
from assay.observe.summary import aligned

_TOLD: Mapping[Kind, str] = {
    "data": "data of states that are not kept",
    "metadata": "Iceberg metadata of such states",
    "quarantine": "quarantine of runs of which nothing stands",
    "leftover": "left by runs that did not publish it",
    "rows": "rows that tell of such states and runs",
}

_LOOK_SECONDS = 1.0
"""How long a signal may wait that came at the wrong moment."""


@click.command()
@options.warehouse
@click.option("--dry-run", is_flag=True, help="Just show what would go: the default.")
@click.option("--yes", is_flag=True, help="Remove it.")
@click.option("--leftovers", is_flag=True, help="Just what runs staged and did not publish: every state stays.")
@options.as_json
def vacuum(warehouse: str | None, dry_run: bool, yes: bool, leftovers: bool, as_json: bool) -> None:
    """Show what no kept run needs, or remove it.

    The settings `keep_runs` and `keep_days` say what is kept. What a run at work or an open reader needs stays too.
    """
    if dry_run and yes:
        raise click.UsageError("--dry-run and --yes exclude each other.")
    found = platform.vacuum(warehouse, remove=yes, leftovers=leftovers)
    put(found.to_json() if as_json else "\n".join((*_table(found), *_rest(found, asked=yes))))


def _table(found: Vacuumed) -> list[str]:
    head = ("what", "count", "size")
    rows = [(_TOLD[k], f"{r.count:,}", "" if k == "rows" else _size(r.bytes)) for k, r in found.kinds.items()]
    return aligned([head, *rows], left=(0, 2))


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.1f} GB"


def _rest(found: Vacuumed, *, asked: bool) -> list[str]:
    state = "every state" if found.oldest is None else f"the state after run {found.oldest} and all later ones"
    told = [f"kept while they are read: {', '.join(f'run {run}' for run in found.readers)}"] if found.readers else []
    if found.removed:
        return [*told, f"removed; {state} can be read"]
    if asked:
        return [*told, "no file was removed: a reader has begun to read what was to go; try again when it has ended"]
    return [*told, f"nothing was removed; after `assay vacuum --yes`, {state} can be read"]


@click.command()
@click.argument("pipeline")
@options.warehouse
@click.option("--sql", "as_sql", is_flag=True, help="Just print the statements.")
@click.option("--roles", is_flag=True, help="Just print statements that make roles with few rights.")
@options.as_json
def migrate(pipeline: str, warehouse: str | None, as_sql: bool, roles: bool, as_json: bool) -> None:
    """Make what a PostgreSQL database lacks for PIPELINE.

    Schemas, tables and columns are added; nothing is ever removed. A lake needs none of it, nor does the server of a
    folder, where a run makes them itself.
    """
    from assay import migrating

    carry_out = not (as_sql or roles)
    statements = migrating.migrate(pipeline, warehouse=warehouse, carry_out=carry_out, roles=roles)
    if as_json:
        put({"statements": statements, "carried_out": carry_out})
    elif carry_out:
        put(f"{len(statements)} statements carried out" if statements else "nothing to do: all is there")
    elif statements:
        put("\n".join(f"{statement};" for statement in statements))


@click.command()
@options.warehouse
@options.as_json
def serve(warehouse: str | None, as_json: bool) -> None:
    """Keep the server of postgresql:FOLDER running, until Ctrl-C.

    Its address is printed, for psql and other programs. Commands of assay start and stop the server by themselves.
    """
    with assembly.server(assembly.current_settings(), warehouse) as url, suppress(KeyboardInterrupt):
        put({"url": url} if as_json else url)
        while True:
            # Not signal.pause(): one that comes just before it would not end it.
            time.sleep(_LOOK_SECONDS)
