"""The shuffling engine presents the same rows in other orders, so that what depends on their order shows."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from narwhals import col

from assay.engines.duckdb.engine import DuckDbEngine
from assay.engines.duckdb.shuffling import ShufflingEngine
from assay.model.data import DataFile
from assay.model.ports import Destination
from assay.model.schema import Schema
from assay.transform.sql import sql

NUMBERS = Schema.of([("n", "BIGINT"), ("word", "VARCHAR")])


@pytest.fixture
def files(tmp_path: Path) -> tuple[DataFile, ...]:
    """Two files: the numbers from 0 to 99, and those from 100 to 199."""
    with closing(DuckDbEngine(threads=1, memory_limit="500MB")) as engine, engine.session() as session:
        return tuple(
            file
            for start in (0, 100)
            for file in session.write(
                session.resolve(sql(f"select {start} + range as n, 'w' as word from range(100)"), "bronze_number"),
                Destination(str(tmp_path), "data", "1-1", NUMBERS),
            )
        )


def presented(root: Path, files: tuple[DataFile, ...], seed: int, *, query: str = "select n from s") -> list[Any]:
    with closing(ShufflingEngine(threads=2, memory_limit="500MB", seed=seed)) as engine, engine.session() as session:
        frame = session.scan(str(root), files, NUMBERS, "stored").filter(col("word") == "w")
        return [row[0] for row in session.fetch(session.resolve(sql(query, s=frame), "silver_number"))]


def test_the_opposite_seed_gives_the_same_order_from_last_to_first(tmp_path: Path, files: tuple[DataFile, ...]) -> None:
    assert presented(tmp_path, files, -1) == list(reversed(presented(tmp_path, files, 1)))


def test_the_order_is_the_same_however_rows_are_stored(tmp_path: Path, files: tuple[DataFile, ...]) -> None:
    assert presented(tmp_path, files[::-1], 1) == presented(tmp_path, files, 1)


def test_a_seed_gives_one_order_of_all_the_rows_and_another_seed_another(
    tmp_path: Path, files: tuple[DataFile, ...]
) -> None:
    one, again, other = (presented(tmp_path, files, seed) for seed in (1, 1, 2))
    assert one == again
    assert sorted(one) == sorted(other) == list(range(200))
    assert one not in (other, list(range(200)))


def test_what_depends_on_the_order_of_rows_depends_on_the_seed(tmp_path: Path, files: tuple[DataFile, ...]) -> None:
    for query in (
        "select first(n) from s",
        "select n from s limit 1",
        "select n from (select n, row_number() over (partition by word) as place from s) where place = 1",
    ):
        found = {presented(tmp_path, files, seed, query=query)[0] for seed in (1, -1, 2)}
        assert len(found) > 1, query


def test_no_files_are_an_empty_frame(tmp_path: Path) -> None:
    assert presented(tmp_path, (), 1) == []
