"""Rows of a database are read as its COPY writes them, by however many threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.engines.duckdb.engine import DuckDbEngine
from assay.model.database import Spooled
from assay.model.source import POSITION, FileIdentity, Slice

PART = Slice("t", 0, FileIdentity("t", 0, 0, 0, 0, ""), "2026-03-01", 0)


@pytest.mark.parametrize("end", ["", "\n", ',"'], ids=["words", "line ends", "quotes"])
@pytest.mark.parametrize("lines", [2, 20, 500])
def test_lines_inside_a_value_are_no_rows_for_any_of_many_threads(tmp_path: Path, lines: int, end: str) -> None:
    value = "\n".join(f"Main Street {n}, Springfield" for n in range(lines)) + end
    rows = [(f"P{n}", value) for n in range(2_000_000 // len(value))]
    longest = 0
    with (file := tmp_path / "rows.csv").open("w", newline="") as out:
        for code, text in rows:
            line = '{},"{}"\n'.format(code, text.replace('"', '""'))
            longest = max(longest, out.write(line))
    engine = DuckDbEngine(threads=4, memory_limit="1GB")
    try:
        with engine.session() as session:
            spooled = Spooled(str(file), ("code", "address"), True, PART, 0, longest, len(rows))
            frame = session.open_spool(spooled, {"code": "VARCHAR", "address": "VARCHAR"})
            assert session.fetch(frame.sort(POSITION).select("code", "address")) == rows
    finally:
        engine.close()
