"""Processes that live and are killed: each is a copy of one that has everything loaded."""

from __future__ import annotations

import multiprocessing
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from assay.model.errors import RunError
from assay.proof.crashing import calls
from assay.proof.crashing.calls import Call, Traced
from assay.proof.crashing.crash import Kill, Kind, Look, Story, judged
from assay.proof.crashing.lives import Life, Lived
from assay.proof.crashing.points import Point
from assay.proof.deliveries import Deliveries
from assay.proof.grounds import Grounds

_PRELOADED = ["assay.proving", "assay.engines.duckdb.engine", "assay.warehouses.iceberg.metadata"]
_SECONDS = 600
"""How long a run under strace may take."""
_Said = TypeVar("_Said")
Enter = Callable[[Life, Connection], None]
"""What a process does from its start to its end; a function of a module, so that another process finds it."""


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a story is without kills."""

    before: Look
    after: Look
    points: tuple[Point, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Planned:
    """A kill that is to come: at a point, at a call, or after some seconds."""

    story: Story
    moment: Point | Call | float
    resumed: bool = False
    """Whether the run that comes after goes on with the one that was killed, or begins anew."""
    struck: bool = False
    """Whether what the warehouse depends on fails with the process."""

    @property
    def kind(self) -> Kind:
        """What decides the moment."""
        match self.moment:
            case Point():
                return "point"
            case Call():
                return "call"
            case _:
                return "time"

    @property
    def at(self) -> str:
        """The moment, in words."""
        return f"{self.moment:.3f} s" if isinstance(self.moment, float) else str(self.moment)


class Place:
    """A folder with a warehouse in which one process at a time is killed; it stays where it is, as lakes must."""

    def __init__(self, enter: Enter, start: Life, read: Deliveries, grounds: Grounds, folder: Path) -> None:
        """Make the folder, and the warehouse that the story `next` begins with; raises RunError where that fails."""
        self._enter, self._read, self._grounds, self._folder = enter, read, grounds, folder
        self._lake, self._kept = folder / "lake", folder / "kept"
        (folder / "temporary").mkdir(parents=True)
        place = grounds.location(self._lake)
        self._life = replace(start, warehouse=place, scratch=str(folder / "temporary"), sources=read.now)
        self._let_live(replace(self._life, sources=read.before))
        grounds.copy(self._lake, self._kept)

    def undisturbed(self, story: Story) -> Undisturbed:
        """Run twice without a kill; raises RunError where that fails, or does not give the same both times."""
        self._begin(story)
        _, again = self._let_live(self._life)
        self._begin(story)
        began = time.monotonic()
        before, lived = self._let_live(self._life)
        if differing := lived.after.differing(again.after):
            raise RunError(f"Two undisturbed runs are not the same in {differing}; `assay prove` looks for the cause.")
        return Undisturbed(before, lived.after, lived.reached, time.monotonic() - began)

    def traced(self, story: Story) -> Traced:
        """Run once under strace, and return what was done to the warehouse."""
        self._begin(story)
        log = self._folder / "strace.log"
        calls.run(calls.command(self._written(), log), seconds=_SECONDS)
        with log.open(encoding="utf-8", errors="replace") as lines:
            return calls.traced(lines, str(self._lake))

    def killed(self, planned: Planned, undisturbed: Undisturbed) -> Kill:
        """Kill a process as planned, at a point twice in a row; let the next one live, and judge what it found."""
        self._begin(planned.story)
        looks: list[Look] = []
        times = 2 if isinstance(planned.moment, Point) else 1
        for _ in range(times):
            looks += self._kill(planned.moment)
        struck = planned.struck and self._grounds.strike()
        before, lived = self._let_live(replace(self._life, resumes=planned.resumed), strict=False)
        looks += [before, lived.after]
        violations = judged(looks, lived.ending, undisturbed.before, undisturbed.after)
        return Kill(planned.story, planned.at, planned.kind, times, planned.resumed, struck, violations)

    def _kill(self, moment: Point | Call | float) -> list[Look]:
        """Kill one process, and return what it saw before: after the kill before it, if that is not the first."""
        if isinstance(moment, Call):
            calls.run(calls.command(self._written(), Path("/dev/null"), at=moment), seconds=_SECONDS)
            return []
        armed = moment if isinstance(moment, Point) else None
        with _Process(self._enter, replace(self._life, armed=armed)) as process:
            seen = process.said(Look)
            process.end(moment if isinstance(moment, float) else None)
        return [seen]

    def _begin(self, story: Story) -> None:
        """Put the warehouse back to where a story begins."""
        if story == "next":
            self._grounds.copy(self._kept, self._lake)
        else:
            self._grounds.clear(self._lake)

    def _let_live(self, life: Life, *, strict: bool = True) -> tuple[Look, Lived]:
        with _Process(self._enter, life) as process:
            before, lived = process.said(Look), process.said(Lived)
        if strict and not lived.ending.ok:
            raise RunError(f"An undisturbed run fails already: {'; '.join(lived.ending.problems)}")
        return before, lived

    def _written(self) -> Path:
        """Write down the life that a process under strace reads."""
        path = self._folder / "life"
        path.write_bytes(pickle.dumps(replace(self._life, marked=True)))
        return path


class _Process:
    """A process that lives a life; it is gone at the end of the block."""

    def __init__(self, enter: Enter, life: Life) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        self._heard, said = context.Pipe(duplex=False)
        self._process = context.Process(target=enter, args=(life, said))
        self._process.start()
        said.close()

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._heard.close()

    def said(self, kind: type[_Said]) -> _Said:
        """Wait for what the process says next; raises RunError where it ended, or failed, instead."""
        try:
            found = self._heard.recv()
        except EOFError:
            self._process.join()
            raise RunError(f"A process ended with {self._process.exitcode} before it said anything.") from None
        if not isinstance(found, kind):
            raise RunError(f"A process failed: {found}")
        return found

    def end(self, seconds: float | None) -> None:
        """Wait for the process to end; kill it after so many seconds."""
        if not self._heard.poll(seconds):
            self._process.kill()
        self._process.join()
