"""The SELECT that reads a delimited file, and the one that reads back the lines that did not fit."""

from __future__ import annotations

from collections.abc import Sequence

from assay.engines.duckdb import quoting
from assay.model.ports import Rejects
from assay.model.source import EXTRACTED_ON, POSITION, SLICE_BIT, SOURCE_FILE, Csv, Slice

REJECT_ERRORS = "assay_reject_errors"
REJECT_SCANS = "assay_reject_scans"


def read_query(source: Csv, header: Sequence[str], part: Slice) -> str:
    """Return a SELECT of the declared columns and of where each row came from.

    Row numbers count the rows that fit, in the file's order; the engine preserves it. `header` holds the file's own
    column names, in its order; those that are not declared are read as text and left out.
    """
    columns = {f"c{n}": quoting.text(source.columns.get(name, "VARCHAR")) for n, name in enumerate(header)}
    place = {name: f"c{n}" for n, name in enumerate(header)}
    options = [
        f"columns = {quoting.struct(columns)}",
        "auto_detect = false",
        "header = true",
        f"delim = {quoting.text(source.delimiter)}",
        f"quote = {quoting.text(source.quote)}",
        f"escape = {quoting.text(source.quote)}",
        f"nullstr = {quoting.array(source.nulls)}",
        f"encoding = {quoting.text(source.encoding)}",
        "store_rejects = true",
        f"rejects_table = {quoting.text(REJECT_ERRORS)}",
        f"rejects_scan = {quoting.text(REJECT_SCANS)}",
        "rejects_limit = 0",
    ]
    declared = ", ".join(f"{place[name]} as {quoting.name(name)}" for name in source.columns)
    return (
        f"select {declared}, {part.number << SLICE_BIT}::bigint + row_number() over () as {POSITION}, "
        f"{quoting.text(part.name)} as {SOURCE_FILE}, date {quoting.text(part.extracted_on)} as {EXTRACTED_ON} "
        f"from read_csv({quoting.text(part.identity.path)}, {', '.join(options)})"
    )


def unfit_query(part: Slice, rejects: Rejects) -> str:
    """Return one row of the quarantine for each line that did not fit, with all of its reasons."""
    return (
        f"select {rejects.run}::bigint as run, {quoting.text(rejects.node)} as node, null::bigint as position, "
        f"{quoting.text(part.name)} as source_file, line::bigint as line, any_value(csv_line) as raw, "
        "'utf-8' as raw_encoding, null::varchar as row, "
        "to_json(list(error_message order by column_idx))::varchar as reasons "
        f"from {REJECT_ERRORS} group by line"
    )
