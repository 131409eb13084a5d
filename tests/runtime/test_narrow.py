"""Computing what a delivery touches gives what computing everything gives, for every shape of table."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import narwhals as nw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from narwhals import LazyFrame, col

import assay
from assay import Append, Merge, Overwrite, Pipeline, csv, drop_where, first_in_source, groups, latest, lookup, position
from assay.model.run import RunResult
from assay.settings import Settings

Frame = LazyFrame[Any]
Line = tuple[int, str, str, int]
SETTINGS = Settings(workers=2, retry_seconds=0, rejected_share=1)
COLUMNS = {"id": "BIGINT", "who": "VARCHAR", "place": "VARCHAR", "amount": "BIGINT"}


@assay.view()
def prepared(lines: Frame) -> Frame:
    """Every line with its position."""
    return lines.select("id", "who", "place", "amount", position())


@assay.table(write=Append(), key="id", keep=first_in_source())
def bronze_line(prepared: Frame) -> Frame:
    """The first line of every id; lines without a person are left out."""
    return drop_where(prepared, "nobody", col("who").is_null())


@assay.table(write=Append())
def bronze_raw(prepared: Frame) -> Frame:
    """Every line."""
    return prepared


@assay.table(write=Merge(surrogate="place_id", stamps=True), key="place", keep=first_in_source())
def silver_place(bronze_line: Frame) -> Frame:
    """The places, numbered by first appearance."""
    return drop_where(bronze_line, "nowhere", col("place").is_null()).select("place", position())


@assay.table(
    write=Merge(stamps=True),
    key="id",
    keep=latest("amount"),
    checks=[assay.between("amount", 0, 90, action="reject")],
)
def silver_largest(bronze_raw: Frame) -> Frame:
    """The largest line of every id."""
    return bronze_raw


@assay.table(write=Merge(stamps=True), key="id", rows=lookup("silver_place"))
def silver_line(bronze_line: Frame, silver_place: Frame) -> Frame:
    """Every line with the number of its place."""
    return bronze_line.join(silver_place.select("place", "place_id"), on="place", how="left").drop("place")


@assay.table(write=Merge(stamps=True), key="who", rows=groups("who", count="lines", total="amount"))
def silver_person(bronze_line: Frame) -> Frame:
    """Lines and amount of each person."""
    return bronze_line.group_by("who").agg(lines=nw.len(), amount=col("amount").sum())


@assay.table(write=Overwrite(stamps=True), key="who", rows=lookup("silver_line"))
def gold_person(silver_person: Frame, silver_line: Frame) -> Frame:
    """Each person with the highest id of theirs."""
    newest = silver_line.group_by("who").agg(newest=col("id").max())
    return silver_person.select("who", "lines").join(newest, on="who", how="left")


@assay.table(key="place_id", rows=groups("place_id", count="lines"))
def gold_place(silver_line: Frame) -> Frame:
    """Lines of each place."""
    known = drop_where(silver_line, "nowhere", col("place_id").is_null())
    return known.group_by("place_id").agg(lines=nw.len())


@assay.table(rows=assay.free("one row for all"))
def gold_total(silver_largest: Frame) -> Frame:
    """The sum of all."""
    return silver_largest.select(amount=col("amount").sum(), rows=nw.len())


def pipeline(folder: Path) -> Pipeline:
    tables = [
        prepared,
        bronze_line,
        bronze_raw,
        silver_place,
        silver_largest,
        silver_line,
        silver_person,
        gold_person,
        gold_place,
        gold_total,
    ]
    return Pipeline("shapes", tables=tables, sources={"lines": csv(f"{folder}/*.csv", columns=COLUMNS, mirror=True)})


def write(folder: Path, number: int, lines: list[Line]) -> None:
    rows = "".join(f"{i},{who},{place},{amount}\n" for i, who, place, amount in lines)
    (folder / f"{number:03}.csv").write_text(f"id,who,place,amount\n{rows}")


def run(folder: Path, *, full: bool = False, day: int = 1) -> RunResult:
    return assay.run(
        pipeline(folder),
        warehouse=folder / "lake",
        as_of=dt.date(2024, 1, day),
        full=full,
        allow_duplicates=True,
        allow_empty=True,
        settings=SETTINGS,
    )


line = st.tuples(
    st.integers(1, 30),
    st.sampled_from(["ann", "bob", "cid", ""]),
    st.sampled_from(["x", "y", "z", ""]),
    st.integers(0, 99),
)
lines = st.lists(line, min_size=0, max_size=12)
step = st.one_of(
    st.tuples(st.just("new"), st.integers(0, 3), lines),
    st.tuples(st.just("replace"), st.integers(0, 3), lines),
    st.tuples(st.just("gone"), st.integers(0, 3), st.just([])),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=st.lists(line, min_size=25, max_size=40), steps=st.lists(step, min_size=1, max_size=4))
def test_narrowed_runs_leave_what_a_full_run_would(first: list[Line], steps: list[tuple[str, int, list[Line]]]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, 0, first)
        assert run(folder).ok
        count = 1
        for kind, which, rows in steps:
            if kind == "new":
                write(folder, count, rows)
                count += 1
            elif kind == "replace":
                write(folder, which % count, rows)
            else:
                (folder / f"{1 + which % max(count - 1, 1):03}.csv").unlink(missing_ok=True)
            result = run(folder, day=2)
            assert result.ok, result.problems
        again = run(folder, full=True, day=3)
        assert again.state == "unchanged", [n.name for n in again.nodes.values() if n.status in ("written", "computed")]


@pytest.fixture
def grown(tmp_path: Path) -> RunResult:
    write(tmp_path, 0, [(n, f"p{n % 40}", f"s{n % 5}", n % 90) for n in range(1, 201)])
    assert run(tmp_path).ok
    write(tmp_path, 1, [(500, "p1", "s1", 5), (7, "p2", "s2", 95)])
    result = run(tmp_path, day=2)
    assert result.state == "published"
    return result


@pytest.mark.parametrize(
    ("table", "read"),
    [
        ("bronze_line", {"prepared": 2}),
        ("bronze_raw", {"prepared": 2}),
        ("silver_place", {"bronze_line": 1}),
        ("silver_largest", {"bronze_raw": 3}),
        ("silver_line", {"bronze_line": 1, "silver_place": 5}),
        ("silver_person", {"bronze_line": 6}),
        ("gold_person", {"silver_person": 1, "silver_line": 6}),
    ],
)
def test_a_small_delivery_is_read_with_what_it_touches_and_no_more(
    grown: RunResult, table: str, read: dict[str, int]
) -> None:
    assert dict(grown.nodes[table].ledger.read) == read


def test_a_table_whose_rows_hang_together_is_computed_whole(grown: RunResult) -> None:
    assert grown.nodes["gold_total"].ledger.read == {"silver_largest": 201}


def test_rows_that_lose_to_published_ones_count_as_deduplicated(grown: RunResult) -> None:
    ledger = grown.nodes["bronze_line"].ledger
    assert (ledger.returned, ledger.deduplicated, ledger.written, ledger.inserted) == (2, 1, 1, 1)
    assert grown.nodes["bronze_line"].rows == 201


def test_only_files_that_hold_touched_keys_are_written_anew(grown: RunResult) -> None:
    ledger = grown.nodes["silver_person"].ledger
    assert (ledger.inserted, ledger.updated, ledger.unchanged, ledger.deleted) == (0, 1, 0, 0)
    assert grown.nodes["silver_person"].rows == 40


def test_a_row_without_a_key_is_judged_as_a_full_run_would(tmp_path: Path) -> None:
    write(tmp_path, 0, [(n, "ann", "x", 1) for n in range(1, 101)])
    assert run(tmp_path).ok
    (tmp_path / "001.csv").write_text("id,who,place,amount\n,bob,x,1\n101,bob,x,2\n")
    result = run(tmp_path, day=2)
    assert result.state == "failed"
    assert "silver_largest: check not_null(id) is broken by 1 row" in result.problems


def test_a_place_that_was_seen_before_leaves_the_places_unchanged(grown: RunResult) -> None:
    assert grown.nodes["silver_place"].status == "unchanged"
