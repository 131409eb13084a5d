"""A reader for queries of people who are not to be trusted with a file or a write: SELECT over the tables, no more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import duckdb

from assay.engines.duckdb import quoting
from assay.engines.duckdb.reader import open_reader
from assay.model.errors import UsageError
from assay.model.published import Opened, Rows

_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+)?", re.IGNORECASE)
_READS = duckdb.StatementType.SELECT


def open_confined(opened: Opened, control: Mapping[str, Rows], memory_limit: str) -> duckdb.DuckDBPyConnection:
    """Return a reader that opens no file but those of the state, writes none, and reaches no network.

    Beyond the memory limit, such as "1GB", a query fails: it does not spill to disk. Nothing of this can be set anew.
    """
    connection = open_reader(opened, control)
    place = control["quarantine_file"].columns.index("path")
    stored = [file.path for version in opened.state.versions.values() for file in version.files]
    stored += [row[place] for row in control["quarantine_file"].rows]
    paths = {str(Path(opened.root, path)) for path in stored}
    # Asked for by a pattern, and then by the name that matches it.
    allowed = quoting.array(sorted(paths | {quoting.pattern(path) for path in paths}))
    for setting in (
        f"memory_limit = {quoting.text(memory_limit)}",
        "temp_directory = ''",
        f"allowed_paths = {allowed}",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")
    connection.execute("begin transaction read only")
    return connection


def reading(text: str) -> str:
    """Return the text of the one statement that is in it; raises UsageError where that does more than read.

    A file that may be read may be written too, by COPY: so it is the statement that is refused.
    """
    explained = _EXPLAIN.match(text)
    try:
        statements = duckdb.extract_statements(text[explained.end() :] if explained else text)
    except duckdb.Error as error:
        raise UsageError(str(error)) from None
    if not statements:
        raise UsageError("The query is empty.")
    if len(statements) > 1:
        raise UsageError(f"These are {len(statements)} statements; write one.")
    if statements[0].type != _READS:
        raise UsageError(
            f"{statements[0].type.name} is refused: a query here reads, by SELECT, FROM, WITH, VALUES, DESCRIBE, "
            "SUMMARIZE or EXPLAIN. Tables are written by runs alone."
        )
    return text
