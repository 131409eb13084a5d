"""What a table's columns hold: nulls, distinct values, bounds, means and the most frequent value of each."""

from __future__ import annotations

from typing import Any

from duckdb import DuckDBPyConnection

from assay.engines.duckdb import quoting

COLUMNS = ("column", "type", "rows", "nulls", "distinct", "lowest", "highest", "mean", "most_frequent")
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")


def profile(connection: DuckDBPyConnection, table: str) -> list[tuple[Any, ...]]:
    """Return one row of COLUMNS for each column of a table, whose name is given as SQL writes it; values as texts."""
    described = connection.execute(f"describe select * from {table}").fetchall()
    columns = [(str(name), str(kind)) for name, kind, *_ in described]
    wanted = ", ".join(_aggregates(table, name, kind) for name, kind in columns)
    found = connection.execute(f"select count(*), {wanted} from {table}").fetchone()
    assert found is not None, "an aggregate without groups gives one row"
    rows, *values = found
    return [(name, kind, rows, *values[n * 6 : n * 6 + 6]) for n, (name, kind) in enumerate(columns)]


def _aggregates(table: str, name: str, kind: str) -> str:
    column = quoting.name(name)
    mean = f"avg({column})" if kind.startswith(_NUMBERS) else "null"
    return (
        f"count(*) - count({column}), count(distinct {column}), "
        f"min({column})::varchar, max({column})::varchar, {mean}, "
        # Of several that are as frequent the smallest, so that it is the same every time.
        f"(select {column} from {table} where {column} is not null "
        "group by 1 order by count(*) desc, 1 limit 1)::varchar"
    )
