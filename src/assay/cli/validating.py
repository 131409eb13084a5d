"""The command that judges what is published."""

from __future__ import annotations

import sys
from itertools import groupby

import click

from assay.cli import options
from assay.cli.printing import put
from assay.model.validation import Validation
from assay.observe.summary import aligned


@click.command()
@options.pipeline
@options.warehouse
@options.as_json
def validate(pipeline: str, warehouse: str | None, as_json: bool) -> None:
    """Judge what PIPELINE has published.

    Looks at schemas, tables, row flow, quality, the rules that the pipeline declares, and metadata; every check is
    judged again, over all rows as they stand. Changes nothing. Exits with 1 where anything fails.
    """
    from assay import validating

    found = validating.validate(pipeline, warehouse=warehouse)
    put(found.to_json() if as_json else _told(found))
    if not found.ok:
        sys.exit(1)


def _told(found: Validation) -> str:
    lines: list[str] = []
    for part, findings in groupby(found.findings, key=lambda each: each.part):
        each = list(findings)
        held = sum(one.state == "holds" for one in each)
        rows = [(f"  {one.state}", one.about, f"{one.what}: {one.detail}") for one in each if one.state != "holds"]
        lines += [f"{part}: {held} of {len(each)} hold", *aligned(rows, left=(0, 1, 2))]
    counts = found.counts
    return "\n".join([*lines, "", f"{counts['holds']} hold, {counts['warns']} warn, {counts['fails']} fail"])
