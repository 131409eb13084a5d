"""Reading a warehouse with SQL: one view a table over its recorded files, all of one published state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from assay.engines.duckdb import quoting
from assay.engines.duckdb.session import quarantine_query, scan_query
from assay.model.data import is_table
from assay.model.ports import State
from assay.model.schema import Schema

META = "meta"


def open_reader(
    root: str, state: State, control: Mapping[str, Sequence[Mapping[str, Any]]], quarantine: Sequence[str]
) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection in which `layer.entity` is a view of each table, and `meta` holds the control state.

    All views show one published state, however long the connection stays open. Columns that assay keeps for itself
    are left out.
    """
    connection = duckdb.connect(
        config={
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )
    for name, version in state.versions.items():
        if is_table(name):
            layer, _, entity = name.partition(".")
            shown = Schema(tuple(column for column in version.schema if not column.is_system))
            query = scan_query([str(Path(root, file.path)) for file in version.files], shown)
            connection.execute(f"create schema if not exists {quoting.name(layer)}")
            connection.execute(f"create view {quoting.name(layer)}.{quoting.name(entity)} as {query}")
    connection.execute(f"create schema if not exists {META}")
    for table, rows in control.items():
        _fill(connection, table, rows)
    query = quarantine_query([str(Path(root, path)) for path in quarantine])
    connection.execute(f"create view {META}.quarantine as {query}")
    return connection


def _fill(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Make a table of control rows; numbers stay numbers, all else is text."""
    names = list(rows[0]) if rows else ["none"]
    kinds = {
        name: "bigint" if all(isinstance(r[name], int | None) for r in rows) and rows else "varchar" for name in names
    }
    columns = ", ".join(f"{quoting.name(name)} {kind}" for name, kind in kinds.items())
    target = f"{META}.{quoting.name(table)}"
    connection.execute(f"create table {target} ({columns})")
    if rows:
        marks = ", ".join("?" for _ in names)
        connection.executemany(f"insert into {target} values ({marks})", [[r[n] for n in names] for r in rows])
