"""The fate of a row: where it came from, which tables hold it, and why others do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["holds", "grouped", "rejected", "filtered", "deduplicated", "gone", "unseen", "unknown"]
"""holds: the row is there. grouped: it counts in a row there. gone: it was there once. unseen: nothing that the table
reads holds it. unknown: it cannot be told."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands in what was delivered."""

    source: str
    file: str
    row: int
    line: int | None
    """The physical line of the file; None where that is not known."""
    mends: str | None = None
    """The file whose line this one mends, which `line` is then of."""


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a row in one table or view."""

    node: str
    kind: Kind
    since: int | None = None
    """The run since which it is there."""
    until: int | None = None
    """The run since which it is not there any more."""
    reasons: tuple[str, ...] = ()
    """Why it was rejected or filtered, or cannot be told."""
    instead: Place | None = None
    """The row that stands in its place."""
    key: Mapping[str, Any] = field(default_factory=dict)
    """Of the row that it counts in."""


@dataclass(frozen=True, slots=True)
class Trail:
    """One delivered row, and its steps in the order of the pipeline."""

    place: Place
    delivered: str
    """The date of its delivery."""
    since: int | None
    """The run that loaded it."""
    until: int | None
    """The run that took it away, of a row that is not delivered any more."""
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """One row of the quarantine that stands."""

    node: str
    position: int
    reasons: tuple[str, ...]
    run: int


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that never became a row."""

    source: str
    file: str
    line: int
    raw: str
    reasons: tuple[str, ...]
    run: int


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """All that is known of what was looked for."""

    pipeline: str
    trails: tuple[Trail, ...]
    bad_lines: tuple[BadLine, ...]
    more: bool = False
    """Whether there are other rows, beyond the limit."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)
