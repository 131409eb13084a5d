"""Proofs of a user's own pipeline: what stands in `proof`, put together with the classes of this platform."""

from __future__ import annotations

import datetime as dt
import pickle
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from assay import platform
from assay.model.errors import UsageError
from assay.model.ports import Engine, Warehouse
from assay.model.run import RunResult
from assay.proof.crash import CrashReport
from assay.proof.crashtest import STORIES, Kills, Progress, carry_out, planned
from assay.proof.deliveries import copied
from assay.proof.lives import Life, live
from assay.proof.processes import Place
from assay.settings import Settings

__all__ = ["CrashReport", "Kills", "crashtest"]


def crashtest(
    pipeline: str,
    *,
    sources: Mapping[str, platform.Location] | None = None,
    as_of: dt.date | None = None,
    kills: Kills | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> CrashReport:
    """Kill runs of a pipeline at every commit point and at random times, and check what they leave.

    It works in scratch warehouses, on copies of the sources' files. `pipeline` is a name in assay.toml or
    "module:object". Raises UsageError where the pipeline or an input is wrong, RunError where an undisturbed run fails.
    """
    began = time.monotonic()
    settings = settings or platform.current_settings()
    kills = kills or Kills(jobs=settings.worker_count)
    declared = platform.resolve(pipeline, sources or {}, settings)
    with tempfile.TemporaryDirectory(prefix="assay-crashtest-") as folder:
        scratch = Path(folder)
        read = copied(declared.sources, Path(settings.folder), scratch / "deliveries")
        start = Life(pipeline, "", {}, as_of or dt.datetime.now(dt.UTC).date(), settings, "")
        first = Place(_enter, start, read, scratch / "0")
        stories = {story: first.undisturbed(story) for story in STORIES}
        traced = {story: first.traced(story) for story in STORIES} if kills.calls else {}
        plan = planned(stories, traced, kills)
        places = [first, *(Place(_enter, start, read, scratch / str(n)) for n in range(1, kills.jobs))]
        found = carry_out(places, plan, stories, progress or (lambda _, __: None))
    return CrashReport(
        pipeline=declared.name,
        points={story: len(each.points) for story, each in stories.items()},
        calls={story: each.under.total() for story, each in traced.items()},
        kills=found,
        seconds=time.monotonic() - began,
        uncovered=tuple(line for each in traced.values() for line in each.outside),
        unsynced=tuple(sorted({path for each in traced.values() for path in each.unsynced})),
    )


class _Hears(Protocol):
    """What is told what a process has to say."""

    def send(self, found: Any) -> None:
        """Take it."""


class _Nobody:
    """Hears nothing: a process under strace is judged by what it leaves."""

    def send(self, found: Any) -> None:
        """Forget it."""


def _enter(life: Life, hears: _Hears) -> None:
    """Carry out a life, from the start of a process to its end."""
    tempfile.tempdir = life.scratch
    try:
        pipeline = platform.resolve(life.pipeline, life.sources, life.settings)
        with platform.embedded(life.settings, {"warehouse": life.warehouse}) as plain:
            options = platform.options({"as_of": life.as_of})

            def run(engine: Engine, warehouse: Warehouse) -> RunResult:
                orchestrator = replace(plain, engine=engine, warehouse=warehouse)
                if life.resumes:
                    # A run that was killed before it had a plan, or after it was published, is not resumed.
                    with suppress(UsageError):
                        return orchestrator.resume(pipeline)
                return orchestrator.run(pipeline, options)

            live(life, pipeline, plain.engine, plain.warehouse, run, hears.send)
    except Exception as error:
        hears.send(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    _enter(pickle.loads(Path(sys.argv[1]).read_bytes()), _Nobody())
