"""Text that stands for values of other types."""

from __future__ import annotations

from typing import Literal

import narwhals as nw
from narwhals import Expr, col, lit, when

Kind = Literal["BIGINT", "DOUBLE", "BOOLEAN", "DATE"]
_LEAP = r"(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29"
_DATE = rf"\d{{4}}-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)|{_LEAP}"
_PATTERNS = {
    "BIGINT": r"[+-]?\d{1,18}",
    "DOUBLE": r"[+-]?(\d{1,17}(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?",
    "DATE": _DATE,
}
_YES, _NO = ("true", "yes", "y", "1", "t"), ("false", "no", "n", "0", "f")


def parsed(column: str, kind: Kind) -> Expr:
    """Return the values that a text column stands for; null where a text, without blanks around it, is none.

    BOOLEAN knows true, yes, y, t, 1 and false, no, n, f, 0; DATE is written as 2025-01-31.
    """
    text = col(column).str.strip_chars()
    if kind == "BOOLEAN":
        word = text.str.to_lowercase()
        truth = when(word.is_in(_YES)).then(lit(value=True))
        return truth.otherwise(when(word.is_in(_NO)).then(lit(value=False))).alias(column)
    fits = text.str.contains(f"^({_PATTERNS[kind]})$")
    if kind == "DATE":
        return when(fits).then(text).str.to_date(format="%Y-%m-%d").alias(column)
    # Not every engine takes a plus sign.
    number = when(fits).then(text.str.replace_all(r"^\+", ""))
    return number.cast(nw.Int64() if kind == "BIGINT" else nw.Float64()).alias(column)
