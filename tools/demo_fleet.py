"""Shows the fleet from nothing, for `make demo-fleet`: twenty tables in phases, one that fails, and its resume."""

from __future__ import annotations

import psycopg

from pipelines.table_fleet import generate
from tools.demo import Demo, say

DEMO = Demo("fleet")
TOTALS = 'select count(*) as tables, sum("rows") as rows, sum(amount)::decimal(18,2) as amount from gold.totals'


def show(connection: psycopg.Connection[object]) -> None:
    """Go through it, step by step."""
    say("# Twenty tables of 1,000 rows, in a database of their own")
    generate.make(connection, rows=1000, seed=1, lock_timeout="500ms")
    say("# What is looked at stands beside what is loaded; the totals follow")
    DEMO.assay("run", "main_etl")
    DEMO.assay("sql", TOTALS)
    say("# Rows change, and somebody locks a table: it is tried three times, the others go on, nothing is published")
    generate.change(connection, rows=100, seed=2)
    with generate.locked(connection, 7):
        DEMO.assay("run", "main_etl", expected=1)
    DEMO.assay("sql", TOTALS)
    say("# The lock is gone: just that table is read")
    DEMO.assay("resume", "main_etl")
    DEMO.assay("sql", TOTALS)
    DEMO.assay("history")


if __name__ == "__main__":
    DEMO.go(show, "FLEET_URL")
