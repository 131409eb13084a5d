"""A function that looks something up in a Python set is the same function in every process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from narwhals import col
from assay import Pipeline, accepted, csv, table
from assay.engines.duckdb.engine import DuckDbEngine
from assay.runtime.tracing.trace import trace

MEMBERS = {members}

@table(checks=[accepted("kind", MEMBERS)])
def bronze_thing(things):
    return things.with_columns(wanted=col("kind").is_in(MEMBERS))

source = csv("things.csv", columns={{"kind": {kind!r}}})
engine = DuckDbEngine(threads=1, memory_limit="1GB")
print(trace(Pipeline("p", tables=[bronze_thing], sources={{"things": source}}), engine)["bronze_thing"].fingerprint)
"""


def fingerprint(members: str, kind: str, seed: int) -> str:
    script = SCRIPT.format(members=members, kind=kind)
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("members", "other", "kind"),
    [
        ("{'aa', 'b, (b', 'c]c', \"d'd\", 'a::b'}", "{'aa', 'b, (b', 'c]c', \"d'd\"}", "VARCHAR"),
        ("{1.5, 2, 3, float('inf')}", "{1.5, 2, 3}", "DOUBLE"),
    ],
)
def test_the_order_of_a_set_is_not_what_a_function_is(members: str, other: str, kind: str) -> None:
    found = {fingerprint(members, kind, seed) for seed in (1, 2, 3)}
    assert len(found) == 1
    assert fingerprint(other, kind, 1) not in found
