"""Commands that put a pipeline to the proof, in scratch warehouses."""

from __future__ import annotations

import datetime as dt
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

import click

from assay import assembly
from assay.assembly import LAKE, On
from assay.cli import options
from assay.cli.printing import cell, put
from assay.observe.saying import say
from assay.observe.summary import aligned

if TYPE_CHECKING:
    from assay.proof.crashing.crash import CrashReport
    from assay.proof.proving.evidence import Difference, Finding, Proof


def _count(name: str, option: str, default: int | None, what: str) -> options.Command:
    return click.option(option, name, type=options.Whole(min=0), default=default, metavar="N", help=what)


_on = click.option(
    "--on",
    type=click.Choice(get_args(On)),
    default=LAKE,
    show_default=True,
    metavar="KIND",
    help=f"The kind of the scratch warehouses: {', '.join(get_args(On))}. A server that they need is struck down, too.",
)


@click.command()
@options.of_proof
@_on
@_count("points", "--points", None, "Kill at N of the commit points, evenly spread (default: at all).")
@_count("times", "--random", 200, "Kill at N random times (default: 200).")
@_count("calls", "--calls", 0, "Kill at N calls to the system that change the warehouse; needs strace (default: 0).")
@_count("seed", "--seed", 0, "Another number gives other random times.")
@click.option("--jobs", type=options.Whole(min=1), metavar="N", help="Processes side by side (default: one a core).")
@options.workers
@options.as_json
def crashtest(
    pipeline: str,
    sources: tuple[tuple[str, str], ...],
    as_of: dt.date | None,
    workers: int | None,
    on: On,
    as_json: bool,
    **kills: Any,
) -> None:
    """Kill runs of PIPELINE, and check what they leave.

    Processes are killed before and after every commit point, twice in a row, and at random times; on an empty warehouse
    and on one that has published before. After each, a reader must see one whole run, and the next run must give what
    an undisturbed one gives. Works in scratch warehouses, on copies of the sources' files. Exits with 1 where anything
    did not hold.
    """
    from assay import proving

    settings = assembly.current_settings(workers=workers)
    asked = proving.Kills(**{**kills, "jobs": kills["jobs"] or settings.worker_count})
    report = proving.crashtest(
        pipeline, sources=dict(sources), as_of=as_of, kills=asked, on=on, settings=settings, progress=_show
    )
    put(report.to_json() if as_json else _told(report))
    if not report.ok:
        sys.exit(1)


@click.command()
@options.of_proof
@_on
@options.allow_duplicates
@click.option(
    "--batches",
    type=options.Whole(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="Deal the rows into N batches; 1 for none.",
)
@click.option(
    "--workers",
    type=options.Whole(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="The most tables computed side by side.",
)
@click.option("--permute-source", is_flag=True, help="Put the lines of each delivery in another order, too.")
@click.option("--keep", metavar="DIR", help="Make the scratch warehouses in a new folder, and keep them.")
@options.as_json
def prove(pipeline: str, sources: tuple[tuple[str, str], ...], as_json: bool, **asked: Any) -> None:
    """Show that nothing changes the tables of PIPELINE but its rows.

    Its sources are read once. Then runs are made in scratch warehouses: again and in full, with rows presented in other
    orders, with several numbers of workers, and with the rows in batches that come in several orders. Each must leave
    the same tables. Exits with 1 where any did not, and shows rows that differ.
    """
    from assay import proving

    proof = proving.prove(pipeline, sources=dict(sources), tell=_show_finding, **asked)
    put(proof.to_json() if as_json else _evidence(proof))
    if not proof.ok:
        sys.exit(1)


def _show_finding(finding: Finding) -> None:
    """Show how far it is, on a terminal."""
    if sys.stderr.isatty():
        say(f"{finding.tried.strip()}: {finding.verdict}")


def _evidence(proof: Proof) -> str:
    """Return a proof as text: all that was tried, rows of the first table that differs, and the last line."""
    tables = f"{proof.tables:,} {'table' if proof.tables == 1 else 'tables'}"
    rows = [("tried", "runs", "tables"), *((f.tried, f"{f.runs:,}", _verdict(f)) for f in proof.findings)]
    lines = [f"{proof.pipeline}, as of {proof.as_of}: {tables}", "", *aligned(rows, left=(0, 2)), ""]
    wrong = [finding for finding in proof.findings if not finding.ok]
    shown = next((finding for finding in wrong if finding.first), None)
    if shown is not None and shown.first is not None:
        lines += [*_rows_that_differ(shown.tried.strip(), shown.first), ""]
    seconds = f"({proof.seconds:.1f} s)"
    if wrong:
        return "\n".join([*lines, f"not proven: {len(wrong):,} of {len(proof.findings):,} went wrong {seconds}"])
    moved = sum(len(finding.differing) for finding in proof.findings)
    but = f", but for {moved:,} that depend on the order of lines" if moved else ""
    return "\n".join([*lines, f"proven: {proof.runs:,} runs gave the same {tables}{but} {seconds}"])


def _verdict(finding: Finding) -> str:
    if finding.tried == "as delivered" and finding.ok:
        return finding.detail
    words = {"same": "the same", "order-dependent": "order-dependent", "differs": "differ", "failed": "failed"}
    more = [", ".join(finding.differing)] if finding.differing else []
    return ": ".join([words[finding.verdict], *more, *([finding.detail] if finding.detail else [])])


def _rows_that_differ(tried: str, found: Difference) -> list[str]:
    """Return some rows that only one side has, with the columns in which they differ."""
    places = [found.columns.index(name) for name in found.telling]
    sides = (("as delivered", found.as_delivered), ("here", found.here))
    rows = [(f"  {side}", *(cell(row[n]) for n in places)) for side, some in sides for row in some]
    head = f"{tried}: {found.table} differs in {found.rows:,} {'row' if found.rows == 1 else 'rows'}"
    return [head, *aligned([("", *found.telling), *rows], left=range(len(places) + 1))]


def _show(done: int, of: int) -> None:
    """Show how far it is, on a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r{done:,} of {of:,} kills", nl=done == of, err=True)


def _told(report: CrashReport) -> str:
    """Return the report as text: the kills by story and moment, what did not hold, and the last line."""
    kinds = {"point": "at commit points", "time": "at random times", "call": "at calls to the system"}
    stories = {"first": "a first run", "next": "new deliveries"}
    kills = Counter((kill.story, kill.kind) for kill in report.kills)
    broken = Counter((kill.story, kill.kind) for kill in report.violations)
    rows = [("run", "killed", "kills", "violations")]
    rows += [(stories[s], kinds[k], f"{count:,}", f"{broken[s, k]:,}") for (s, k), count in kills.items()]
    lines = [f"{report.pipeline}: killed and run again", "", *aligned(rows, left=(0, 1)), ""]
    for kill in report.violations:
        lines += [f"{stories[kill.story]}, killed {kill.at}:", *(f"  {sentence}" for sentence in kill.violations)]
    lines += [f"under no point: {line}" for line in report.uncovered]
    lines += [f"not on the disk when it is published: {path}" for path in report.unsynced]
    lines += [f"not covered: {text}" for text in report.not_covered]
    total = f"{len(report.kills):,} kills in {report.seconds:.1f} s"
    wrong = len(report.violations) + len(report.uncovered) + len(report.unsynced)
    end = "nothing was lost, doubled or half done" if report.ok else f"{wrong:,} did not hold"
    return "\n".join([*lines, f"{total}: {end}"])
