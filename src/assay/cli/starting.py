"""Commands for beginners: a new pipeline, and sample data."""

from __future__ import annotations

import shlex
from pathlib import Path

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
@click.option("--rows", type=click.IntRange(min=1), default=150_000, show_default=True, help="Rows to make.")
@click.option("--seed", type=int, default=42, show_default=True, help="Equal seeds give equal files.")
def sample(pipeline: str, folder: Path, rows: int, seed: int) -> None:
    """Write sample data for PIPELINE into FOLDER."""
    written = platform.sample(pipeline, folder, rows=rows, seed=seed)
    put("\n".join(f"{name}: {path}" for name, path in written.items()))


def _next_steps(name: str, folder: Path) -> list[str]:
    go = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    return [*go, f"assay run {name}", "assay show gold_daily_revenue", "assay quarantine list", "python -m pytest"]
