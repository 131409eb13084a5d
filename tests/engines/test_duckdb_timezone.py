"""A time without an offset means UTC, whatever the machine's own time zone is."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
from assay.engines.duckdb.engine import DuckDbEngine
from assay.model.schema import Schema
import assay, narwhals as nw
engine = DuckDbEngine(threads=1, memory_limit="1GB")
with engine.session() as session:
    frame = session.resolve(assay.sql("select '2024-07-01 12:00:00' as at"), "bronze_a")
    cast = session.cast(frame, Schema.of([("at", "TIMESTAMPTZ")]))
    print(session.fetch(cast.select(nw.col("at").cast(nw.String))))
"""


def test_a_time_without_an_offset_is_the_same_moment_on_every_machine() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=True
        ).stdout
        for zone in ("America/New_York", "Asia/Tokyo", "UTC")
    ]
    assert told == ["[('2024-07-01 12:00:00+00',)]\n"] * 3
