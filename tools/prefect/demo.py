"""Shows the fleet on Prefect from nothing: in one process (`make run-flow`), or on workers (`make run-distributed`)."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from pipelines.table_fleet import generate
from tools.demo import ROOT, Demo, say
from tools.demo_fleet import TOTALS
from tools.prefect.access import Access
from tools.prefect.server import Server, free_port, program
from tools.prefect.workers import Workers, tell_line, working

MAIN = "main_etl/main-etl-job"
SECONDS = 600.0
"""How long the flow run may take."""
LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
"""Those of what runs; others tell how it came to a worker."""
LATE = dt.timedelta(seconds=20)
"""How much later than others a process may tell its lines."""


class Log:
    """The lines of all flow runs of a server, each shown once, as they come."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.shown: set[str] = set()
        self.names: dict[str, str] = {}
        self.since = dt.datetime.now(dt.UTC) - LATE

    def show(self) -> None:
        """Show what has come since the last time."""
        asked: dict[str, Any] = {"sort": "TIMESTAMP_ASC", "logs": {"timestamp": {"after_": self.since.isoformat()}}}
        for line in self._pages(asked):
            if line["id"] not in self.shown and line["name"] in LOGGERS:
                tell_line(f"{line['timestamp'][11:19]} {self._name(line['flow_run_id'])}: {line['message']}")
                self.since = max(self.since, dt.datetime.fromisoformat(line["timestamp"]) - LATE)
            self.shown.add(line["id"])

    def _pages(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        offset, limit = 0, 200
        while True:
            lines = self.access.ask("/logs/filter", {**asked, "limit": limit, "offset": offset})
            yield from lines
            if len(lines) < limit:
                return
            offset += limit

    def _name(self, run: str) -> str:
        """Return the name of the flow of a flow run."""
        if run not in self.names:
            flow = self.access.ask(f"/flow_runs/{run}")["flow_id"]
            self.names[run] = self.access.ask(f"/flows/{flow}")["name"]
        return self.names[run]


@contextmanager
def serving(demo: Demo) -> Iterator[Server]:
    """Run a server of its own until the block ends."""
    server = Server(ROOT / "build" / demo.name / "prefect")
    say("# A server of Prefect")
    access = server.start(free_port()).access
    say(f"Prefect answers at {access.url}")
    os.environ.update({**server.home, **access.environment, "ASSAY_WAREHOUSE": f"postgresql:build/{demo.name}/server"})
    try:
        yield server
    finally:
        server.stop()


def flow(demo: Demo) -> None:
    """Run the fleet as a flow in one process."""
    with serving(demo):
        say("$ python -c 'from assay.orchestrators.prefect import to_flow; to_flow(\"main_etl\")()'")
        code = "from assay.orchestrators.prefect import to_flow; to_flow('main_etl')()"
        ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode
        told(demo, ended == 0)


def distributed(demo: Demo, count: int) -> None:
    """Run the fleet by its deployments, on workers that are started and stopped."""
    with serving(demo) as server:
        say("$ assay deploy prefect")
        subprocess.run([program("assay"), "deploy", "prefect"], cwd=ROOT, check=True)
        say(f"# {count} workers, and one for flow runs that wait for others")
        with working(server, count, 1, tell_line) as workers:
            say(f"# {MAIN} is started, as the pages of the server do it")
            state = followed(server.access(), workers)
        say(f"# {MAIN}: {state['name']}: {state['message']}")
        told(demo, state["type"] == "COMPLETED")


def followed(access: Access, workers: Workers) -> dict[str, Any]:
    """Start the deployment, show what it tells, and return the state in which its run has ended."""
    deployment = access.ask(f"/deployments/name/{MAIN}")["id"]
    log, deadline = Log(access), time.monotonic() + SECONDS
    run = access.ask(f"/deployments/{deployment}/create_flow_run", {})["id"]
    state: dict[str, Any] = {"name": "Scheduled", "type": "SCHEDULED", "message": "it has not ended"}
    while state["type"] not in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") and time.monotonic() < deadline:
        time.sleep(1)
        workers.look()
        state = access.ask(f"/flow_runs/{run}")["state"]
        log.show()
    time.sleep(2)
    log.show()
    return state


def told(demo: Demo, well: bool) -> None:
    """Tell what was published, and end with 1 where the flow run did not complete."""
    demo.assay("history")
    if not well:
        sys.exit(f"run-{demo.name}: the flow run did not complete.")
    demo.assay("sql", TOTALS)


def main(what: str, count: str = "2") -> None:
    """Make a source with twenty tables, and run one of both."""
    demo = Demo(what)

    def show(connection: psycopg.Connection[object]) -> None:
        say("# Twenty tables of 1,000 rows, in a database of their own")
        generate.make(connection, rows=1000, seed=1)
        flow(demo) if what == "flow" else distributed(demo, int(count))

    demo.go(show, "FLEET_URL")


if __name__ == "__main__":
    main(*sys.argv[1:])
