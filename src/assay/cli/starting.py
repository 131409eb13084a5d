"""Commands for beginners: sample data."""

from __future__ import annotations

from pathlib import Path

import click

from assay import platform
from assay.cli import options
from assay.cli.printing import put


@click.command()
@options.pipeline
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--rows", type=click.IntRange(min=1), default=150_000, show_default=True, help="Rows to make.")
@click.option("--seed", type=int, default=42, show_default=True, help="Equal seeds give equal files.")
def sample(pipeline: str, folder: Path, rows: int, seed: int) -> None:
    """Write sample data for PIPELINE into FOLDER."""
    written = platform.sample(pipeline, folder, rows=rows, seed=seed)
    put("\n".join(f"{name}: {path}" for name, path in written.items()))
