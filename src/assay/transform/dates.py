"""Dates: the one place that knows how engines count days and name months."""

from __future__ import annotations

from narwhals import Expr, Int64, col


def month_of(column: str) -> Expr:
    """Return the month of a DATE as text, "2024-11"."""
    return col(column).dt.to_string("%Y-%m")


def days_between(first: str, last: str) -> Expr:
    """Return the whole days from one DATE column to another, 0 for the same day, null where either is null."""
    return _day_number(last) - _day_number(first)


def _day_number(column: str) -> Expr:
    """Count days in the Gregorian calendar from its year, month and day, with the year beginning in March.

    The difference of two dates is an integer on one engine and an interval on another; this is the same on all.
    """
    # True division and floor, because `//` becomes a page of SQL in narwhals.
    month = col(column).dt.month() + 9
    year = col(column).dt.year() - 1 + (month / 12).floor()
    days_before_month = ((153 * (month - 12 * (month / 12).floor()) + 2) / 5).floor()
    leap_days = (year / 4).floor() - (year / 100).floor() + (year / 400).floor()
    return (365 * year + leap_days + days_before_month + col(column).dt.day()).cast(Int64())
