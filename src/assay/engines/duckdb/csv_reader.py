"""The SELECTs that read a delimited file as text and give every value its declared type, without losing a digit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assay.engines.duckdb import quoting
from assay.model.source import EXTRACTED_ON, LINE, POSITION, REASONS, SLICE_BIT, SOURCE_FILE, Csv, Slice

REJECT_ERRORS = "assay_reject_errors"
REJECT_SCANS = "assay_reject_scans"

_LINE_ENDS = {"\n": r"\n", "\r\n": r"\r\n"}
"""As DuckDB wants them spelled."""
_SHOWN = 80
"""Of a value that does not fit, so many characters are shown in its reason."""


def plain_query(source: Csv, header: Sequence[str], part: Slice, newline: str) -> str:
    """Return a SELECT of a file that the engine can read as it is; rows that do not fit their types have no position.

    `header` holds the file's own column names, in its order. Row numbers follow the file: the engine keeps its order.
    """
    place = _places(header)
    read = _read_csv(source, part.identity.path, _texts(header), newline, header=True)
    unfit = " or ".join(_misfit(place[name], kind) for name, kind in source.columns.items())
    number = f"case when {unfit} then null else {part.number << SLICE_BIT}::bigint + n end"
    return (
        f"select {_typed(source, place)}, {number} as {POSITION}, {_delivery(part)} "
        f"from (select row_number() over () as n, * from {read})"
    )


def mended_query(source: Csv, header: Sequence[str], part: Slice, path: str) -> str:
    """Return a SELECT of a file whose lines begin with record and line number, with the reasons of rows that misfit."""
    place = _places(header)
    columns = {"n": "BIGINT", LINE: "BIGINT"} | _texts(header)
    read = _read_csv(source, path, columns, "\n", header=False)
    reasons = ", ".join(
        f"case when {_misfit(place[name], kind)} then {_reason(name, place[name], kind)} end"
        for name, kind in source.columns.items()
    )
    return (
        f"select {_typed(source, place)}, {part.number << SLICE_BIT}::bigint + n as {POSITION}, {_delivery(part)}, "
        f"{LINE}, nullif(to_json(list_filter([{reasons}], lambda x: x is not null))::varchar, '[]') as {REASONS} "
        f"from {read}"
    )


def _places(header: Sequence[str]) -> dict[str, str]:
    return {name: f"c{n}" for n, name in enumerate(header)}


def _texts(header: Sequence[str]) -> dict[str, str]:
    return {f"c{n}": "VARCHAR" for n in range(len(header))}


def _read_csv(source: Csv, path: str, columns: dict[str, str], newline: str, *, header: bool) -> str:
    kinds = quoting.struct({name: quoting.text(kind) for name, kind in columns.items()})
    nulls = source.nulls or ("",)
    options = [
        f"columns = {kinds}",
        "auto_detect = false",
        f"header = {str(header).lower()}",
        f"delim = {quoting.text(source.delimiter)}",
        f"quote = {quoting.text(source.quote)}",
        f"escape = {quoting.text(source.quote)}",
        # By another line end than the file's, DuckDB finds no row at all, and says nothing.
        f"new_line = {quoting.text(_LINE_ENDS[newline])}",
        f"nullstr = {quoting.array(nulls)}",
        "store_rejects = true",
        f"rejects_table = {quoting.text(REJECT_ERRORS)}",
        f"rejects_scan = {quoting.text(REJECT_SCANS)}",
        "rejects_limit = 0",
    ]
    return f"read_csv({quoting.text(path)}, {', '.join(options)})"


def _typed(source: Csv, place: dict[str, str]) -> str:
    return ", ".join(
        f"{place[name] if kind == 'VARCHAR' else f'try_cast({place[name]} as {kind})'} as {quoting.name(name)}"
        for name, kind in source.columns.items()
    )


def _delivery(part: Slice) -> str:
    return f"{quoting.text(part.name)} as {SOURCE_FILE}, date {quoting.text(part.extracted_on)} as {EXTRACTED_ON}"


def _misfit(column: str, kind: str) -> str:
    """Return a condition that is true for a text that is not exactly a value of the type.

    The engine's own casts round 1.5 to a whole number, cut digits behind the point, drop the time from a date, and
    read "infinity" as one; each of these would change data without a trace.
    """
    cast = f"try_cast({column} as {kind})"
    match kind:
        case "VARCHAR":
            return "false"
        case "INTEGER" | "BIGINT":
            wrong = f"{cast} is null or not regexp_full_match({column}, '\\s*[+-]?[0-9]+([.]0*)?\\s*')"
        case "DATE":
            wrong = (
                f"{cast} is null or not isfinite({cast}) "
                f"or try_cast({column} as timestamp) is distinct from {cast}::timestamp"
            )
        case "TIMESTAMP" | "TIMESTAMPTZ":
            wrong = f"{cast} is null or not isfinite({cast})"
        case _ if scale := re.fullmatch(r"DECIMAL\(\d+,(\d+)\)", kind):
            digits = f"([0-9]+([.][0-9]{{0,{scale[1]}}}0*)?|[.][0-9]{{1,{max(int(scale[1]), 1)}}}0*)"
            wrong = f"{cast} is null or not regexp_full_match({column}, '\\s*[+-]?{digits}\\s*')"
        case _:
            wrong = f"{cast} is null"
    return f"({column} is not null and coalesce({wrong}, true))"


def _reason(name: str, column: str, kind: str) -> str:
    return f"{quoting.text(f'{name}: ')} || left({column}, {_SHOWN}) || {quoting.text(f' is no {kind}')}"
