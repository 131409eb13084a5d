"""The help of the command and of each of its commands: sections, examples, a way to begin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

BEGIN = """Medallion pipelines that prove themselves.

Each bronze, silver and gold table is one Python function. A run computes them in parallel and publishes all of them
with every row accounted for, or nothing.

\b
Begin with:
  assay new shop                  write a pipeline with sample data and a test
  cd shop
  assay run shop                  compute and publish its tables
  assay show gold_daily_revenue   look at one

PIPELINE is a name in assay.toml or module:object, such as orders:orders. `assay COMMAND --help` tells more.
"""

_EXAMPLES: Mapping[str, Sequence[str]] = {
    "new": ("assay new shop", "assay new shop projects/shop"),
    "sample": ("assay sample ride_bookings data --rows 1000", "assay sample retail data/retail --days 10 --hard"),
    "run": (
        "assay run orders",
        "assay run orders --select +gold_daily_revenue --full",
        "assay run orders --source orders=january.csv --as-of 2024-12-01 --json",
    ),
    "sync": (
        "assay sync env:SHOP_URL --warehouse lake",
        "assay sync env:SHOP_URL --tables orders --tables 'sales.*' --mode full",
    ),
    "plan": ("assay plan orders", "assay plan orders --select gold_daily_revenue"),
    "resume": ("assay resume orders",),
    "incremental": ("assay incremental orders", "assay incremental orders --source orders=february.csv"),
    "backfill": ("assay backfill orders", "assay backfill orders --month 2024-11"),
    "bronze": ("assay bronze orders --source orders=january.csv",),
    "silver": ("assay silver orders",),
    "gold": ("assay gold orders --month 2024-11",),
    "show": ("assay show gold_daily_revenue --limit 5",),
    "sql": (
        'assay sql "select * from gold.daily_revenue order by ordered_on"',
        'assay sql "select * from meta.quarantine" --json',
    ),
    "prove": ("assay prove orders", "assay prove orders --source orders=january.csv --permute-source"),
    "crashtest": ("assay crashtest orders", "assay crashtest orders --points 20 --random 20"),
    "validate": ("assay validate orders", "assay validate orders --json"),
    "undo": ("assay undo", "assay undo 12"),
    "where": ("assay where 4711", "assay where order_id=4711", "assay where order_id=4711 --pipeline orders --json"),
    "diff": ("assay diff 3 4", "assay diff 3 4 --table silver_order", "assay diff 2024-12-01T08:00 4 --json"),
    "profile": ("assay profile silver_order",),
    "history": ("assay history --limit 5",),
    "report": ("assay report --open", "assay report --out status.html"),
    "vacuum": ("assay vacuum", "assay vacuum --yes"),
    "migrate": ("assay migrate shop --warehouse postgresql://etl@db.example/shop --sql",),
    "serve": ("assay serve --warehouse postgresql:db",),
    "quarantine list": ("assay quarantine list", "assay quarantine list --table silver_order --all --json"),
    "quarantine export": ("assay quarantine export orders mended.csv --source orders",),
    "quarantine replay": ("assay quarantine replay orders", "assay quarantine replay orders --with mended.csv"),
    "verify": ("assay verify",),
    "deploy prefect": ("assay deploy prefect",),
}

_GROUPS: Mapping[str, Sequence[str]] = {
    "What is computed": ("select", "layers", "layer", "month", "date", "full", "migrate"),
    "What is read": (
        "sources",
        "tables",
        "mode",
        "updated",
        "deletes",
        "as_of",
        "allow_duplicates",
        "allow_empty",
        "redo",
    ),
    "What is tried": ("batches", "permute_source"),
    "Which kills": ("points", "times", "calls", "seed"),
    "Where and how": ("warehouse", "on", "workers", "jobs", "keep"),
    "What is told": ("as_json", "log", "debug", "help"),
}
_MANY = 8
"""Options beyond which help shows them in groups."""


class Sections(click.Group):
    """A group whose help lists its commands by what they are for, before its options."""

    def __init__(self, sections: Mapping[str, Sequence[click.Command]], **rest: Any) -> None:
        super().__init__(commands=[command for found in sections.values() for command in found], **rest)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, a section each, and then the options."""
        entries = {
            title: [(c.name or "", c.get_short_help_str(limit=200)) for c in commands]
            for title, commands in self.sections.items()
        }
        _write(formatter, entries)
        click.Command.format_options(self, ctx, formatter)


class Command(click.Command):
    """A command whose help has its options in groups, and examples."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options: in groups where they are many."""
        options = [option for option in self.get_params(ctx) if isinstance(option, click.Option)]
        about_help = self.get_help_option(ctx)
        records = {
            "help" if option is about_help else option.name: record
            for option in options
            if (record := option.get_help_record(ctx)) is not None
        }
        if len(records) <= _MANY:
            _write(formatter, {"Options": records.values()})
            return
        grouped = {name for names in _GROUPS.values() for name in names}
        entries = {title: [records[n] for n in names if n in records] for title, names in _GROUPS.items()}
        entries["Other options"] = [record for name, record in records.items() if name not in grouped]
        _write(formatter, entries)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each as it is typed."""
        if examples := _EXAMPLES.get(ctx.command_path.partition(" ")[2], ()):
            with formatter.section("Examples" if len(examples) > 1 else "Example"):
                for line in examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


def finished(command: click.Command, *more: Any) -> click.Command:
    """Return a command, or a group of them, with what all have: a help with examples, and the options in `more`."""
    rest: dict[str, Any] = {"callback": command.callback, "params": [*command.params], "help": command.help}
    if isinstance(command, click.Group):
        return click.Group(command.name, [finished(one, *more) for one in command.commands.values()], **rest)
    whole = Command(command.name, **rest)
    for option in more:
        option(whole)
    return whole


def _write(formatter: click.HelpFormatter, entries: Mapping[str, Iterable[tuple[str, str]]]) -> None:
    """Write sections whose second columns stand under each other."""
    width = max(len(name) for rows in entries.values() for name, _ in rows)
    for title, rows in entries.items():
        if padded := [(name.ljust(width), text) for name, text in rows]:
            with formatter.section(title):
                formatter.write_dl(padded)
