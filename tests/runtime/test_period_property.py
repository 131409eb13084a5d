"""Whatever months, days and layers were rebuilt in between, an ordinary run completes what they left out."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.runtime.sales import SOURCES, Sale, bronze_first, deliver, gold_day, prepared, silver_shop, stored
from tests.runtime.sales import TABLES as ALL
from tests.runtime.shop import SETTINGS, Shop

FEW = (prepared, bronze_first, silver_shop, gold_day)
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]

DAYS = st.sampled_from(["2024-01-05", "2024-01-06", "2024-02-05", "2024-02-06", "2024-03-01"])
SALES = st.lists(
    st.tuples(st.integers(1, 6), DAYS, st.sampled_from(["north", "south", ""]), st.integers(0, 99)), max_size=5
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("new"), SALES),
        st.tuples(st.just("replace"), SALES),
        st.tuples(st.just("month"), st.sampled_from(["2024-01", "2024-02", "2024-04"])),
        st.tuples(st.just("date"), DAYS),
        st.tuples(st.just("layers"), st.sampled_from(["bronze", "silver", "gold"])),
    ),
    min_size=2,
    max_size=5,
)


def check(first: list[Sale], start: str | None, steps: list[tuple[str, Any]], tables: tuple[Any, ...]) -> None:
    with TemporaryDirectory() as folder:
        shop = Shop(Path(folder))
        pipeline = shop.pipeline(*tables, sources=SOURCES)
        given = {"allow_duplicates": True, "allow_empty": True, "settings": replace(SETTINGS, rejected_share=1)}
        deliver(shop, 0, first)
        assert shop.run(pipeline, month=start, **given).ok
        count = 1
        for kind, what in steps:
            if kind in ("new", "replace"):
                deliver(shop, count if kind == "new" else count - 1, what)
                count += kind == "new"
                continue
            asked = {"date": dt.date.fromisoformat(what)} if kind == "date" else {kind: what}
            result = shop.run(pipeline, **(asked if kind != "layers" else {"layers": [what]}), **given)
            assert result.ok, result.problems
        assert shop.run(pipeline, **given).ok
        once = Shop(Path(folder, "lake"))
        once.inbox = shop.inbox
        assert once.run(pipeline, full=True, **given).ok
        assert stored(shop) == stored(once)
        assert shop.run(pipeline, full=True, **given).state == "unchanged"


@settings(max_examples=2, phases=PHASES)
@given(first=SALES, start=st.sampled_from([None, "2024-02"]), steps=STEPS)
def test_an_ordinary_run_completes_what_periods_left_out(
    first: list[Sale], start: str | None, steps: list[tuple[str, Any]]
) -> None:
    check(first, start, steps, FEW)


@pytest.mark.faults
@settings(max_examples=25, phases=PHASES)
@given(first=SALES, start=st.sampled_from([None, "2024-02"]), steps=STEPS)
def test_an_ordinary_run_completes_what_periods_left_out_of_tables_of_every_kind(
    first: list[Sale], start: str | None, steps: list[tuple[str, Any]]
) -> None:
    check(first, start, steps, ALL)
