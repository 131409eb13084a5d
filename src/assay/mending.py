"""Mending what was rejected: bad lines written out for people, and read in again, each once."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay import platform, queries
from assay.assembly import Location
from assay.model.errors import DeclarationError, UsageError, near_miss
from assay.model.event import Observer
from assay.model.files import Csv
from assay.model.pipeline import Pipeline
from assay.model.run import RunResult
from assay.settings import Settings
from assay.sources.mendable import StandingLine, write_mendable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did."""

    result: RunResult | None
    """Of the run that it made; None where no line was to be loaded."""
    back: int = 0
    """Rows and lines that stood in the quarantine before, and do not any more."""
    stand: int = 0
    """Those that stand there now."""
    again: tuple[str, ...] = ()
    """Marks of lines that an earlier replay has loaded, and this one has not."""
    bad: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By its mark, why a line is no row yet."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        rest = {"back": self.back, "stand": self.stand, "again": list(self.again), "bad": dict(self.bad)}
        return {**rest, "run": self.result.to_json() if self.result else None}


def export(
    pipeline: Pipeline | str,
    file: Location,
    *,
    source: str | None = None,
    delivery: str | None = None,
    warehouse: Location | None = None,
) -> int:
    """Write the bad lines of a source that stand in the quarantine to a file, to be mended, and return how many.

    The file is in the source's own format, each line behind a mark that tells which it is. `delivery` chooses those of
    one delivered file. Raises UsageError where there are none, or where files with different columns brought them.
    """
    found, name = _source(pipeline, source)
    lines = [line for line in _standing(found, name, platform.connect(warehouse)) if delivery in (None, line.file)]
    slices = platform.stored(warehouse).state().slices.get(found.dataset_of(name), ())
    headers = {part.name: part.header for part in slices}
    of_lines = {headers[line.file]: line.file for line in lines}
    if not lines:
        raise UsageError(f"No line of {name!r} stands in the quarantine{f' for {delivery}' if delivery else ''}.")
    if len(of_lines) > 1:
        raise UsageError(
            f"{' and '.join(sorted(of_lines.values()))} have different columns; choose one of them by --delivery."
        )
    write_mendable(_lines_of(found, name), Path(file), next(iter(of_lines)), lines)
    return len(lines)


def replay(
    pipeline: Pipeline | str,
    *,
    mended: Location | None = None,
    source: str | None = None,
    warehouse: Location | None = None,
    settings: Settings | None = None,
    observers: Sequence[Observer] = (),
) -> Replayed:
    """Bring back what was rejected, once its rule or itself is mended.

    With `mended`, a file that `export` wrote and somebody mended, the lines of it that fit are loaded as a delivery of
    their own: each once, however often this is called. Without it, the pipeline is run: a table whose rule has changed
    is computed anew, a source whose declaration has changed is read again. Raises UsageError for a file that mends
    other lines than those that stand in the quarantine.
    """
    # Held to the end: it keeps every vacuum from the lines that are mended, until a run has loaded them.
    reader = platform.connect(warehouse)
    before = _everything(warehouse)
    arguments = platform.RunArguments(warehouse=warehouse, settings=settings, observers=observers)
    if mended is None:
        done = Replayed(platform.run(pipeline, **arguments))
    else:
        found, name = _source(pipeline, source)
        _lines_of(found, name)
        standing = _standing(found, name, reader)
        result, sorted_lines = platform.replay_lines(found, name, Path(mended), standing, **arguments)
        done = Replayed(result, again=sorted_lines.again, bad=sorted_lines.bad)
    after = _everything(warehouse)
    return replace(done, back=len(before - after), stand=len(after))


def _lines_of(pipeline: Pipeline, name: str) -> Csv:
    source = pipeline.sources[name]
    if not isinstance(source, Csv):
        raise UsageError(f"Source {name!r} has no lines to mend: it is no file of text.")
    return source


def _everything(warehouse: Location | None) -> set[tuple[Any, ...]]:
    """Return what tells the rows apart that stand in the quarantine."""
    query = (
        "select node, source_file, position, line, coalesce(raw, row), row_number() over "
        "(partition by node, source_file, position, line, coalesce(raw, row)) from meta.quarantine where stands"
    )
    return set(queries.query(query, warehouse)[1])


def _standing(pipeline: Pipeline, source: str, reader: DuckDBPyConnection) -> list[StandingLine]:
    rows = reader.execute(
        "select q.source_file, q.line, q.raw, q.raw_encoding from meta.quarantine q join meta.run r on r.id = q.run "
        "where q.stands and q.node = ? and r.pipeline = ? and q.raw is not null order by 1, 2",
        [source, pipeline.name],
    ).fetchall()
    return [
        StandingLine(file, line, base64.b64decode(raw) if encoding == "base64" else raw.encode())
        for file, line, raw, encoding in rows
    ]


def _source(pipeline: Pipeline | str, source: str | None) -> tuple[Pipeline, str]:
    found = platform.find(pipeline)
    if source is None and len(found.sources) == 1:
        return found, next(iter(found.sources))
    if source is None or source not in found.sources:
        named = "Name a source" if source is None else f"{found.name} has no source {source!r}"
        hint = near_miss(source or "", found.sources)
        raise DeclarationError(f"{named}.{hint} Its sources: {', '.join(found.sources)}.")
    return found, source
