"""The command itself: its sections, and how it ends."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping, Sequence

import click

from assay.cli import (
    deploying,
    following,
    looking,
    proving,
    quarantine,
    reporting,
    runs,
    starting,
    syncing,
    telling,
    upkeep,
    validating,
)
from assay.cli.help import BEGIN, Sections, finished
from assay.cli.printing import put

_SECTIONS: Mapping[str, Sequence[click.Command]] = {
    "Begin": (starting.new, starting.sample),
    "Run": (
        runs.run,
        runs.plan,
        runs.resume,
        runs.incremental,
        runs.backfill,
        runs.bronze,
        runs.silver,
        runs.gold,
        syncing.sync,
    ),
    "Go back": (runs.undo,),
    "Follow rows": (following.where, following.diff),
    "Prove": (validating.validate, proving.prove, proving.crashtest),
    "Look": (
        looking.show,
        looking.sql,
        looking.profile,
        looking.history,
        reporting.report,
        quarantine.quarantine,
        looking.verify,
    ),
    "Keep in order": (upkeep.vacuum, upkeep.migrate, upkeep.serve, deploying.deploy),
}
_NEW_OBJECTS = 20_000
"""So many more than were freed before Python looks for garbage, instead of 700."""
_UNWATCHED = (runs.plan,)
"""Commands of the section Run that run nothing."""


def _finished(section: str, command: click.Command) -> click.Command:
    watched = section == "Run" and command not in _UNWATCHED
    return finished(command, *((telling.log,) if watched else ()), telling.debug)


@click.group(
    cls=Sections,
    sections={title: [_finished(title, command) for command in found] for title, found in _SECTIONS.items()},
    help=BEGIN,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@telling.log
@telling.debug
@click.version_option(package_name="assay", prog_name="assay")
@click.pass_context
def assay(context: click.Context) -> None:
    """Hold the commands; alone, show them."""
    if context.invoked_subcommand is None:
        put(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors are told in one line, and with their traceback only where that is asked for."""
    # Retries stand in the result, and an interrupted connection is no news; without a handler, logging prints both.
    for library in ("stamina", "sqlalchemy"):
        logging.getLogger(library).addHandler(logging.NullHandler())
    # What a command makes it mostly needs to its end: to look for garbage at Python's pace takes a twentieth of a run.
    gc.set_threshold(_NEW_OBJECTS)
    told = telling.Telling()
    told.listen()
    told.leave(_code(told, arguments))


def _code(told: telling.Telling, arguments: Sequence[str] | None) -> int:
    """Run the command line, tell what went wrong, and return the exit code."""
    try:
        assay.main(args=arguments, prog_name="assay", standalone_mode=False, obj=told)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return told.interrupt()
    except Exception as error:
        return told.fail(error)
    return 0
