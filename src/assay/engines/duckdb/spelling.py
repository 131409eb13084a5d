"""How DuckDB writes a value, whatever way somebody has written it."""

from __future__ import annotations

import re

import duckdb

_ROUNDED = (("DOUBLE", re.compile(r"\w*INT(EGER)?|DECIMAL\(\d+,\d+\)")), ("TIMESTAMP", re.compile("DATE")))
"""Types that texts are rounded to when they are cast, each behind one that tells whether that was done."""


def spelled(cursor: duckdb.DuckDBPyConnection, text: str, kind: str) -> str:
    """Return a text as a value of a SQL type is written: "10.5" as "10.50"; itself where it stands for none."""
    wider = next((wide for wide, rounded in _ROUNDED if rounded.fullmatch(kind)), kind)
    found = cursor.execute(
        f"select cast(value as varchar) from (select try_cast($1 as {kind}) as value) "
        f"where cast(value as {wider}) = try_cast($1 as {wider})",
        [text],
    ).fetchall()
    return str(found[0][0]) if found else text
