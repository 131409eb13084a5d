"""Lines of JSON are read in as much memory as the longest of them takes, by however many threads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from narwhals import col

from assay.engines.duckdb.engine import DuckDbEngine
from assay.model.schema import Column, Schema

LINES = Schema((Column("n", "BIGINT", 1), Column("text", "VARCHAR", 2)))


@pytest.mark.parametrize("lengths", [[], [3], [3] * 10_000, [3, 4_000_000, 5]], ids=["none", "one", "many", "long"])
def test_bad_lines_of_any_length_are_kept_by_many_threads_in_the_memory_that_there_is_by_default(
    tmp_path: Path, lengths: list[int]
) -> None:
    file = tmp_path / "lines [1].jsonl"
    file.write_text("".join(json.dumps({"n": n, "text": "\N{GREEK SMALL LETTER XI}" * n}) + "\n" for n in lengths))
    engine = DuckDbEngine(threads=4, memory_limit="1GB")
    try:
        with engine.session() as session:
            frame = session.open_json_lines(str(file), LINES)
            assert sorted(session.fetch(frame.select("n", length=col("text").str.len_chars()))) == sorted(
                (n, n) for n in lengths
            )
    finally:
        engine.close()
