"""Each check finds exactly what breaks it, null breaks nothing, and its name says what it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from narwhals import col

from assay import (
    DeclarationError,
    accepted,
    between,
    complete,
    fails_when,
    flagged,
    fresh_within,
    has_type,
    not_null,
    reconciles,
    references,
    row_count,
    unique,
)
from assay.model.check import Check, OwnCheck, Reconciles, References, RowCheck, Verdict
from assay.quality.checks import (
    BROKEN,
    agree,
    any_broken,
    broken,
    columns_of,
    count_orphans,
    count_own,
    size_of,
    total_of,
)
from tests.transform.frames import Frame, frame, rows_of

TYPES = {"n": pa.int64(), "id": pa.int64(), "name": pa.string(), "amount": pa.decimal128(12, 2), "day": pa.date32()}
AS_OF = dt.date(2024, 12, 1)


def table(**columns: Sequence[Any]) -> Frame:
    """A DuckDB frame of the given columns; n counts its rows, and the other columns are null."""
    length = max((len(values) for values in columns.values()), default=0)
    return frame(
        "duckdb", [{"n": n} | {name: values[n] for name, values in columns.items()} for n in range(length)], TYPES
    )


def broken_rows(given: Frame, check: RowCheck) -> list[int]:
    return sorted(row["n"] for row in rows_of(given.filter(broken(check))))


def count(given: Frame, check: OwnCheck) -> int:
    ((number,),) = (row.values() for row in rows_of(count_own(given, check, AS_OF)))
    return int(number)


@pytest.mark.parametrize(
    ("check", "values", "expected"),
    [
        (not_null("id"), {"id": [1, None, 3]}, [1]),
        (not_null("id"), {"id": [1, 2, 3]}, []),
        (not_null("id", "name"), {"id": [1, None, 3, None], "name": ["a", "b", None, None]}, [1, 2, 3]),
        (between("id", 1, 3), {"id": [0, 1, 2, 3, 4, None]}, [0, 4]),
        (between("id", 0, 4), {"id": [0, 1, 2, 3, 4, None]}, []),
        (between("amount", 0, 10.5), {"amount": [Decimal("-0.01"), Decimal("10.50"), Decimal("10.51")]}, [0, 2]),
        (between("day", dt.date(2024, 1, 1), AS_OF), {"day": [dt.date(2023, 12, 31), AS_OF, None]}, [0]),
        (accepted("name", ["a", "it's"]), {"name": ["a", "it's", "A", "", None]}, [2, 3]),
        (accepted("name", ["a", "b"]), {"name": ["a", "b", None]}, []),
        (accepted("id", (1, 2)), {"id": [1, 2, 3]}, [2]),
        (accepted("id", [1, None]), {"id": [1, 2, None]}, [1]),
        (fails_when("paid for nothing", (col("id") > 1) & (col("amount") > 0)), {"id": [1, 2, None]}, []),
        (fails_when("large", col("id") > 1), {"id": [1, 2, None]}, [1]),
        (fails_when("large", col("id") > 1), {"id": [None, None]}, []),
    ],
)
def test_the_rows_that_break_a_check_are_found(
    check: RowCheck, values: dict[str, list[Any]], expected: list[int]
) -> None:
    assert broken_rows(table(**values), check) == expected


def test_the_rows_that_break_any_of_several_checks_are_found() -> None:
    given = table(id=[None, 2, 3, None], name=["a", "b", "x", None])
    checks = [not_null("id"), accepted("name", ["a", "b"])]
    assert sorted(row["n"] for row in rows_of(given.filter(any_broken(checks)))) == [0, 2, 3]
    assert sorted(row["n"] for row in rows_of(given.filter(any_broken(checks[1:])))) == [2]


def test_no_checks_break_nothing() -> None:
    counted = table(id=[1, 2]).with_columns(hit=any_broken([]))
    assert [row["hit"] for row in rows_of(counted)] == [False, False]


@pytest.mark.parametrize(
    ("check", "values", "expected"),
    [
        (unique("id"), {"id": [1, 2, 3]}, 0),
        (unique("id"), {"id": [1, 1, 1, 2, 2]}, 3),
        (unique("id"), {"id": [1, None, None]}, 0),
        (unique("id", "name"), {"id": [1, 1, 1], "name": ["a", "b", "a"]}, 1),
        (unique("id", "name"), {"id": [1, 1], "name": [None, None]}, 0),
        (unique("id"), {}, 0),
        (row_count(min=2), {"id": [1, 2]}, 0),
        (row_count(min=3), {"id": [1, 2]}, 1),
        (row_count(max=2), {"id": [1, 2]}, 0),
        (row_count(max=1), {"id": [1, 2]}, 1),
        (row_count(min=1, max=3), {"id": [1, 2]}, 0),
        (row_count(min=1), {}, 1),
        (row_count(max=0), {}, 0),
        (fresh_within("day", days=2), {"day": [dt.date(2024, 11, 29), dt.date(2020, 1, 1)]}, 0),
        (fresh_within("day", days=2), {"day": [dt.date(2024, 11, 28)]}, 1),
        (fresh_within("day", days=2), {"day": [None, dt.date(2024, 12, 2)]}, 0),
        (fresh_within("day", days=2), {"day": [None]}, 1),
        (fresh_within("day", days=2), {}, 1),
    ],
)
def test_how_often_a_table_breaks_its_own_check_is_counted(
    check: OwnCheck, values: dict[str, list[Any]], expected: int
) -> None:
    assert count(table(**values), check) == expected


@pytest.mark.parametrize(
    ("here", "there", "orphans"),
    [
        ([1, 2, 2], [1, 2, 3], 0),
        ([1, 4, 4, 5], [1, 2, 3], 3),
        ([None, None, 1], [1], 0),
        ([1, None], [None], 1),
        ([1], [1, 1, 1], 0),
        ([], [1], 0),
        ([1], [], 1),
    ],
)
def test_rows_that_refer_to_nothing_are_counted(here: list[int | None], there: list[int | None], orphans: int) -> None:
    check = references("id", "silver_other.n")
    other = table(id=there).select(n="id")
    assert rows_of(count_orphans(table(id=here), check, other)) == [{BROKEN: orphans}]


@pytest.mark.parametrize(
    ("column", "by_count", "total"),
    [("amount", False, Decimal("3.75")), ("amount", True, 2), (None, False, 3), (None, True, 3)],
)
def test_a_total_is_a_sum_a_number_of_values_or_a_number_of_rows(
    column: str | None, by_count: bool, total: Any
) -> None:
    given = table(amount=[Decimal("1.50"), None, Decimal("2.25")])
    assert rows_of(total_of(given, column, count=by_count)) == [{"total": total}]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (3, 3, True),
        (3, 4, False),
        (Decimal("1.10"), Decimal("1.1"), True),
        (Decimal("0.01"), Decimal("0.02"), False),
        (10**17 + 1, 10**17, False),
        (0.1 + 0.2, 0.3, True),
        (0.3, Decimal("0.3"), True),
        (1e12, 1e12 + 100, True),
        (1e12, 1e12 + 10_000, False),
        (0.0, 1e-8, False),
        (1e-10, 5e-10, False),
        (1e-10, 1e-10 + 1e-25, True),
        (float("nan"), 1.0, False),
        (float("nan"), float("nan"), True),
        (float("inf"), float("inf"), True),
        (float("inf"), float("-inf"), False),
        (float("inf"), 1.0, False),
        (float("inf"), Decimal("1.0"), False),
    ],
)
def test_totals_agree_to_the_last_digit_and_floats_to_nine(one: Any, other: Any, equal: bool) -> None:
    assert agree(one, other, lambda: 0.0) is equal
    assert agree(other, one, lambda: 0.0) is equal


def test_totals_that_cancel_out_agree_within_what_was_summed() -> None:
    amounts = [1e7, 0.1, -1e7]
    assert sum(amounts) == 0.09999999962747097
    given = table(amount=[Decimal("10000000"), Decimal("0.1"), Decimal("-10000000"), None])
    assert rows_of(size_of(given, "amount")) == [{"size": 20000000.1}]
    assert agree(sum(amounts), Decimal("0.1"), lambda: 20000000.1)
    assert not agree(sum(amounts), Decimal("0.2"), lambda: 20000000.1)
    assert not agree(sum(amounts), Decimal("0.1"), lambda: 0.0)


@pytest.mark.parametrize(
    ("check", "name", "action", "columns"),
    [
        (not_null("id"), "not_null(id)", "block", ("id",)),
        (not_null("id", "name", action="reject"), "not_null(id, name)", "reject", ("id", "name")),
        (between("amount", 0, 1_000_000), "between(amount, 0, 1000000)", "warn", ("amount",)),
        (accepted("name", ["a", "b"], action="reject"), "accepted(name: a, b)", "reject", ("name",)),
        (fails_when("my own", col("id") > 1), "my own", "warn", ()),
        (unique("id", "name"), "unique(id, name)", "block", ("id", "name")),
        (row_count(min=1), "row_count(min=1)", "warn", ()),
        (row_count(min=1, max=9, action="block"), "row_count(min=1, max=9)", "block", ()),
        (fresh_within("day", days=2), "fresh_within(day, 2 days)", "warn", ("day",)),
        (references("id", "silver_other.id"), "references(id, silver_other.id)", "block", ("id",)),
        (reconciles("amount", "silver_other.paid"), "reconciles(amount, silver_other.paid)", "block", ("amount",)),
        (reconciles("orders", "silver_other"), "reconciles(orders, silver_other)", "block", ("orders",)),
    ],
)
def test_a_check_is_named_after_what_it_says(check: Check, name: str, action: str, columns: tuple[str, ...]) -> None:
    assert (check.name, check.action, columns_of(check)) == (name, action, columns)


def test_a_sum_and_a_count_of_one_column_have_names_of_their_own() -> None:
    assert reconciles("n", "silver_other.paid").name != reconciles("n", "silver_other.paid", count=True).name


@pytest.mark.parametrize(
    ("check", "other", "other_column"),
    [
        (references("id", "silver_other.n"), "silver_other", "n"),
        (reconciles("id", "silver_other.n"), "silver_other", "n"),
        (reconciles("id", "silver_other"), "silver_other", None),
    ],
)
def test_the_other_side_of_a_check_is_a_table_and_a_column(
    check: References | Reconciles, other: str, other_column: str | None
) -> None:
    assert (check.other, check.other_column) == (other, other_column)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (not_null, "not_null() names at least one column."),
        (unique, "unique() names at least one column."),
        (row_count, "row_count() needs min=, max= or both."),
        (
            lambda: references("id", "silver_other"),
            "references('id', 'silver_other'): name the column too, as in 'silver_other.id'.",
        ),
        (
            lambda: references("id", "silver_other."),
            "references(..., 'silver_other.'): write the other side as 'silver_customer.customer_id'.",
        ),
        (
            lambda: reconciles("id", ".amount"),
            "reconciles(..., '.amount'): write the other side as 'silver_customer.customer_id'.",
        ),
    ],
)
def test_a_check_that_says_too_little_is_refused(declare: Callable[[], Check], message: str) -> None:
    with pytest.raises(DeclarationError) as error:
        declare()
    assert str(error.value) == message


ROW, TABLE = "'warn', 'reject' or 'block'", "'warn' or 'block'"
NO_ROW = "not 'reject'; it looks at a table as a whole, of which no row can be told to go."


@pytest.mark.parametrize(
    ("declare", "action", "message"),
    [
        (partial(not_null, "id"), "rejct", f"not_null(id): action= is {ROW}, not 'rejct'. Did you mean 'reject'?"),
        (partial(not_null, "id"), "fail", f"not_null(id): action= is {ROW}, not 'fail'."),
        (partial(not_null, "id"), None, f"not_null(id): action= is {ROW}, not None."),
        (partial(flagged, "odd", "odd"), "REJECT", f"odd: action= is {ROW}, not 'REJECT'. Did you mean 'reject'?"),
        (partial(fails_when, "large", col("id") > 1), "drop", f"large: action= is {ROW}, not 'drop'."),
        (
            partial(between, "id", 1, 2),
            "warning",
            f"between(id, 1, 2): action= is {ROW}, not 'warning'. Did you mean 'warn'?",
        ),
        (partial(unique, "id"), "blok", f"unique(id): action= is {TABLE}, not 'blok'. Did you mean 'block'?"),
        (partial(unique, "id"), "reject", f"unique(id): action= is {TABLE}, {NO_ROW}"),
        (
            partial(row_count, min=100),
            "bloc",
            f"row_count(min=100): action= is {TABLE}, not 'bloc'. Did you mean 'block'?",
        ),
        (partial(row_count, min=100), "reject", f"row_count(min=100): action= is {TABLE}, {NO_ROW}"),
        (partial(fresh_within, "day", days=2), "reject", f"fresh_within(day, 2 days): action= is {TABLE}, {NO_ROW}"),
        (partial(complete, "id"), "reject", f"complete(id, 1): action= is {TABLE}, {NO_ROW}"),
        (partial(has_type, "id", "BIGINT"), "reject", f"has_type(id, BIGINT): action= is {TABLE}, {NO_ROW}"),
        (partial(references, "id", "o.id"), "reject", f"references(id, o.id): action= is {TABLE}, {NO_ROW}"),
        (partial(reconciles, "id", "o.id"), "reject", f"reconciles(id, o.id): action= is {TABLE}, {NO_ROW}"),
    ],
)
def test_an_action_that_a_check_has_not_is_refused(declare: Callable[..., Check], action: Any, message: str) -> None:
    # As "warn", or as nothing, it would let rows be published that somebody wanted to keep out.
    with pytest.raises(DeclarationError) as error:
        declare(action=action)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("broken_by", "action", "passed", "blocks"),
    [(0, "block", True, False), (3, "block", False, True), (3, "warn", False, False), (3, "reject", False, False)],
)
def test_only_a_broken_check_that_blocks_stops_the_publish(
    broken_by: int, action: Any, passed: bool, blocks: bool
) -> None:
    verdict = Verdict("unique(id)", action, broken_by)
    assert (verdict.passed, verdict.blocks) == (passed, blocks)
