"""Any frame is judged by checks: what breaks them is counted, and the sound rows are a score."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import duckdb
import narwhals as nw
import polars as pl
import pyarrow as pa
import pytest

from assay import (
    DeclarationError,
    accepted,
    assess,
    between,
    complete,
    fails_when,
    fresh_within,
    has_type,
    lengths,
    matches,
    not_null,
    references,
    row_count,
    unique,
)

TABLE = pa.table(
    {
        "id": pa.array([1, 2, 2, None], pa.int64()),
        "code": pa.array(["A1", "b2", "C33", None]),
        "amount": pa.array([Decimal("1.00"), Decimal("-2.00"), None, Decimal("3.00")], pa.decimal128(8, 2)),
        "day": pa.array([dt.date(2025, 1, day) for day in (1, 2, 3, 4)], pa.date32()),
    }
)
KINDS: dict[str, Callable[[pa.Table], Any]] = {
    "arrow": lambda table: table,
    "polars": pl.from_arrow,
    "polars lazy": lambda table: pl.DataFrame(table).lazy(),
    "duckdb": duckdb.from_arrow,
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.row("003-09")
@every_kind
@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (not_null("id"), 1),
        (not_null("day"), 0),
        (complete("id", 0.75), 0),
        (complete("id", 0.8), 1),
        (complete("day"), 0),
        (unique("id"), 1),
        (unique("id", "code"), 0),
        (has_type("id", "BIGINT"), 0),
        (has_type("id", "INTEGER"), 1),
        (has_type("amount", "DECIMAL(12,2)"), 0),
        (has_type("code", "DATE"), 1),
        (between("amount", 0, 2), 2),
        (accepted("code", ["A1", "b2"]), 1),
        (matches("code", r"^[A-Z]\d+$"), 1),
        (lengths("code", 1, 2), 1),
        (lengths("code", 3, 9), 2),
        (row_count(min=5), 1),
        (row_count(min=4, max=4), 0),
        (fresh_within("day", days=1), 0),
        (fresh_within("day", days=0), 1),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_each_check_counts_what_breaks_it(kind: str, check: Any, broken: int) -> None:
    found = assess(KINDS[kind](TABLE), [check], as_of=dt.date(2025, 1, 5))
    assert [(v.check, v.broken) for v in found.verdicts] == [(check.name, broken)]
    assert found.ok is (broken == 0)


@pytest.mark.row("003-08", "003-09")
@every_kind
def test_the_report_has_the_checks_in_their_order_and_the_share_of_sound_rows(kind: str) -> None:
    found = assess(KINDS[kind](TABLE), [unique("id"), not_null("id"), between("amount", 0, 9)])
    assert found.to_json() == {
        "rows": 4,
        "sound": 2,
        "score": 0.5,
        "checks": [
            {"check": "unique(id)", "action": "block", "broken": 1},
            {"check": "not_null(id)", "action": "block", "broken": 1},
            {"check": "between(amount, 0, 9)", "action": "warn", "broken": 1},
        ],
    }


def test_two_checks_of_one_name_are_told_apart() -> None:
    checks = [fails_when("odd", nw.col("id") == 1), unique("id"), fails_when("odd", nw.col("id") > 0)]
    found = assess(TABLE, checks)
    assert [(v.check, v.broken) for v in found.verdicts] == [("odd", 1), ("unique(id)", 1), ("odd", 3)]
    assert found.sound == 1


@every_kind
def test_an_empty_frame_is_sound(kind: str) -> None:
    found = assess(KINDS[kind](TABLE.slice(0, 0)), [not_null("id"), complete("id"), has_type("id", "BIGINT")])
    assert (found.rows, found.score, found.ok) == (0, 1.0, True)


def test_checks_that_need_another_table_are_refused() -> None:
    with pytest.raises(DeclarationError, match="looks at another table; a frame has none beside it"):
        assess(TABLE, [references("id", "silver_customer.id")])


def test_a_type_that_frames_do_not_tell_is_refused() -> None:
    with pytest.raises(DeclarationError, match="the types are BOOLEAN, INTEGER"):
        has_type("id", "UUID")
