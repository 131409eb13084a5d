"""The command that shows a warehouse in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from assay.cli import options
from assay.cli.printing import put
from assay.model.extras import require

_PORT = 4747


@click.command()
@options.warehouse
@click.option(
    "--port",
    type=options.Whole(0, 65535),
    default=_PORT,
    show_default=True,
    help="Where on this machine; 0 is any that is free.",
)
@click.option("--open", "opens", is_flag=True, help="Open the address in a browser.")
@click.option(
    "--query-seconds",
    type=click.FloatRange(min=0.1, max=86_400),
    default=30.0,
    show_default=True,
    help="How long a query may take.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Serve nothing: write the status page to FILE.html."
)
@options.as_json
def report(
    warehouse: str | None, port: int, opens: bool, query_seconds: float, out: Path | None, as_json: bool
) -> None:
    """Show runs and tables in a browser, with a place for SQL.

    The pages are served on this machine until Ctrl-C, and change nothing. The address that is printed holds a key,
    without which nobody sees them.
    """
    require("report", "The pages need", "jinja2", "starlette", "uvicorn")
    from assay.report import serving

    if out is not None:
        written = str(serving.write(warehouse, out))
        put({"file": written} if as_json else written)
        return

    def begun(url: str) -> None:
        put({"url": url} if as_json else url)
        if opens:
            serving.show(url)

    serving.serve(warehouse, port, query_seconds, begun)
