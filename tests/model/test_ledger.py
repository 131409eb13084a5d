"""A ledger balances exactly when every row that was read is accounted for; one row too many or too few is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.model.ledger import ControlTotal, Ledger
from assay.model.rows import Free, Grain, Groups, Times, free, groups, lookup, same, times

REMEDY = "without a declaration (drop rows by drop_where(frame, reason, expr), or declare the grain by rows=)"
AGREES, DIFFERS = ControlTotal("amount", "100.00", "100.00", True), ControlTotal("amount", "100.00", "99.50", False)

counts = st.integers(0, 1_000_000)
reasons = st.dictionaries(st.sampled_from(["no customer", "a test order", "void"]), counts, max_size=3)
equated = st.one_of(
    st.just(same()),
    st.builds(times, st.integers(1, 5)),
    st.just(lookup("silver_customer")),
)
unequated = st.one_of(
    st.just(groups("day", total="amount")),
    st.just(groups("day", count="n", lookup=("silver_customer",))),
    st.just(free("one row for each minute")),
)


@st.composite
def balanced(draw: st.DrawFn, grains: st.SearchStrategy[Grain]) -> tuple[Ledger, Grain]:
    """A ledger that balances, with its grain; what is returned is shared out as it may be."""
    grain, filtered = draw(grains), draw(reasons)
    written, rejected, deduplicated = draw(counts), draw(counts), draw(counts)
    returned = written + rejected + deduplicated
    read = {"silver_customer": draw(counts)} if grain == lookup("silver_customer") else {}
    count = grain.count if isinstance(grain, Times) else 1
    missing = -(returned + sum(filtered.values())) % count
    written, returned = written + missing, returned + missing
    rows = draw(counts) if isinstance(grain, Groups | Free) else (returned + sum(filtered.values())) // count
    first = draw(st.integers(0, rows))
    read |= {"bronze_order": first, "bronze_return": rows - first} if draw(st.booleans()) else {"bronze_order": rows}
    totals = (AGREES,) if isinstance(grain, Groups) else ()
    return Ledger(read, filtered, returned, rejected, deduplicated, written, totals=totals), grain


def moved(ledger: Ledger, line: str, by: int) -> Ledger:
    """The ledger with one line changed: "written", or "read.bronze_order"."""
    name, dot, part = line.partition(".")
    value: Any = getattr(ledger, name)
    return replace(ledger, **{name: {**value, part: value[part] + by} if dot else value + by})


@given(balanced(st.one_of(equated, unequated)))
def test_a_ledger_in_which_every_row_is_accounted_for_balances(account: tuple[Ledger, Grain]) -> None:
    ledger, grain = account
    assert ledger.imbalances(grain) == []


@given(balanced(st.one_of(equated, unequated)), st.sampled_from([1, -1]), st.data())
def test_any_line_that_is_wrong_by_one_row_is_found(
    account: tuple[Ledger, Grain], by: int, data: st.DataObject
) -> None:
    ledger, grain = account
    lines = ["returned", "written", "rejected", "deduplicated"]
    if not isinstance(grain, Groups | Free):
        lines += [f"filtered.{reason}" for reason in ledger.filtered]
        lines += [f"read.{name}" for name in ledger.read if name != "silver_customer"]
    line = data.draw(st.sampled_from(lines))
    assert moved(ledger, line, by).imbalances(grain) != []


@pytest.mark.parametrize(
    ("ledger", "grain"),
    [
        (Ledger(read={"a": 10}, returned=10, written=10), same()),
        (Ledger(read={"a": 10, "b": 5}, returned=15, written=15), same()),
        (Ledger(read={"a": 10}, filtered={"x": 2, "y": 1}, returned=7, rejected=2, deduplicated=1, written=4), same()),
        (Ledger(read={"a": 10}, filtered={"x": 2}, returned=28, written=28), times(3)),
        (Ledger(read={"a": 10, "dim": 99}, returned=10, written=10), lookup("dim")),
        (Ledger(read={"a": 10}, returned=3, written=3, totals=(AGREES,)), groups("day", total="amount")),
        (Ledger(read={"a": 10}, returned=77, written=77), free("why not")),
        (Ledger(), same()),
    ],
)
def test_each_grain_has_its_own_equation(ledger: Ledger, grain: Grain) -> None:
    assert ledger.imbalances(grain) == []


@pytest.mark.parametrize(
    ("ledger", "grain", "sentences"),
    [
        (
            Ledger(read={"a": 1200}, filtered={"x": 100}, returned=1000, written=1000),
            same(),
            [f"it read 1,200 rows, returned 1,000 and filtered 100: 100 lost {REMEDY}"],
        ),
        (
            Ledger(read={"a": 10, "b": 5}, returned=16, written=16),
            same(),
            [f"it read 15 rows, returned 16 and filtered 0: 1 gained {REMEDY}"],
        ),
        (
            Ledger(read={"a": 10, "dim": 99}, returned=12, written=12),
            lookup("dim"),
            [f"it read 10 rows, returned 12 and filtered 0: 2 gained {REMEDY}"],
        ),
        (
            Ledger(read={"a": 10}, returned=29, written=29),
            times(3),
            [f"it read 10 rows, 3 for each are 30, returned 29 and filtered 0: 1 lost {REMEDY}"],
        ),
        (
            Ledger(read={"a": 10}, returned=2, written=2, totals=(AGREES, DIFFERS)),
            groups("day", total="amount"),
            ["the control total amount went in as 100.00 and came out as 99.50"],
        ),
        (
            Ledger(read={"a": 5000}, returned=5000, written=4000, rejected=900, deduplicated=99),
            same(),
            [
                "the function returned 5,000 rows, but 4,000 written + 900 rejected + 99 deduplicated are 4,999",
            ],
        ),
        (
            Ledger(read={"a": 3}, returned=2, written=1),
            same(),
            [
                "the function returned 2 rows, but 1 written + 0 rejected + 0 deduplicated are 1",
                f"it read 3 rows, returned 2 and filtered 0: 1 lost {REMEDY}",
            ],
        ),
        (
            Ledger(read={"a": 3}, returned=9, written=8),
            free("why not"),
            ["the function returned 9 rows, but 8 written + 0 rejected + 0 deduplicated are 8"],
        ),
    ],
)
def test_each_equation_that_does_not_hold_is_a_sentence(ledger: Ledger, grain: Grain, sentences: list[str]) -> None:
    assert ledger.imbalances(grain) == sentences


def test_only_a_free_grain_leaves_rows_unaccounted() -> None:
    ledger = Ledger(read={"a": 10, "b": 10}, filtered={"x": 3}, returned=5, written=5)
    assert ledger.unaccounted(free("why not")) == 12
    assert ledger.unaccounted(same()) == 0
