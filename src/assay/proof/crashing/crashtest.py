"""The crash test: what undisturbed runs do, which processes are killed and when, and all of them side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from assay.model.errors import describe
from assay.proof.crashing.calls import Traced, spread
from assay.proof.crashing.crash import Kill, Story
from assay.proof.crashing.points import Point
from assay.proof.crashing.processes import Place, Planned, Undisturbed

_READS_ONLY = ("manifests", "state", "newest", "outcome")
STORIES: tuple[Story, ...] = ("first", "next")
Progress = Callable[[int, int], None]
"""Told how many of how many kills are done."""


@dataclass(frozen=True, slots=True)
class Kills:
    """Which kills are asked for."""

    points: int | None = None
    """At how many of the commit points, evenly spread; at all of them by default."""
    times: int = 200
    """How many at random times."""
    calls: int = 0
    """At how many calls that change the warehouse, evenly spread; they need strace."""
    seed: int = 0
    """What makes the random times."""
    jobs: int = 1
    """Processes side by side."""


def planned(stories: Mapping[Story, Undisturbed], traced: Mapping[Story, Traced], kills: Kills) -> list[Planned]:
    """Return the kills at points, at random times and at calls, of all stories."""
    points = [Planned(story, point) for story, found in stories.items() for point in found.points if _commits(point)]
    wanted = len(points) if kills.points is None else min(kills.points, len(points))
    chosen = [points[n * len(points) // wanted] for n in range(wanted)]
    dice = Random(kills.seed)
    for n in range(kills.times):
        story = STORIES[n % len(STORIES)]
        chosen.append(Planned(story, dice.random() * stories[story].seconds))
    for story, found in traced.items():
        chosen += [Planned(story, call) for call in spread(found.calls, kills.calls // len(traced))]
    # Every other one is mended by `assay resume`; with every third the server fails too, where there is one.
    return [replace(each, resumed=n % 2 == 1, struck=n % 3 == 2) for n, each in enumerate(chosen)]


def carry_out(
    places: list[Place], plan: list[Planned], stories: Mapping[Story, Undisturbed], progress: Progress
) -> tuple[Kill, ...]:
    """Kill as planned, one process at a time in each place, and return what was found, in the plan's order."""
    waiting: queue.SimpleQueue[tuple[int, Planned]] = queue.SimpleQueue()
    for each in enumerate(plan):
        waiting.put(each)
    found: dict[int, Kill] = {}
    done = threading.Semaphore(0)

    def work(place: Place) -> None:
        while True:
            try:
                number, each = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                found[number] = place.killed(each, stories[each.story])
            except Exception as error:
                found[number] = Kill(each.story, each.at, each.kind, violations=(describe(error),))
            done.release()

    threads = [threading.Thread(target=work, args=(place,), daemon=True) for place in places]
    for thread in threads:
        thread.start()
    for count in range(len(plan)):
        done.acquire()
        progress(count + 1, len(plan))
    return tuple(found[n] for n in range(len(plan)))


def _commits(point: Point) -> bool:
    """Return whether a point is one at which the warehouse may change."""
    return not point.name.startswith(_READS_ONLY)
