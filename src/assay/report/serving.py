"""Serves the pages on this machine alone, until it is interrupted; or writes the status page as a file."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import uvicorn

from assay import platform
from assay.model.errors import UsageError
from assay.report import overview as gather
from assay.report import pages
from assay.report.asking import Desk
from assay.report.guard import Guard
from assay.report.site import Site

ADDRESS = "127.0.0.1"
_PATIENCE = 1
"""Seconds that answers under way are given at the end."""


def serve(warehouse: str | None, port: int, seconds: float, begun: Callable[[str], object]) -> None:
    """Serve the pages until the process is interrupted; `begun` is told the address as soon as it answers.

    `seconds` is how long a query may take; port 0 is any that is free. Raises UsageError where the port is taken,
    WarehouseError where there is no warehouse.
    """
    # One for all pages: each would open connections of its own, and start and stop the server of postgresql:FOLDER.
    stored, place = platform.stored(warehouse), gather.place_of(warehouse)
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    with closing(_listening(port)) as listening, suppress(KeyboardInterrupt):
        key, taken = secrets.token_urlsafe(24), int(listening.getsockname()[1])
        app = Guard(Site(stored, place, Desk(warehouse, seconds)).app(), key, taken)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=_PATIENCE,
        )
        server = uvicorn.Server(config)
        # From before the address is told: a Ctrl-C that comes as the server starts would else leave it half made.
        with server.capture_signals():
            begun(f"http://{ADDRESS}:{taken}/?key={key}")
            server.run(sockets=[listening])


def show(url: str) -> None:
    """Open an address in a browser, where this machine has one."""
    webbrowser.open(url)


def write(warehouse: str | None, target: Path) -> Path:
    """Write the status page as one file, and return where: a folder gets a file called status.html.

    It takes the place of an earlier one as a whole. Raises UsageError where it cannot be written.
    """
    stored = platform.stored(warehouse)
    found = gather.overview(stored, gather.place_of(warehouse))
    newest = {each.name: gather.with_reasons(each.newest, stored) for each in found.pipelines}
    text = pages.whole_file(pages.environment(), found, newest)
    place = target if target.suffix.lower() in (".html", ".htm") else target / "status.html"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name}.{os.getpid()}")
        beside.write_text(text, encoding="utf-8")
        beside.replace(place)
    except OSError as error:
        raise UsageError(f"{place}: cannot be written: {error.strerror}.") from None
    return place


def _listening(port: int) -> socket.socket:
    """Return a socket that listens; raises UsageError where another does."""
    found = socket.socket()
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((ADDRESS, port))
        found.listen()
    except OSError as error:
        found.close()
        raise UsageError(
            f"{ADDRESS}:{port}: cannot be served: {error.strerror}. Give another port by --port; 0 is any that is free."
        ) from None
    return found
