"""The SELECT that reads rows of a database, as COPY has written them, in their declared types."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from assay.engines.duckdb import quoting
from assay.engines.duckdb.csv_reader import misfit
from assay.model.database import Spooled
from assay.model.source import EXTRACTED_ON, POSITION, SLICE_BIT, SOURCE_FILE, UNCHANGED, as_text, unfit

_SAFE = ("BOOLEAN", "INTEGER", "BIGINT", "REAL", "DOUBLE", "VARCHAR")
"""Types of which the engine reads each text that a server writes, and each as it is."""
_FIRST, _LAST = "timestamptz '0001-01-01 00:00:00+00'", "timestamptz '9999-12-31 23:59:59.999999+00'"
_PIECE_BYTES = 1 << 18
_BUFFER_BYTES = 1 << 20
"""What the engine reads at once. It takes sixteen times the longest row that it is told of, 32 MB where it is told
nothing, and holds several of these."""


def spool_query(spooled: Spooled, columns: Mapping[str, str]) -> str:
    """Return a SELECT of the columns in their types, with what assay adds to each row.

    A column may hold what its type does not: `unfit(name)` is true then, and `as_text(name)` is what is there.
    """
    place = {name: f"c{n}" for n, name in enumerate(spooled.columns)}
    typed = [f"{_typed(place.get(name), kind)} as {quoting.name(name)}" for name, kind in columns.items()]
    doubtful = [name for name, kind in columns.items() if kind not in _SAFE and name in place]
    told = [f"{_misfit(place[name], columns[name])} as {quoting.name(unfit(name))}" for name in doubtful]
    told += [f"{place[name]} as {quoting.name(as_text(name))}" for name in doubtful]
    first = (spooled.part.number << SLICE_BIT) + spooled.numbered
    system = [
        f"{first}::bigint + n as {POSITION}",
        f"{quoting.text(spooled.part.name)} as {SOURCE_FILE}",
        f"date {quoting.text(spooled.part.extracted_on)} as {EXTRACTED_ON}",
        f"{'null::varchar' if spooled.bare else 'u'} as {UNCHANGED}",
    ]
    kinds = {place[name]: columns[name] if columns[name] in _SAFE else "VARCHAR" for name in spooled.columns}
    kinds |= {} if spooled.bare else {"u": "VARCHAR"}
    numbered = f"(select row_number() over () as n, * from {_read(spooled, kinds)})"
    return f"select {', '.join((*typed, *system, *told))} from {numbered}"


def _read(spooled: Spooled, kinds: Mapping[str, str]) -> str:
    longest = max(_BUFFER_BYTES // 16, spooled.longest + 1)
    options = [
        f"columns = {quoting.struct({name: quoting.text(kind) for name, kind in kinds.items()})}",
        "auto_detect = false",
        "header = false",
        "delim = ','",
        """quote = '"'""",
        """escape = '"'""",
        r"new_line = '\n'",
        # Nothing is null, and what stands in quotes is a text, be it empty.
        "nullstr = ''",
        "allow_quoted_nulls = false",
        "hive_partitioning = false",
        "compression = 'none'",
        f"max_line_size = {longest}",
        f"buffer_size = {max(_BUFFER_BYTES, 2 * longest)}",
        # Each of several readers guesses where a row begins, and takes a line inside a value for one; a single reader
        # keeps all that it has read in memory.
        f"parallel = {'false' if _has_lines_inside(spooled) else 'true'}",
    ]
    return f"read_csv({quoting.path(spooled.path)}, {', '.join(options)})"


def _has_lines_inside(spooled: Spooled) -> bool:
    """Return whether a value has several lines: then there are more lines than rows."""
    with Path(spooled.path).open("rb", buffering=0) as file:
        pieces = iter(partial(file.read, _PIECE_BYTES), b"")
        return sum(piece.count(b"\n") for piece in pieces) > spooled.rows


def _typed(place: str | None, kind: str) -> str:
    if place is None:
        return f"null::{kind}"
    if kind in _SAFE:
        return place
    # Bytes are written as \\x414243.
    return f"unhex({place}[3:])" if kind == "BLOB" else f"try_cast({place} as {kind})"


def _misfit(place: str, kind: str) -> str:
    match kind:
        case "BLOB" | "UUID":
            return "false"
        case "TIMESTAMPTZ":
            # A server writes it in one way only: with its offset, in at most six digits, and BC where that is meant.
            within = f"{_typed(place, kind)} between {_FIRST} and {_LAST} and not suffix({place}, 'BC')"
            return f"({place} is not null and not coalesce({within}, false))"
        case _:
            return misfit(place, kind)
