"""The past as people name it: runs by number, and times."""

from __future__ import annotations

import datetime as dt

import pytest

from assay.model.past import PastRun, read_at


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("12", 12),
        ("2024-12-01", dt.datetime(2024, 12, 1)),  # noqa: DTZ001
        ("2024-12-01T08:00+01:00", dt.datetime(2024, 12, 1, 8, tzinfo=dt.timezone(dt.timedelta(hours=1)))),
    ],
)
def test_a_state_is_named_by_a_run_or_a_time(text: str, state: int | dt.datetime) -> None:
    assert read_at(text) == state


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "\u0661\u0662", "9" * 19])
def test_what_names_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_at(text)


def test_a_run_took_what_lies_between_its_beginning_and_its_end() -> None:
    run = PastRun(
        1, "shop", "failed", "2024-12-01", "2024-12-01T08:00:00+00:00", "2024-12-01T08:01:30.5+00:00", None, 0
    )
    assert run.seconds == 90.5
