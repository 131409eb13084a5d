"""The fate of a row as a short story: where it came from, and then table by table."""

from __future__ import annotations

from collections.abc import Iterator

from assay.model.fate import Place, Step, Trail, Whereabouts
from assay.observe.summary import aligned


def story(found: Whereabouts) -> Iterator[str]:
    """Yield the lines of the story of each row."""
    for number, trail in enumerate(found.trails):
        if number:
            yield ""
        yield from _trail(trail)
    for line in found.bad_lines:
        yield f"{line.source}: line {line.line} of {line.file} is no row, by run {line.run}: {'; '.join(line.reasons)}"
        yield f"  {line.raw}"
    if not found.trails and not found.bad_lines:
        yield f"No row that {found.pipeline} was delivered has it, and no bad line."
    if found.more:
        yield "There are more; --limit shows them, COLUMN=VALUE tells them apart."


def _trail(trail: Trail) -> Iterator[str]:
    place, gone = trail.place, f", gone since run {trail.until}" if trail.until else ""
    yield f"{_placed(place)}, delivered on {trail.delivered} to {place.source}, run {trail.since}{gone}"
    yield from (f"  {line}" for line in aligned([(step.node, _told(step)) for step in trail.steps], left=(0, 1)))


def _told(step: Step) -> str:
    reasons = "; ".join(step.reasons)
    because = f": {reasons}" if reasons else ""
    since = f" since run {step.since}" if step.since else ""
    key = ", ".join(f"{name}={value}" for name, value in step.key.items())
    instead = f": {_placed(step.instead)}" if step.instead else ""
    told = {
        "holds": f"holds it{since}",
        "grouped": f"counts it in {key}",
        "rejected": f"rejected it{since}: {reasons}",
        "filtered": f"filtered it: {reasons}",
        "deduplicated": f"keeps another row of {key}{instead}",
        "gone": f"held it{since}, until run {step.until}",
        "unseen": f"does not get it{because}",
        "unknown": f"cannot be told{because}",
    }
    return told[step.kind]


def _placed(place: Place) -> str:
    where = f"line {place.line}" if place.line is not None else f"row {place.row}"
    return f"{where} of {place.mends}, mended" if place.mends else f"{where} of {place.file}"
