"""One process that runs a pipeline, and is killed or lives: what it is told, and what it says."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.model.errors import describe
from assay.model.pipeline import Pipeline
from assay.model.ports import Engine, Warehouse
from assay.model.run import RunResult
from assay.proof.crashing.crash import Ending, Look
from assay.proof.crashing.look import look
from assay.proof.crashing.points import Point, Points
from assay.settings import Settings


@dataclass(frozen=True, slots=True)
class Life:
    """What a process is told."""

    pipeline: str
    warehouse: str
    sources: Mapping[str, str]
    as_of: dt.date
    settings: Settings
    scratch: str
    """Where its temporary files go."""
    resumes: bool = False
    """Whether it goes on with the run that was killed, where there is one that it can go on with."""
    armed: Point | None = None
    marked: bool = False
    """Whether it writes each point to the null device, where strace sees it."""


@dataclass(frozen=True, slots=True)
class Lived:
    """What a process that was not killed says at its end."""

    ending: Ending
    reached: tuple[Point, ...]
    after: Look


Run = Callable[[Engine, Warehouse], RunResult]


def live(
    life: Life, pipeline: Pipeline, engine: Engine, warehouse: Warehouse, run: Run, say: Callable[[Any], None]
) -> None:
    """Look at the warehouse, run the pipeline with the point armed, and look again; each is said as it is known."""
    say(look(engine, warehouse, pipeline))
    with Path(os.devnull).open("wb", buffering=0) as nowhere:
        mark = (lambda when, name: nowhere.write(f"{when} {name}".encode())) if life.marked else None
        points = Points(life.armed, mark)
        ending = ended(points, engine, warehouse, run)
    say(Lived(ending, tuple(points.reached), look(engine, warehouse, pipeline)))


def ended(points: Points, engine: Engine, warehouse: Warehouse, run: Run) -> Ending:
    """Run with points, and return how that ended; whatever goes wrong is an ending too."""
    try:
        result = run(points.engine(engine), points.warehouse(warehouse))
    except Exception as error:
        return Ending(ok=False, problems=(describe(error),))
    return Ending(result.ok, result.problems)
