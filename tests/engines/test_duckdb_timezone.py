"""Times with a zone: without an offset they mean UTC on every machine, and Python is handed what they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import assay
from assay.settings import Settings

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


def test_a_time_with_a_zone_is_compared_and_handed_to_python(tmp_path: Path) -> None:
    times, sold = tmp_path / "times.csv", "2024-07-01 12:00:00"
    bronze_sale = assay.table(write=assay.Append())(lambda sales: sales).named("bronze_sale")
    sales = assay.csv(str(times), columns={"id": "BIGINT", "sold_at": "TIMESTAMPTZ"})
    pipeline = assay.Pipeline("shop", tables=[bronze_sale], sources={"sales": sales})
    for offset in ("+00", "+02"):
        times.write_text(f"id,sold_at\n1,{sold}+00\n2,{sold}{offset}\n")
        result = assay.run(pipeline, warehouse=tmp_path / "lake", settings=Settings(workers=1, retry_seconds=0))
        assert result.state == "published", result.problems
    found = assay.connect(tmp_path / "lake").sql("select sold_at from bronze.sale order by id").fetchall()
    assert [at.isoformat() for (at,) in found] == ["2024-07-01T12:00:00+00:00", "2024-07-01T10:00:00+00:00"]
