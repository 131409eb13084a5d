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


def reading(text: str, *, exports: bool = False) -> str:
    """Return the text of the one statement that is in it; raises UsageError where that does more than read.

    A file that may be read may be written too, by COPY: so it is the statement that is refused, unless `exports` are
    allowed; a transaction that reads alone then refuses the COPY that goes the other way.
    """
    explained = _EXPLAIN.match(text)
    statements = _statements(text[explained.end() :] if explained else text)
    if not statements:
        raise UsageError("The query is empty.")
    if len(statements) > 1:
        raise UsageError(f"These are {len(statements)} statements; write one.")
    kind = statements[0].type
    if kind == duckdb.StatementType.MULTI and _is_query(statements[0].query):
        return text
    if kind != _READS and not (exports and kind == duckdb.StatementType.COPY):
        words = "DESCRIBE, SUMMARIZE, EXPLAIN or COPY (...) TO" if exports else "DESCRIBE, SUMMARIZE or EXPLAIN"
        raise UsageError(
            f"{kind.name} is refused: a query here reads, by SELECT, FROM, WITH, VALUES, {words}. "
            "Tables are written by runs alone."
        )
    return text


def _statements(text: str) -> list[duckdb.Statement]:
    try:
        return duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise UsageError(str(error)) from None


def _is_query(text: str) -> bool:
    """Return whether a statement that becomes several, as with PIVOT, is a query: just that stands in another one."""
    try:
        return len(duckdb.extract_statements(f"from (\n{text}\n)")) == 1
    except duckdb.Error:
        return False
