"""Names, addresses, missing values, outliers and texts that stand for values, alike on every engine."""

from __future__ import annotations

import datetime as dt
import statistics
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay import clean_email, fill_missing, is_email, parsed, person_name, with_outliers
from assay.transform.drop import collecting
from tests.transform.frames import EVERY, every_engine, frame, rows_of

NAMES = {
    "ann smith": "Ann Smith",
    "ANN SMITH": "Ann Smith",
    "John Smith MD": "John Smith MD",
    "john smith md": "John Smith MD",
    "jane roe phd": "Jane Roe PhD",
    "md rahman": "Md Rahman",
    "sean o'brien": "Sean O'Brien",
    "Sean O'Brien": "Sean O'Brien",
    "maria d'angelo iii": "Maria D'Angelo III",
    "ludwig van der berg": "Ludwig van der Berg",
    "Ludwig van der Berg": "Ludwig van der Berg",
    "van morrison": "Van Morrison",
    "JUAN DE LA CRUZ": "Juan de la Cruz",
    "ronald mcdonald": "Ronald McDonald",
    "Ronald McDonald": "Ronald McDonald",
    "mary-jane mckenzie-smith": "Mary-Jane McKenzie-Smith",
    "josé müller": "José Müller",
    "ØRSTED": "Ørsted",
    " ann \t  smith ": "Ann Smith",
    "ludwig VAN der berg": "ludwig VAN der berg",
    "dr. ann lee jr.": "Dr. Ann Lee Jr.",
    "山田": "山田",
    "  ": None,
    "": None,
    None: None,
}


def column(engine: str, values: list[Any], kind: pa.DataType, **more: Any) -> Any:
    rows = [{"n": n, "x": value} for n, value in enumerate(values)]
    return frame(engine, rows, {"n": pa.int64(), "x": kind, **more})


def values_of(found: Any, name: str = "x") -> list[Any]:
    return [row[name] for row in sorted(rows_of(found), key=lambda row: row["n"])]


@pytest.mark.row("003-08")
@every_engine
def test_names_have_the_capitals_that_people_give_them(engine: str) -> None:
    found = column(engine, list(NAMES), pa.string()).with_columns(person_name("x"))
    assert dict(zip(NAMES, values_of(found), strict=True)) == NAMES


@settings(max_examples=25, deadline=None)
@given(names=st.lists(st.text("abcmdv O'-éZ ", max_size=12), min_size=1, max_size=30))
def test_a_name_once_written_well_stays_so_and_is_alike_everywhere(names: list[str]) -> None:
    once = [values_of(column(engine, list(names), pa.string()).with_columns(person_name("x"))) for engine in EVERY]
    assert all(found == once[0] for found in once)
    again = column("duckdb", once[0], pa.string()).with_columns(person_name("x"))
    assert values_of(again) == once[0]


@pytest.mark.row("003-08")
@every_engine
def test_addresses_are_made_small_and_told_from_other_texts(engine: str) -> None:
    texts = [" Ann.Smith+x@Example.COM ", "ann_at_example.com", "ann@example", "a@b.c", "a b@example.com", "", None]
    found = column(engine, list(texts), pa.string()).with_columns(clean_email("x")).with_columns(fits=is_email("x"))
    assert values_of(found)[0] == "ann.smith+x@example.com"
    assert values_of(found, "fits") == [True, False, False, False, False, None, None]


@pytest.mark.row("003-08")
@every_engine
@pytest.mark.parametrize(
    ("how", "more", "filled"),
    [
        ("value", {"value": 7}, [1, 7, 2, 2, 7, 5]),
        ("mean", {}, [1.0, 2.5, 2.0, 2.0, 2.5, 5.0]),
        ("median", {}, [1.0, 2.0, 2.0, 2.0, 2.0, 5.0]),
        ("mode", {}, [1, 2, 2, 2, 2, 5]),
        ("forward", {"order_by": "n"}, [1, 1, 2, 2, 2, 5]),
        ("backward", {"order_by": "n"}, [1, 2, 2, 2, 5, 5]),
        ("drop", {}, [1, 2, 2, 5]),
    ],
)
def test_what_is_missing_is_filled_in_each_of_seven_ways(engine: str, how: Any, more: Any, filled: list[Any]) -> None:
    given = column(engine, [1, None, 2, 2, None, 5], pa.int64())
    with collecting() as dropped:
        assert values_of(fill_missing(given, "x", how, **more)) == filled
    assert [drop.reason for drop in dropped] == (["no x"] if how == "drop" else [])


@every_engine
@pytest.mark.parametrize("how", ["mean", "median", "mode", "forward"])
def test_where_nothing_is_there_nothing_is_filled_and_no_row_goes(engine: str, how: Any) -> None:
    given = column(engine, [None, None], pa.int64())
    assert values_of(fill_missing(given, "x", how, order_by="n")) == [None, None]


def test_filling_by_neighbours_needs_an_order() -> None:
    with pytest.raises(ValueError, match=r"needs order_by=, the column that rows follow"):
        fill_missing(column("polars", [1], pa.int64()), "x", "forward")


@pytest.mark.row("003-08")
@every_engine
def test_outliers_are_told_by_quartiles_and_by_deviations(engine: str) -> None:
    # The quartiles of these are 2.5 and 5.5, so that what is below -2 or above 10 lies outside.
    values = [-2, 2, 3, 4, 5, 6, 10.5, None]
    found = column(engine, values, pa.float64())
    assert values_of(with_outliers(found, "x"), "is_outlier") == [False] * 6 + [True, False]
    assert values_of(with_outliers(found, "x", factor=10), "is_outlier") == [False] * 8
    known = [value for value in values if value is not None]
    mean, deviation = statistics.mean(known), statistics.stdev(known)
    expected = [value is not None and abs(value - mean) > 1.65 * deviation for value in values]
    far = with_outliers(found, "x", "zscore", factor=1.65, into="far")
    assert values_of(far, "far") == expected
    assert sum(expected) == 1


@pytest.mark.row("003-08")
@every_engine
@pytest.mark.parametrize(
    ("kind", "texts", "expected"),
    [
        ("BIGINT", ["12", " -7 ", "+3", "1.5", "", "x", "1e3", None], [12, -7, 3, None, None, None, None, None]),
        ("DOUBLE", ["1.5", "-.5", "2", "1e3", "nan", "1,5"], [1.5, -0.5, 2.0, 1000.0, None, None]),
        ("BOOLEAN", ["Yes", "n", "1", "TRUE", "maybe", None], [True, False, True, True, None, None]),
        (
            "DATE",
            ["2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "2025-04-31", "2025-12-31", "31.12.2025"],
            [dt.date(2024, 2, 29), None, None, dt.date(2000, 2, 29), None, dt.date(2025, 12, 31), None],
        ),
    ],
)
def test_texts_become_the_values_they_stand_for_and_null_where_they_are_none(
    engine: str, kind: Any, texts: list[Any], expected: list[Any]
) -> None:
    found = column(engine, texts, pa.string()).with_columns(parsed("x", kind))
    assert values_of(found) == expected
