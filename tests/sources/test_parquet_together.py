"""Parquet files that are read many by one statement: each slice holds what it would if its file were read alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import assay
from assay import platform
from assay.engines.duckdb.engine import DuckDbEngine
from assay.model.errors import SourceError
from assay.model.event import Event, RunStarted
from assay.model.files import Parquet
from assay.model.ports import Destination, Session
from assay.model.run import RunResult
from assay.model.source import SOURCE_FILE, FileIdentity, Slice
from assay.runtime.extracting.columnar import batches
from assay.settings import Settings

COLUMNS = {"id": "BIGINT", "amount": "DECIMAL(12,2)", "name": "VARCHAR"}
HOSTILE = (
    "it's.parquet",
    'a "b"/%41=c.parquet',
    "[1]*.parquet",
    "ü -- x.parquet",
    "NULL",
    "__HIVE_DEFAULT_PARTITION__",
)


def rows(start: int, count: int, **more: pa.Array) -> pa.Table:
    """Rows numbered from `start`; `more` replaces or adds columns."""
    ids = range(start, start + count)
    columns = {
        "id": pa.array(ids, pa.int64()),
        "amount": pa.array([n % 1000 for n in ids], pa.int32()).cast(pa.decimal128(12, 2)),
        "name": pa.array([f"name {n}" for n in ids], pa.string()),
    }
    return pa.table({**columns, **more})


def optional(table: pa.Table) -> pa.Table:
    """The table without a note of which columns happen to have no nulls: a file that is written alone has it."""
    return table.cast(pa.schema([field.with_nullable(True) for field in table.schema]))


@pytest.fixture
def session() -> Iterator[Session]:
    """A session of an engine that has more threads than there are processors."""
    with closing(DuckDbEngine(threads=8, memory_limit="500MB")) as engine, engine.session() as session:
        yield session


def written(
    session: Session, source: Parquet, parts: list[Slice], root: Path, folder: str
) -> dict[str | None, list[pa.Table]]:
    """The staged rows of each slice, as they stand in its files."""
    to = Destination(str(root), folder, "1-1-1", source.schema, slices={part.number: part.name for part in parts})
    found: dict[str | None, list[pa.Table]] = {}
    for file in session.write(session.open_parquet(source, parts), to):
        stored = optional(pq.read_table(root / file.path))
        assert (file.rows, file.partition) == (stored.num_rows, {})
        found.setdefault(file.slice, []).append(stored)
    return found


def test_each_slice_has_the_same_rows_in_the_same_order_as_if_its_file_were_read_alone(
    session: Session, tmp_path: Path
) -> None:
    source = assay.parquet("*", columns=COLUMNS)
    parts: list[Slice] = []
    # Of no row, one, many in many row groups, and more than the engine takes at once.
    for number, count in enumerate([0, 1, 6_000, 70_000, *[90] * 120, 1, 0, 5_000], 1):
        path = tmp_path / "in" / (HOSTILE[number] if number < len(HOSTILE) else f"day={number}/data.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows(number * 100_000, count), path, row_group_size=500)
        name = path.relative_to(tmp_path / "in").as_posix()
        identity = FileIdentity(str(path), path.stat().st_size, 0, 0, 0, "")
        # Numbers go up, and not one by one; slices that are read again keep the date of their first reading.
        parts.append(Slice(name, number * 3, identity, str(dt.date(2025, 1, 1 + number % 2)), 0))
    together = written(session, source, parts, tmp_path, "together")
    alone = {
        name: found for part in parts for name, found in written(session, source, [part], tmp_path, "alone").items()
    }
    assert together.keys() == alone.keys() == {part.name for part in parts} - {parts[0].name, parts[-2].name}
    for name, (table,) in alone.items():
        (found,) = together[name]
        assert found.equals(table), name
        assert set(found[SOURCE_FILE].to_pylist()) == {name}


@assay.table(write=assay.Append())
def raw_sale(sales: Any) -> Any:
    """Every sale, with its place."""
    return sales.with_columns(place=assay.position(), file=assay.source_file())


@dataclass
class Till:
    """A folder of sales, and a lake."""

    inbox: Path
    lake: Path

    def pipeline(self) -> assay.Pipeline:
        source = assay.parquet(str(self.inbox / "*.parquet"), columns=COLUMNS, damaged="quarantine")
        return assay.Pipeline("till", tables=[raw_sale], sources={"sales": source}, layers=("raw",))

    def run(self, **how: Any) -> RunResult:
        as_of, settings = dt.date(2025, 2, 1), Settings(retries=0, workers=2)
        return assay.run(self.pipeline(), warehouse=self.lake, as_of=as_of, settings=settings, **how)

    def staged(self) -> dict[str | None, pa.Table]:
        """The rows of each slice, as they stand in its file."""
        version = platform.stored(self.lake).state().versions["source:till.sales"]
        return {file.slice: optional(pq.read_table(self.lake / file.path)) for file in version.files}

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with assay.connect(self.lake) as lake:
            return lake.sql(text).fetchall()


def test_one_run_over_many_files_stages_what_a_run_for_each_of_them_does(tmp_path: Path) -> None:
    deliveries = [
        rows(100, 3),
        rows(200, 3).select(["name", "amount", "id"]),
        rows(300, 3, more=pa.array(["x", "y", "z"])),
        rows(400, 3, id=pa.array([1, 2, 3], pa.int8())),
        rows(500, 0),
        rows(600, 1),
        rows(700, 900),
        rows(800, 3, amount=pa.array([7, 8, 9], pa.int32())),
        rows(900, 3, name=pa.array(["a", "b", "a"]).dictionary_encode()),
        rows(1000, 3, name=pa.nulls(3)),
        rows(1100, 2).select(["name", "amount", "id"]),
        rows(1200, 2),
    ]
    once, daily = Till(tmp_path / "all", tmp_path / "once"), Till(tmp_path / "some", tmp_path / "daily")
    for folder in (once.inbox, daily.inbox):
        folder.mkdir()
    for number, table in enumerate(deliveries):
        for till in (once, daily):
            pq.write_table(table, till.inbox / f"{number:02}.parquet", row_group_size=100)
        assert daily.run().ok
    result = once.run()
    assert result.nodes["sales"].ledger.written == sum(table.num_rows for table in deliveries) == 926
    assert [v.detail for v in result.nodes["sales"].verdicts] == ["more"]
    assert once.staged() == daily.staged()
    every = "select * from raw.sale order by place"
    assert once.query(every) == daily.query(every)


def at_start(act: Callable[[], Any]) -> Callable[[Event], None]:
    """Return an observer that does something once a run is planned."""
    return lambda event: act() if isinstance(event, RunStarted) else None


@pytest.mark.parametrize("fault", ["cut", "turned over", "gone"])
def test_of_files_that_are_read_together_the_one_that_cannot_be_is_named(tmp_path: Path, fault: str) -> None:
    till = Till(tmp_path / "in", tmp_path / "lake")
    till.inbox.mkdir()
    for number in range(5):
        pq.write_table(rows(number * 100, 100), till.inbox / f"{number}.parquet")
    broken = till.inbox / "3.parquet"
    good = broken.read_bytes()

    def damage() -> None:
        changed = {"cut": good[:200], "turned over": good[:4] + good[300:3:-1] + good[301:]}
        broken.unlink() if fault == "gone" else broken.write_bytes(changed[fault])

    with pytest.raises(SourceError, match=r"in/3\.parquet: changed while it was read"):
        till.run(observers=[at_start(damage)])


def test_so_many_files_are_read_together_at_most() -> None:
    parts = [Slice(str(n), n, FileIdentity("", 1, 0, 0, 0, ""), "", 0) for n in range(5)]
    assert [[part.number for part in batch] for batch in batches(parts, most=2)] == [[0, 1], [2, 3], [4]]
