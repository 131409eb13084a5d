"""What must hold after a process was killed, and what was found: one verdict for each kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Story = Literal["first", "next"]
"""first: into an empty warehouse. next: new deliveries to one that has published before."""


Kind = Literal["point", "time", "call"]
"""What decides the moment: a commit point, the clock, or a call to the system."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a reader sees of a warehouse, and whether its books are in order."""

    tables: Mapping[str, str]
    """Table -> digest of its content."""
    missing: tuple[str, ...] = ()
    """Files that are referred to and are not there."""
    unbalanced: tuple[str, ...] = ()
    """Sentences about ledgers that do not balance, and tables with other rows than their record says."""

    def differing(self, other: Look) -> str:
        """Return the tables that are not alike, in words; empty where all are."""
        every = sorted({*self.tables, *other.tables})
        names = [name for name in every if self.tables.get(name) != other.tables.get(name)]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run that came after a kill ended."""

    ok: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kill:
    """One process killed, or two in a row at the same moment, and what was found then."""

    story: Story
    at: str
    """The point, or the time after which it was killed."""
    kind: Kind
    times: int = 1
    """How often a process was killed before one was let live."""
    resumed: bool = False
    """Whether the run that was let live was `assay resume`, where there was something to resume."""
    struck: bool = False
    """Whether what the warehouse depends on, its server, failed with the process."""
    violations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CrashReport:
    """What `assay crashtest` found."""

    pipeline: str
    points: Mapping[Story, int]
    """How many points a run passes."""
    calls: Mapping[Story, int]
    """How many calls to the system lie under them, where they were counted."""
    kills: tuple[Kill, ...]
    seconds: float
    uncovered: tuple[str, ...] = ()
    """Calls that change the warehouse under no named point."""
    unsynced: tuple[str, ...] = ()
    """What a loss of power could take of a run that is published."""

    @property
    def violations(self) -> tuple[Kill, ...]:
        """The kills after which something did not hold."""
        return tuple(kill for kill in self.kills if kill.violations)

    @property
    def ok(self) -> bool:
        """Whether everything held after every kill."""
        return not (self.violations or self.uncovered or self.unsynced)

    @property
    def not_covered(self) -> tuple[str, ...]:
        """What was not looked at: a kill leaves in the system's memory what a loss of power would take."""
        if self.calls or any(kill.struck for kill in self.kills):
            return ()
        return ("a loss of power; --calls 1 looks whether all is on the disk before a publish",)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "pipeline": self.pipeline,
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            "points": dict(self.points),
            "calls": dict(self.calls),
            "kills": [
                {
                    "story": kill.story,
                    "kind": kill.kind,
                    "at": kill.at,
                    "times": kill.times,
                    "resumed": kill.resumed,
                    "struck": kill.struck,
                    "violations": list(kill.violations),
                }
                for kill in self.kills
            ],
            "uncovered": list(self.uncovered),
            "unsynced": list(self.unsynced),
            "not_covered": list(self.not_covered),
        }


def judged(looks: Sequence[Look], ending: Ending | None, before: Look, after: Look) -> tuple[str, ...]:
    """Return what does not hold, a sentence each.

    `looks` are what a reader saw after each kill, and last after the run that was let live; `before` and `after` are
    what an undisturbed run found and left.
    """
    wrong = [] if ending is not None and ending.ok else [f"the next run did not end well: {_why(ending)}"]
    for number, look in enumerate(looks):
        last = number == len(looks) - 1
        when = "after the next run" if last else "after the kill"
        wrong += [f"{when}, {path} is missing" for path in look.missing]
        wrong += [f"{when}, {sentence}" for sentence in look.unbalanced]
        if last and look.tables != after.tables:
            wrong.append(f"{when}, {look.differing(after)} is not what an undisturbed run gives")
        elif not last and look.tables not in (before.tables, after.tables):
            wrong.append(f"{when}, a reader sees parts of two runs: {look.differing(before)} is new, others are not")
    return tuple(wrong)


def _why(ending: Ending | None) -> str:
    return "; ".join(ending.problems) if ending is not None else "it ended without a word"
