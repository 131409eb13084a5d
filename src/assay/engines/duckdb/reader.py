"""Reading a warehouse with SQL: one view a table over its recorded files, all of one published state."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping
from pathlib import Path

import duckdb

from assay.engines.duckdb import quoting
from assay.engines.duckdb.session import quarantine_query, scan_query
from assay.model.data import REJECTS, Version, is_table
from assay.model.published import Opened, Rows
from assay.model.schema import Schema

META = "meta"


def open_reader(opened: Opened, control: Mapping[str, Rows]) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection in which `layer.entity` is a view of each table, and `meta` holds the control state.

    All views show one published state, however long the connection stays open. Columns that assay keeps for itself
    are left out. The state is closed when the connection is no more.
    """
    connection, root = connected(), opened.root
    weakref.finalize(connection, opened.close)
    for name, version in opened.state.versions.items():
        if is_table(name):
            layer, _, entity = name.partition(".")
            shown = Schema(tuple(column for column in version.schema if not column.is_system))
            connection.execute(f"create schema if not exists {quoting.name(layer)}")
            view = f"create view {quoting.name(layer)}.{quoting.name(entity)} as"
            try:
                connection.execute(
                    f"{view} {scan_query([str(Path(root, file.path)) for file in version.files], shown)}"
                )
            except duckdb.Error as error:
                # One damaged table must not hide the others: who reads it is told.
                connection.execute(f"{view} {_refusing(shown, _damage(name, version, root, error))}")
    connection.execute(f"create schema if not exists {META}")
    for table, rows in control.items():
        _fill(connection, table, rows)
    connection.execute(f"create view {META}.quarantine as {_quarantine(opened, control['quarantine_file'])}")
    return connection


def _damage(name: str, version: Version, root: str, error: duckdb.Error) -> str:
    """Return why a table cannot be read: the first of its files that is gone, or else what the engine says of one."""
    gone = (file.path for file in version.files if not Path(root, file.path).exists())
    path = next(gone, None)
    # The engine's other lines show the view, which nobody has written.
    why = f"its file {path} is gone" if path is not None else str(error).partition("\n")[0].rstrip(".")
    return f"{name} cannot be read: {why}. `assay verify` tells of each file that is gone or damaged."


def _quarantine(opened: Opened, files: Rows) -> str:
    """Return a SELECT of all that was ever rejected, and whether it is in the state that is read."""
    root = opened.root
    place = files.columns.index("path")
    log = quarantine_query([str(Path(root, row[place])) for row in files.rows])
    standing = quarantine_query(
        [
            str(Path(root, f.path))
            for name, v in opened.state.versions.items()
            if name.startswith(REJECTS)
            for f in v.files
        ]
    )
    return (
        f"with standing as ({standing}), log as ({log}), gone as (from log except all from standing), "
        f"replayed as (select pipeline, node, source_file, line::bigint as line, max(run)::bigint as run "
        f"from {META}.replay group by all) "
        "select *, true as stands, null::bigint as replayed_by from standing union all "
        "select gone.*, false, replayed.run from gone "
        f"left join {META}.run on run.id = gone.run "
        "left join replayed using (pipeline, node, source_file, line)"
    )


def connected() -> duckdb.DuckDBPyConnection:
    """Return a connection to a DuckDB of its own, for reading stored files."""
    connection = duckdb.connect(
        config={
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )
    connection.execute("set timezone = 'UTC'")
    connection.execute("set parquet_metadata_cache = true")
    return connection


def _refusing(schema: Schema, why: str) -> str:
    """Return a SELECT of a table's columns that fails when it is read."""
    return "select " + ", ".join(
        f"cast(error({quoting.text(why)}) as {column.type}) as {quoting.name(column.name)}" for column in schema
    )


def _fill(connection: duckdb.DuckDBPyConnection, table: str, found: Rows) -> None:
    """Make a table of control rows; numbers stay numbers, all else is text."""
    values = {name: [row[n] for row in found.rows] for n, name in enumerate(found.columns)}
    kinds = {
        name: ["bigint" if found.rows and all(isinstance(each, int | None) for each in column) else "varchar"]
        for name, column in values.items()
    }
    shown = ", ".join(f"unnest(found.{quoting.name(name)}) as {quoting.name(name)}" for name in found.columns)
    # One statement, and a list a column, however long the history: a row at a time would take seconds.
    connection.execute(
        f"create table {META}.{quoting.name(table)} as "
        f"select {shown} from (select from_json(?::json, {quoting.text(json.dumps(kinds))}) as found)",
        [json.dumps(values)],
    )
