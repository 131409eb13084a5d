"""Commands for beginners: a new pipeline, and sample data."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from assay import platform
from assay.cli import options
from assay.cli.printing import put
from assay.scaffold.new import new_project


@click.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
def new(name: str, folder: Path | None) -> None:
    """Begin a pipeline NAME, with a test and sample data.

    They are written into FOLDER, or else into one called NAME, which must be empty or not there.
    """
    target = folder or Path(name)
    written = new_project(name, target)
    put("\n".join([*map(str, written), "", "What to try next:", *(f"  {line}" for line in _next_steps(name, target))]))


@click.command()
@options.pipeline
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--rows", type=options.Whole(min=1), help="Rows to make, where the pipeline counts rows.")
@click.option("--days", type=options.Whole(min=1), help="Days to make, where the pipeline has a file a day.")
@click.option("--seed", type=int, help="Equal seeds give equal files (default: 42).")
@click.option("--hard", is_flag=True, default=None, help="With more kinds of faults, where the pipeline knows them.")
def sample(pipeline: str, folder: Path, **asked: Any) -> None:
    """Write sample data for PIPELINE into FOLDER."""
    given = {name: value for name, value in asked.items() if value is not None}
    written = platform.sample(pipeline, folder, **given)
    put("\n".join(f"{name}: {path}" for name, path in written.items()))


def _next_steps(name: str, folder: Path) -> list[str]:
    go = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    return [*go, f"assay run {name}", "assay show gold_daily_revenue", "assay quarantine list", "python -m pytest"]
