"""The command that mirrors a whole database."""

from __future__ import annotations

from typing import Any

import click

from assay.cli import options
from assay.cli.runs import settled, tell
from assay.cli.telling import watch


@click.command()
@click.argument("source")
@options.mirrored
@options.running_as_of
def sync(source: str, as_json: bool, **given: Any) -> None:
    """Mirror the tables of the database SOURCE, all or nothing.

    SOURCE is env:NAME, for the address of a PostgreSQL in an environment variable; or an address without a password,
    which ~/.pgpass may hold. No pipeline is needed: tables, columns and keys are found in the database.
    """
    from assay import syncing

    with watch(quiet=as_json) as observers:
        result = syncing.sync(source, observers=observers, **settled(given))
    tell(None, result, given["warehouse"], as_json=as_json)
