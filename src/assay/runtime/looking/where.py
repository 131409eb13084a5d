"""Looking for rows in what was delivered, and telling the fate of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.model.fate import BadLine, Place, Step, Trail, Whereabouts
from assay.model.ports import Frame
from assay.model.source import EXTRACTED_ON, PART_BIT, POSITION, SOURCE_FILE
from assay.runtime.looking.fate import Follower, span
from assay.runtime.looking.sought import at


def whereabouts(follower: Follower, bad_lines: Sequence[BadLine], limit: int) -> Whereabouts:
    """Return the trails of the rows that are looked for: those that are delivered now, or else that once were."""
    sources = follower.pipeline.sources
    found = [(source, *row) for source in sources for row in _delivered(follower, source, limit)]
    trails = tuple(_trail(follower, *row) for row in found[:limit])
    if not trails:
        past = [
            (source, *row) for source in follower.pipeline.sources for row in _once_delivered(follower, source, limit)
        ]
        trails = tuple(_past_trail(follower, *row) for row in past[:limit])
    return Whereabouts(
        follower.pipeline.name, trails, tuple(bad_lines[:limit]), max(len(found), len(bad_lines)) > limit
    )


def _delivered(follower: Follower, source: str, limit: int) -> list[tuple[Any, ...]]:
    version = follower.state.versions.get(follower.pipeline.dataset_of(source))
    if version is None:
        return []
    rows = _sought(follower, follower.functions.scan(version, version.schema, source))
    return [] if rows is None else follower.session.fetch(rows.sort(POSITION).head(limit + 1))


def _once_delivered(follower: Follower, source: str, limit: int) -> list[tuple[Any, ...]]:
    found: dict[int, tuple[Any, ...]] = {}
    for life in follower.functions.warehouse.lives(follower.pipeline.dataset_of(source)):
        if life.until is not None:
            root = follower.functions.warehouse.local([life.file])
            rows = _sought(follower, follower.session.scan(root, [life.file], life.schema, source))
            for row in [] if rows is None else follower.session.fetch(rows.head(limit)):
                found[row[0]] = row
    return [found[position] for position in sorted(found)]


def _sought(follower: Follower, rows: Frame) -> Frame | None:
    """Return position, file and date of the rows of a source that are looked for; None where it has no such columns."""
    match = follower.sought.matches(rows, follower.session, _keys(follower))
    return None if match is None else rows.filter(match).select(POSITION, SOURCE_FILE, EXTRACTED_ON)


def _trail(follower: Follower, source: str, position: int, _: str, delivered: Any) -> Trail:
    since, until = span(
        follower.session, follower.functions.warehouse, follower.pipeline.dataset_of(source), at(position)
    )
    place = follower.place(source, position)
    return Trail(place, str(delivered), since, until, follower.steps(source, position))


def _past_trail(follower: Follower, source: str, position: int, file: str, delivered: Any) -> Trail:
    session, warehouse = follower.session, follower.functions.warehouse
    since, until = span(session, warehouse, follower.pipeline.dataset_of(source), at(position))
    steps = []
    for name in follower.pipeline.tables:
        came, went = span(session, warehouse, follower.pipeline.dataset_of(name), at(position))
        if came is not None:
            steps.append(Step(name, "gone" if went is not None else "holds", since=came, until=went))
    place = Place(source, file, position % (1 << PART_BIT), None)
    return Trail(place, str(delivered), since, until, tuple(steps))


def _keys(follower: Follower) -> tuple[str, ...]:
    """Return the columns that tell rows apart in any table of the pipeline, but for those that they are grouped by."""
    return tuple(dict.fromkeys(name for table in follower.pipeline.tables.values() for name in table.key))
