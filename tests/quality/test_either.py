"""Any of many conditions: as many as there are columns in a wide table."""

from __future__ import annotations

import duckdb
import narwhals as nw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from narwhals import col

from assay.quality.either import any_of

BITS = st.lists(st.sampled_from([True, False, None]), max_size=70)


def held(values: list[bool | None]) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        cells = {f"c{n}": "null::bool" if value is None else str(value) for n, value in enumerate(values)}
        columns = ", ".join(f"{value} as {name}" for name, value in cells.items())
        frame = nw.from_native(connection.sql(f"select {columns or '1 as one'}"))
        return frame.select(found=any_of([col(name) for name in cells])).to_native().fetchall()


@given(values=BITS)
def test_any_holds_where_one_does_and_null_does_not(values: list[bool | None]) -> None:
    assert held(values) == [(True in values,)]


@pytest.mark.parametrize("last", [True, False])
def test_thousands_of_conditions_are_judged(last: bool) -> None:
    assert held([None, *[False] * 2_500, last]) == [(last,)]
