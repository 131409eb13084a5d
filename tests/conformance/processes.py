"""Real processes for tests: `assay` as a user starts it, stopped at a chosen moment, and what a reader finds then."""

from __future__ import annotations

import os
import pty
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

import assay
from assay.model.errors import WarehouseError

ROOT = Path(__file__).parents[2]
ASSAY = Path(sys.executable).parent / "assay"
AS_OF = "2024-12-01"
STAMPS = ("created_at", "updated_at")
SECONDS = 120
"""How long a test waits for what must come."""

Process = subprocess.Popen[str]
Finished = subprocess.CompletedProcess[str]
Content = dict[str, list[str]]
Moment = Callable[[Path], bool]
"""Whether a run has come so far, by what is to be seen in its lake."""


def environment(**settings: str) -> dict[str, str]:
    """Return the environment with these settings of assay and no others."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    return plain | {f"ASSAY_{name.upper()}": value for name, value in settings.items()}


def call(*arguments: str, cwd: Path = ROOT, within: float = SECONDS, **settings: str) -> Finished:
    """Run `assay` to its end, which must come in so many seconds."""
    with started(*arguments, cwd=cwd, **settings) as process:
        return finished(process, within)


def finished(process: Process, within: float = SECONDS) -> Finished:
    """Wait for a process to end, and return what it said."""
    out, err = process.communicate(timeout=within)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextmanager
def started(*arguments: str, cwd: Path = ROOT, stderr: int = subprocess.PIPE, **settings: str) -> Iterator[Process]:
    """Start `assay`; it is killed at the latest at the end of the block."""
    command, pipe = [str(ASSAY), *arguments], subprocess.PIPE
    # What a killed process leaves in its folder for temporary files goes with that.
    with TemporaryDirectory(prefix="assay-test-") as spill:
        variables = environment(**settings) | {"TMPDIR": spill}
        with subprocess.Popen(command, cwd=cwd, env=variables, text=True, stdout=pipe, stderr=stderr) as process:
            try:
                yield process
            finally:
                process.kill()


def call_on_terminal(*arguments: str, cwd: Path = ROOT, **settings: str) -> Finished:
    """Run `assay` to its end with a terminal as its standard error, and return what that showed as `stderr`."""
    shown: list[bytes] = []
    terminal, end = pty.openpty()

    def show() -> None:
        # Linux ends a terminal that nobody writes to any more with an error.
        with suppress(OSError):
            while piece := os.read(terminal, 65536):
                shown.append(piece)

    reader = threading.Thread(target=show)
    reader.start()
    with started(*arguments, cwd=cwd, stderr=end, **settings) as process:
        os.close(end)
        out = process.communicate(timeout=SECONDS)[0]
    reader.join()
    os.close(terminal)
    return subprocess.CompletedProcess(process.args, process.returncode, out, b"".join(shown).decode())


def ride_run(file: Path, lake: Path, *more: str) -> list[str]:
    """Return the arguments of a run of the ride pipeline."""
    return ["run", "ride_bookings", "--source", f"bookings={file}", "--as-of", AS_OF, "--warehouse", str(lake), *more]


def until(moment: Moment, lake: Path, process: Process | None = None) -> bool:
    """Wait until a run has come so far; return False where the process ended before."""
    deadline = time.monotonic() + SECONDS
    while not moment(lake):
        if process is not None and process.poll() is not None:
            return False
        assert time.monotonic() < deadline, "the moment did not come"
        time.sleep(0.002)
    return True


def stop_at(moment: Moment, lake: Path, process: Process, by: signal.Signals = signal.SIGKILL) -> bool:
    """Send the signal as soon as the run has come so far; return False where it ended before."""
    reached = until(moment, lake, process)
    if reached:
        process.send_signal(by)
    return reached


def rows_of(lake: Path, query: str) -> list[Any]:
    """Query the catalog as it is being written; nothing where it is not made yet."""
    uri = (lake / "catalog.db").as_uri() + "?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def has_run(state: str, count: int = 1) -> Moment:
    """The moment at which so many runs are in a state."""
    return lambda lake: len(rows_of(lake, f"select id from assay_run where state = '{state}'")) >= count


def has_staged(count: int) -> Moment:
    """The moment at which the newest run has recorded so many manifests."""
    query = "select dataset from assay_manifest where run = (select max(id) from assay_run where state = 'staged')"
    return lambda lake: len(rows_of(lake, query)) >= count


def has_metadata(count: int) -> Moment:
    """The moment at which there are so many metadata files of tables, of all runs."""
    return lambda lake: len(list(lake.glob("*/*/metadata/*.metadata.json"))) >= count


def content(connection: duckdb.DuckDBPyConnection) -> Content:
    """Return every published table but for its stamps, in an order of its own."""
    views = connection.sql(
        "select schema_name, view_name from duckdb_views() where schema_name in ('bronze', 'silver', 'gold')"
    )
    found = {}
    for layer, entity in views.fetchall():
        table = connection.sql(f"from {layer}.{entity}")
        columns = [name for name in table.columns if name not in STAMPS]
        found[f"{layer}_{entity}"] = sorted(map(repr, table.select(*columns).fetchall()))
    return found


def seen(lake: Path) -> Content:
    """Return what a reader sees of a lake that may not have been made yet."""
    try:
        with assay.connect(lake) as connection:
            return content(connection)
    except WarehouseError:
        return {}
