"""Column statistics as DuckDB reports them of a Parquet file it has written."""

from __future__ import annotations

import re
from collections.abc import Mapping

from assay.model.data import ColumnStats

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_SIMPLE = re.compile(r"[^\".]+")


def column_stats(raw: Mapping[str, Mapping[str, str]]) -> dict[str, ColumnStats]:
    """Read the `column_statistics` of `COPY ... (return_stats)`, by column name.

    Bounds keep DuckDB's text: booleans are 0 and 1, blobs are hexadecimal, timestamps with time zone are in UTC.
    Fields inside a nested column are left out, and so is a column without counts.
    """
    found = {}
    for key, values in raw.items():
        name = _column_name(key)
        if name is None or not {"null_count", "num_values"} <= values.keys():
            continue
        found[name] = ColumnStats(
            lower=_bound(values, "min"),
            upper=_bound(values, "max"),
            nulls=int(values["null_count"]),
            values=int(values["num_values"]),
            bytes=int(values.get("column_size_bytes", 0)),
        )
    return found


def _column_name(key: str) -> str | None:
    if quoted := _QUOTED.fullmatch(key):
        return quoted[1].replace('""', '"')
    return key if _SIMPLE.fullmatch(key) else None


def _bound(values: Mapping[str, str], side: str) -> str | None:
    # DuckDB leaves NaN out of the bounds but sorts it above all numbers, so a file pruned by them could lose rows.
    if values.get("has_nan") == "true" or values.get(f"{side}_is_exact") != "true":
        return None
    return values.get(side)
