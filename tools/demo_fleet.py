"""Shows the fleet from nothing, for `make demo-fleet`: twenty tables in phases, one that fails, and its resume."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg

from assay.warehouses.postgres.server.embedded import embedded
from pipelines.table_fleet import generate

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build/fleet"
WAREHOUSE = f"postgresql:{PLACE.relative_to(ROOT)}/server"
TOTALS = 'select count(*) as tables, sum("rows") as rows, sum(amount)::decimal(18,2) as amount from gold.totals'


def say(text: str) -> None:
    """Tell what comes next."""
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()


def assay(*arguments: str, expected: int = 0) -> None:
    """Run a command as it is shown; end with its code where that is not what was to come."""
    command = ["assay", *arguments, "--warehouse", WAREHOUSE]
    say(f"$ {shlex.join(command)}")
    code = subprocess.run([Path(sys.executable).with_name("assay"), *command[1:]], cwd=ROOT, check=False).returncode
    if code != expected:
        sys.exit(f"demo-fleet: that ended with {code}, and {expected} was to come.")


def show(connection: psycopg.Connection[object]) -> None:
    """Go through it, step by step."""
    say("# Twenty tables of 1,000 rows, in a database of their own")
    generate.make(connection, rows=1000, seed=1, lock_timeout="500ms")
    say("# What is looked at stands beside what is loaded; the totals follow")
    assay("run", "main_etl")
    assay("sql", TOTALS)
    say("# Rows change, and somebody locks a table: it is tried three times, the others go on, nothing is published")
    generate.change(connection, rows=100, seed=2)
    with generate.locked(connection, 7):
        assay("run", "main_etl", expected=1)
    assay("sql", TOTALS)
    say("# The lock is gone: just that table is read")
    assay("resume", "main_etl")
    assay("sql", TOTALS)
    assay("history")


def main() -> None:
    """Make both servers anew, and show it."""
    shutil.rmtree(PLACE, ignore_errors=True)
    with embedded(PLACE / "source") as url:
        address = url.replace("+psycopg", "", 1)
        os.environ["FLEET_URL"] = address
        with psycopg.connect(address, autocommit=True) as connection:
            show(connection)


if __name__ == "__main__":
    main()
