"""The command itself: its sections, and how it ends."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence

import click

from assay.cli import looking, runs, starting
from assay.model.errors import AssayError, UsageError

_EXIT_INTERRUPTED = 130

_SECTIONS: Mapping[str, Sequence[click.Command]] = {
    "Begin": (starting.sample,),
    "Run": (runs.run, runs.plan, runs.resume, runs.incremental, runs.backfill, runs.bronze, runs.silver, runs.gold),
    "Look": (looking.show, looking.sql, looking.history),
}

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


class _Sections(click.Group):
    """A group whose help lists its commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands, a section each."""
        width = max(len(name) for name in self.commands)
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                lines = [(c.name or "", c.get_short_help_str(limit=200)) for c in commands]
                formatter.write_dl([(name.ljust(width), text) for name, text in lines])


@click.group(
    cls=_Sections,
    help=_HELP,
    commands=[command for section in _SECTIONS.values() for command in section],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="assay", prog_name="assay")
def assay() -> None:
    """Hold the commands."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors that assay raises on purpose are printed without a traceback."""
    # Retries stand in the result, and an interrupted connection is no news; without a handler, logging prints both.
    for library in ("stamina", "sqlalchemy"):
        logging.getLogger(library).addHandler(logging.NullHandler())
    try:
        assay.main(args=arguments, prog_name="assay", standalone_mode=False)
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
