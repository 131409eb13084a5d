"""Each row knows where it came from, and stacked frames keep the order in which a source delivered their rows."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from narwhals import lit

from assay import DeclarationError, extracted_on, position, source_file, stack
from assay.model.source import EXTRACTED_ON, PART_BIT, POSITION, SLICE_BIT, SOURCE_FILE
from tests.transform.frames import both_engines, frame, rows_of

TYPES = {"place": pa.string(), POSITION: pa.int64(), SOURCE_FILE: pa.string(), EXTRACTED_ON: pa.date32()}
AS_OF = dt.date(2024, 12, 1)


def delivered(place: str, slice_number: int, line: int) -> dict[str, object]:
    """A row as an extraction gives it."""
    where = (slice_number << SLICE_BIT) + line
    return {"place": place, POSITION: where, SOURCE_FILE: f"{slice_number}.csv", EXTRACTED_ON: AS_OF}


@both_engines
def test_a_row_tells_position_file_and_day_of_its_delivery(engine: str) -> None:
    given = frame(engine, [delivered("a", 3, 7)], TYPES)
    found = rows_of(given.select("place", at=position(), file=source_file(), day=extracted_on()))
    assert found == [{"place": "a", "at": (3 << SLICE_BIT) + 7, "file": "3.csv", "day": AS_OF}]


@both_engines
@given(
    lines=st.lists(st.tuples(st.integers(1, 3), st.integers(1, (1 << PART_BIT) - 1)), unique=True, max_size=10),
    parts=st.integers(1, 32),
)
def test_stacked_rows_come_delivery_by_delivery_part_by_part_line_by_line(
    engine: str, lines: list[tuple[int, int]], parts: int
) -> None:
    given = frame(engine, [delivered(f"{number}:{line}", number, line) for number, line in lines], TYPES)
    stacked = stack(*(given.with_columns(part=lit(part)) for part in range(parts)))
    found = sorted(rows_of(stacked), key=lambda row: row[POSITION])
    expected = sorted((number, part, line) for number, line in lines for part in range(parts))
    assert [(f"{number}:{line}", part) for number, part, line in expected] == [
        (row["place"], row["part"]) for row in found
    ]
    assert len({row[POSITION] for row in found}) == len(lines) * parts


@both_engines
def test_the_last_place_of_all_is_still_a_bigint(engine: str) -> None:
    last = delivered("z", (1 << 22) - 1, (1 << PART_BIT) - 1)
    stacked = rows_of(stack(*[frame(engine, [last], TYPES)] * 32))
    assert max(row[POSITION] for row in stacked) == (1 << 63) - 1


@both_engines
def test_a_stack_of_one_is_the_frame_itself(engine: str) -> None:
    rows = [delivered("b", 1, 2), delivered("a", 1, 1)]
    assert rows_of(stack(frame(engine, rows, TYPES))) == rows


@both_engines
def test_more_frames_than_a_position_can_tell_apart_are_refused(engine: str) -> None:
    given = frame(engine, [delivered("a", 1, 1)], TYPES)
    with pytest.raises(DeclarationError, match=r"^stack\(\) takes at most 32 frames\.$"):
        stack(*[given] * 33)
