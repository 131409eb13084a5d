"""One row of each key is kept, by an order that leaves no tie, however an engine presents the rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.model.source import POSITION
from assay.model.write import FirstInSource, Keep, first_in_source, latest
from assay.transform.dedupe import keep_one
from tests.transform.frames import Row, both_engines, frame, rows_of

TYPES = {
    "region": pa.string(),
    "order_id": pa.int64(),
    "updated_on": pa.date32(),
    "amount": pa.decimal128(12, 2),
    "note": pa.string(),
    POSITION: pa.int64(),
}
KEY = ("region", "order_id")

orders = st.fixed_dictionaries(
    {
        "region": st.sampled_from(["north", "NORTH", None]),
        "order_id": st.integers(1, 3),
        "updated_on": st.sampled_from([None, dt.date(2024, 1, 1), dt.date(2024, 1, 2)]),
        "amount": st.one_of(st.none(), st.decimals(0, 9, places=2)),
        "note": st.sampled_from([None, "", "a", "B", "ä", "it's"]),
    }
)


def listed(positions: st.SearchStrategy[int], *, unique: bool) -> st.SearchStrategy[list[Row]]:
    placed = st.builds(lambda row, position: {**row, POSITION: position}, orders, positions)
    return st.lists(placed, max_size=25, unique_by=(lambda row: row[POSITION]) if unique else None)


with_own_position = listed(st.integers(1 << 41, (1 << 41) + 40), unique=True)
with_shared_positions = listed(st.integers(1, 4), unique=False)


def smallest_null(row: Row, names: list[str]) -> list[tuple[bool, Any]]:
    return [(row[name] is not None, row[name] if row[name] is not None else 0) for name in names]


def by_key(rows: list[Row]) -> Iterator[list[Row]]:
    def key(row: Row) -> Any:
        return smallest_null(row, list(KEY))

    for _, group in groupby(sorted(rows, key=key), key):
        yield list(group)


def oracle(rows: list[Row], keep: Keep) -> list[Row]:
    """One row of each key in plain Python: by value, position, and then every column in its order."""
    order = [POSITION] if isinstance(keep, FirstInSource) else [keep.column, POSITION]
    order += [name for name in TYPES if name not in order]
    choose = min if isinstance(keep, FirstInSource) else max
    return [choose(group, key=lambda row: smallest_null(row, order)) for group in by_key(rows)]


def kept(engine: str, rows: list[Row], keep: Keep, *, unique: bool, types: dict[str, Any] = TYPES) -> list[Row]:
    """What keep_one leaves, in the order of the keys."""
    one = keep_one(frame(engine, rows, types), KEY, keep, list(types), position_is_unique=unique)
    return [row for group in by_key(rows_of(one.select(*types))) for row in group]


@both_engines
@pytest.mark.parametrize("keep", [first_in_source(), latest("updated_on"), latest("amount"), latest("note")], ids=str)
@settings(max_examples=50)
@given(data=st.data())
def test_the_row_kept_is_the_one_a_person_would_choose(engine: str, keep: Keep, data: st.DataObject) -> None:
    unique = data.draw(st.booleans())
    rows = data.draw(with_own_position if unique else with_shared_positions)
    assert kept(engine, rows, keep, unique=unique) == oracle(rows, keep)


@both_engines
@pytest.mark.parametrize("keep", [first_in_source(), latest("updated_on")], ids=str)
@settings(max_examples=50)
@given(rows=with_shared_positions, data=st.data())
def test_the_choice_does_not_depend_on_the_presentation(
    engine: str, keep: Keep, rows: list[Row], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(rows))
    assert kept(engine, shuffled, keep, unique=False) == kept(engine, rows, keep, unique=False)


@both_engines
@settings(max_examples=50)
@given(rows=with_shared_positions, data=st.data())
def test_without_positions_every_column_breaks_the_tie(engine: str, rows: list[Row], data: st.DataObject) -> None:
    types = {name: kind for name, kind in TYPES.items() if name != POSITION}
    bare = [{name: row[name] for name in types} for row in rows]
    found = kept(engine, data.draw(st.permutations(bare)), latest("amount"), unique=False, types=types)
    expected = [
        max(group, key=lambda row: smallest_null(row, ["amount", "updated_on", "note"])) for group in by_key(bare)
    ]
    assert found == expected


ORDER = {"region": "north", "order_id": 1, "updated_on": None, "amount": None, "note": None}


@both_engines
@pytest.mark.parametrize(
    ("keep", "notes", "kept_note"),
    [
        (first_in_source(), {7: "late", 3: "early"}, "early"),
        (latest("updated_on"), {7: "late", 3: "early"}, "late"),
        (latest("note"), {7: None, 3: "b", 5: "a"}, "b"),
        (latest("note"), {7: None}, None),
    ],
    ids=["first in the source", "a tie goes to the last position", "null is smallest", "null alone stays"],
)
def test_of_the_rows_with_one_key(engine: str, keep: Keep, notes: dict[int, str | None], kept_note: str | None) -> None:
    rows = [{**ORDER, "note": note, POSITION: position} for position, note in notes.items()]
    assert [row["note"] for row in kept(engine, rows, keep, unique=True)] == [kept_note]
