"""Statistics are read from what DuckDB says of the files it writes."""

from __future__ import annotations

from pathlib import Path

import duckdb

from assay.engines.duckdb.stats import column_stats
from assay.model.data import ColumnStats


def stats_of(folder: Path, query: str, row_group_size: int = 122880) -> dict[str, ColumnStats]:
    with duckdb.connect() as connection:
        options = f"format parquet, row_group_size {row_group_size}, return_stats"
        copied = connection.execute(f"copy ({query}) to '{folder / 'a.parquet'}' ({options})").fetchone()
    assert copied
    return column_stats(copied[4])


def bounds(stats: ColumnStats) -> tuple[str | None, str | None]:
    return stats.lower, stats.upper


def test_columns_are_found_whatever_they_are_called(tmp_path: Path) -> None:
    found = stats_of(tmp_path, """select 1 as plain, 'x' as "Avg CTAT", 2 as "we ""ird", 3 as "a.b", 4 as "1st" """)
    assert {name: bounds(stats) for name, stats in found.items()} == {
        "plain": ("1", "1"),
        "Avg CTAT": ("x", "x"),
        'we "ird': ("2", "2"),
        "a.b": ("3", "3"),
        "1st": ("4", "4"),
    }


def test_fields_inside_a_column_are_left_out(tmp_path: Path) -> None:
    found = stats_of(tmp_path, "select 1 as plain, {'f': 1, 'g h': 2} as inside, [1, 2] as many")
    assert {name: bounds(stats) for name, stats in found.items()} == {
        "plain": ("1", "1"),
        "inside": (None, None),
        "many": (None, None),
    }
    assert column_stats({"a.b": {"null_count": "0", "num_values": "1"}}) == {}


def test_nulls_are_counted_among_the_values(tmp_path: Path) -> None:
    found = stats_of(tmp_path, "select case when i > 1 then i end as a, null::varchar as b from range(5) t(i)")
    assert (bounds(found["a"]), found["a"].nulls, found["a"].values) == (("2", "4"), 2, 5)
    assert (bounds(found["b"]), found["b"].nulls, found["b"].values) == ((None, None), 5, 5)
    assert found["a"].bytes > 0


def test_a_cut_bound_is_not_a_bound(tmp_path: Path) -> None:
    found = stats_of(tmp_path, "select unnest(['a', repeat('z', 300)]) as a, unnest([repeat('a', 300), 'b']) as b")
    assert bounds(found["a"]) == ("a", None)
    assert bounds(found["b"]) == (None, "b")


def test_a_column_with_nan_has_no_bounds(tmp_path: Path) -> None:
    found = stats_of(tmp_path, "select unnest([1.0, 'nan'::double]) as a, unnest([1.0, 'inf'::double]) as b")
    assert bounds(found["a"]) == (None, None)
    assert bounds(found["b"]) == ("1.0", "inf")


def test_bounds_are_over_all_row_groups(tmp_path: Path) -> None:
    found = stats_of(tmp_path, "select i - 5000 as a, i::varchar as b from range(10000) t(i)", row_group_size=2048)
    assert bounds(found["a"]) == ("-5000", "4999")
    assert bounds(found["b"]) == ("0", "9999")


def test_a_bound_that_is_not_called_exact_and_a_column_without_counts_are_left_out() -> None:
    raw = {
        "a": {"min": "1", "max": "2", "max_is_exact": "true", "null_count": "0", "num_values": "2"},
        "b": {"min": "1"},
    }
    assert column_stats(raw) == {"a": ColumnStats(None, "2", 0, 2, 0)}
