"""The SELECTs that read a delimited file as text and give every value its declared type, without losing a digit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assay.engines.duckdb import quoting
from assay.model.files import Csv
from assay.model.source import EXTRACTED_ON, LINE, POSITION, REASONS, SLICE_BIT, SOURCE_FILE, Slice

REJECT_ERRORS = "assay_reject_errors"
REJECT_SCANS = "assay_reject_scans"

_BAD_BYTES = "bad_bytes"
_LINE_ENDS = {"\n": r"\n", "\r\n": r"\r\n"}
"""As DuckDB wants them spelled."""
_FIRST_DAY, _LAST_DAY = "date '0001-01-01'", "date '9999-12-31'"
"""Those that lakes and Python can hold."""
_FRACTION = "([.][0-9]{0,6}0*)?"
_CUT = "[.][0-9]{6}0*[1-9]"
_OFFSET = ":.*[+-][0-9:]*[1-9]"
_WORD = ":[0-9.]+ *([A-TV-Ya-tv-y]|[Uu][A-SU-Za-su-z])"
"""Behind a time, but for Z and UTC."""
_SHOWN = 80
"""Of a value that does not fit, so many characters are shown in its reason."""


def plain_query(source: Csv, header: Sequence[str], part: Slice, newline: str) -> str:
    """Return a SELECT of a file that the engine can read as it is; rows that do not fit their types have no position.

    `header` holds the file's own column names, in its order. Row numbers follow the file: the engine keeps its order.
    """
    place = _places(header)
    read = _read_csv(source, part.identity.path, _texts(header), newline, header=True)
    unfit = " or ".join(misfit(place[name], kind) for name, kind in source.columns.items())
    number = f"case when {unfit} then null else {part.number << SLICE_BIT}::bigint + n end"
    return (
        f"select {_typed(source, place)}, {number} as {POSITION}, {_delivery(part)} "
        f"from (select row_number() over () as n, * from {read})"
    )


def mended_query(source: Csv, header: Sequence[str], part: Slice, path: str) -> str:
    """Return a SELECT of a file whose lines begin with record number, line number, and 1 where their bytes are bad.

    Rows that misfit have their reasons, as a JSON array; it may be empty where the bytes are bad.
    """
    place = _places(header)
    columns = {"n": "BIGINT", LINE: "BIGINT", _BAD_BYTES: "BIGINT"} | _texts(header)
    read = _read_csv(source, path, columns, "\n", header=False)
    reasons = ", ".join(
        f"case when {misfit(place[name], kind)} then {_reason(name, place[name], kind)} end"
        for name, kind in source.columns.items()
    )
    found = f"list_filter([{reasons}], lambda x: x is not null)"
    return (
        f"select {_typed(source, place)}, {part.number << SLICE_BIT}::bigint + n as {POSITION}, {_delivery(part)}, "
        f"{LINE}, case when {_BAD_BYTES} = 1 or len({found}) > 0 then to_json({found})::varchar end as {REASONS} "
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
        # By itself, DuckDB unpacks by more endings than assay does, and takes folders such as c0=1 for columns.
        f"compression = {quoting.text('gzip' if path.lower().endswith('.gz') else 'none')}",
        "hive_partitioning = false",
    ]
    return f"read_csv({quoting.path(path)}, {', '.join(options)})"


def _typed(source: Csv, place: dict[str, str]) -> str:
    return ", ".join(
        f"{place[name] if kind == 'VARCHAR' else f'try_cast({place[name]} as {kind})'} as {quoting.name(name)}"
        for name, kind in source.columns.items()
    )


def _delivery(part: Slice) -> str:
    return f"{quoting.text(part.name)} as {SOURCE_FILE}, date {quoting.text(part.extracted_on)} as {EXTRACTED_ON}"


def misfit(column: str, kind: str) -> str:
    """Return a condition that is true for a text that is not exactly a value of the type.

    The engine's own casts round 1.5 to a whole number, cut digits behind the point, drop the time from a date and the
    date from a time, read "epoch" as a date and 1e999 as infinity; each would change data without a trace.
    """
    cast = f"try_cast({column} as {kind})"
    match kind:
        case "VARCHAR":
            return "false"
        case "INTEGER" | "BIGINT":
            wrong = _unlike(column, "[+-]?[0-9]+([.]0*)?")
        case "DATE":
            wrong = (
                f"{cast} not between {_FIRST_DAY} and {_LAST_DAY} or {_unlike(column, '[0-9].*')} "
                f"or try_cast({column} as timestamp) is distinct from {cast}::timestamp"
            )
        case "TIME":
            # Midnight at the end of a day is none that lakes can hold.
            wrong = f"{_unlike(column, f'[0-9]+:[0-9]+(:[0-9]+{_FRACTION})?')} or {cast} = time '24:00:00'"
        case "TIMESTAMP" | "TIMESTAMPTZ":
            # A TIMESTAMP's offset would be dropped, as would a zone's name and the BC of a year, and so the value be
            # another moment.
            cut = f"{_CUT}|{_OFFSET}|{_WORD}" if kind == "TIMESTAMP" else _CUT
            wrong = (
                f"try_cast({column} as timestamp)::date not between {_FIRST_DAY} and {_LAST_DAY} "
                f"or {_unlike(column, '[0-9].*')} or regexp_matches({column}, '{cut}')"
            )
        case "REAL" | "DOUBLE":
            wrong = f"isinf({cast}) and {_unlike(column, '[^0-9]*')} or contains({column}, '_')"
        case _ if scale := re.fullmatch(r"DECIMAL\(\d+,(\d+)\)", kind):
            digits = f"([0-9]+([.][0-9]{{0,{scale[1]}}}0*)?|[.][0-9]{{1,{max(int(scale[1]), 1)}}}0*)"
            wrong = _unlike(column, f"[+-]?{digits}")
        case _:
            wrong = "false"
    return f"({column} is not null and coalesce({cast} is null or {wrong}, true))"


def _unlike(column: str, pattern: str) -> str:
    return f"not regexp_full_match({column}, '\\s*{pattern}\\s*')"


def _reason(name: str, column: str, kind: str) -> str:
    return f"{quoting.text(f'{name}: ')} || left({column}, {_SHOWN}) || {quoting.text(f' is no {kind}')}"
