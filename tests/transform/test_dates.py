"""Days are counted and months named as Python's calendar does, on every engine and over all its years."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay import days_between, month_of
from tests.transform.frames import both_engines, frame, rows_of

TYPES = {"first": pa.date32(), "last": pa.date32()}
CENTURIES = dt.date(1580, 1, 1), dt.date(2420, 1, 1)

dates = st.one_of(
    st.dates(),
    st.dates(dt.date(2023, 12, 1), dt.date(2024, 3, 31)),
    st.sampled_from([dt.date(year, 2, day) for year in (1600, 1900, 1904, 2000, 2100) for day in (27, 28)]),
    st.sampled_from([dt.date(year, 2, 29) for year in (4, 400, 1600, 1904, 2000, 2024, 9996)]),
    st.none(),
)


@both_engines
@given(pairs=st.lists(st.tuples(dates, dates), min_size=1, max_size=50))
def test_days_between_two_dates_are_those_of_datetime(
    engine: str, pairs: list[tuple[dt.date | None, dt.date | None]]
) -> None:
    given = frame(engine, [{"first": first, "last": last} for first, last in pairs], TYPES)
    found = rows_of(given.select("first", "last", days=days_between("first", "last")))
    assert [row["days"] for row in found] == [
        (row["last"] - row["first"]).days if row["first"] and row["last"] else None for row in found
    ]
    assert len(found) == len(pairs)


@both_engines
@given(given=st.lists(dates, min_size=1, max_size=50))
def test_the_month_of_a_date_is_its_first_seven_letters(engine: str, given: list[dt.date | None]) -> None:
    found = rows_of(frame(engine, [{"first": day} for day in given], TYPES).select("first", month=month_of("first")))
    assert [row["month"] for row in found] == [row["first"] and row["first"].isoformat()[:7] for row in found]


@both_engines
def test_every_day_of_eight_centuries_follows_the_day_before(engine: str) -> None:
    begin, end = CENTURIES
    days = [begin + dt.timedelta(n) for n in range((end - begin).days)]
    given = frame(engine, [{"first": begin, "last": day} for day in days], TYPES)
    found = rows_of(given.select(month=month_of("last"), days=days_between("first", "last")))
    assert sorted(row["days"] for row in found) == list(range(len(days)))
    assert len({row["month"] for row in found}) == 12 * (end.year - begin.year)


@both_engines
@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("2024-02-28", "2024-03-01", 2),
        ("2023-02-28", "2023-03-01", 1),
        ("1900-02-28", "1900-03-01", 1),
        ("2000-02-28", "2000-03-01", 2),
        ("2024-12-31", "2025-01-01", 1),
        ("2024-05-05", "2024-05-05", 0),
        ("2024-03-01", "2024-02-28", -2),
        ("0001-01-01", "9999-12-31", 3_652_058),
    ],
)
def test_the_days_from_one_date_to_another(engine: str, first: str, last: str, days: int) -> None:
    given = frame(engine, [{"first": dt.date.fromisoformat(first), "last": dt.date.fromisoformat(last)}], TYPES)
    assert rows_of(given.select(days=days_between("first", "last"))) == [{"days": days}]


@both_engines
def test_days_are_whole_numbers(engine: str) -> None:
    kinds = frame(engine, [], TYPES).select(days=days_between("first", "last"), month=month_of("first"))
    assert {name: str(kind) for name, kind in kinds.collect_schema().items()} == {"days": "Int64", "month": "String"}
