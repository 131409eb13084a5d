"""Commit points: every call by which a run may change its warehouse, named, in order, and deadly where one is armed."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

from assay.model.ports import Engine, Warehouse

When = Literal["before", "after"]
BEFORE: When = "before"

_OF_WAREHOUSE = frozenset(
    {
        *("begin", "reopen", "record_plan", "record", "record_node", "renew", "prepare_ahead", "prepare"),
        *("publish", "close_run", "discard", "state", "manifests", "newest", "outcome"),
    }
)
"""Those that only read are among them: SQLite mends there what a crash has left."""
_OF_SESSION = frozenset({"write", "remove"})


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of a run: before or after the n-th call of this name."""

    name: str
    nth: int
    when: When

    def __str__(self) -> str:
        """Return how it is told to people."""
        return f"{self.when} {self.name}" + (f" ({self.nth})" if self.nth > 1 else "")


Tell = Callable[[When, str], Any]


class Points:
    """Counts the points that a run reaches, and kills its process at the one that is armed."""

    def __init__(self, armed: Point | None = None, tell: Tell | None = None) -> None:
        """Arm one point, or none; `tell` is told when each is entered and left."""
        self.reached: list[Point] = []
        self._armed = armed
        self._tell = tell
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        """Pass through a point."""
        with self._lock:
            self._counts[name] += 1
            nth = self._counts[name]
        self._pass(Point(name, nth, "before"))
        yield
        self._pass(Point(name, nth, "after"))

    def _pass(self, point: Point) -> None:
        with self._lock:
            self.reached.append(point)
        if self._tell is not None:
            self._tell(point.when, point.name)
        if point == self._armed:
            os.kill(os.getpid(), signal.SIGKILL)

    def warehouse(self, warehouse: Warehouse) -> Warehouse:
        """Return the warehouse with its points."""
        return cast(Warehouse, _Watched(warehouse, self, _OF_WAREHOUSE))

    def engine(self, engine: Engine) -> Engine:
        """Return the engine with the points of its sessions."""
        return cast(Engine, _WatchedEngine(engine, self))


class _Watched:
    """Passes everything on; calls of some methods are points."""

    def __init__(self, target: Any, points: Points, methods: frozenset[str]) -> None:
        self._target = target
        self._points = points
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name not in self._methods:
            return found

        def call(*given: Any, **named: Any) -> Any:
            with self._points.at(f"{name} {_about(given)}".rstrip()):
                return found(*given, **named)

        return call


class _WatchedEngine:
    """An engine whose sessions have points."""

    def __init__(self, engine: Engine, points: Points) -> None:
        self._engine = engine
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @contextmanager
    def session(self) -> Iterator[Any]:
        """Open a session with points."""
        with self._engine.session() as session:
            yield _Watched(session, self._points, _OF_SESSION)


def _about(given: tuple[Any, ...]) -> str:
    """Return what a call is about, in words that are the same in every run."""
    for value in given:
        for attribute in ("dataset", "folder", "name"):
            found = getattr(value, attribute, None)
            if isinstance(found, str):
                return _without_run(found)
    return ""


def _without_run(text: str) -> str:
    """Leave out the number of the run from a folder."""
    return "/".join(part for part in text.split("/") if not part.isdigit())
