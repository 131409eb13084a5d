"""Proofs of a user's own pipeline: what stands in `proof`, put together with the classes of this platform."""

from __future__ import annotations

import datetime as dt
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack

from assay import assembly, migrating, platform
from assay.assembly import LAKE, Location, On
from assay.model.errors import RunError, UsageError
from assay.model.given import check_arguments
from assay.model.pipeline import Pipeline
from assay.model.ports import Engine, Warehouse
from assay.model.run import RunOptions, RunResult
from assay.proof.crashing.crash import CrashReport
from assay.proof.crashing.crashtest import STORIES, Kills, Progress, carry_out, planned
from assay.proof.crashing.lives import Life, live
from assay.proof.crashing.processes import Place
from assay.proof.deliveries import copied
from assay.proof.proving.content import Contents, Published
from assay.proof.proving.evidence import Finding, Proof
from assay.proof.proving.frozen import Rows, exported
from assay.proof.proving.numbers import numbers_of
from assay.proof.proving.prove import Bench, Prover
from assay.proof.proving.trials import BATCHES, WORKERS, Asked, How
from assay.runtime.tracing.trace import trace
from assay.settings import Settings

__all__ = ["CrashReport", "Finding", "Kills", "Proof", "crashtest", "prove"]


def crashtest(
    pipeline: str,
    *,
    sources: Mapping[str, Location] | None = None,
    as_of: dt.date | None = None,
    kills: Kills | None = None,
    on: On = LAKE,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> CrashReport:
    """Kill runs of a pipeline at every commit point and at random times, and check what they leave.

    It works in scratch warehouses, on copies of the sources' files. `pipeline` is a name in assay.toml or
    "module:object". Raises UsageError where the pipeline or an input is wrong, RunError where an undisturbed run fails.
    """
    began = time.monotonic()
    settings = _apart(settings or assembly.current_settings())
    kills = kills or Kills(jobs=settings.worker_count)
    if kills.calls and on != LAKE:
        raise UsageError("Calls to the system are counted in lakes; a server's are its own.")
    declared = _tried(platform.resolve(pipeline, sources or {}, settings))
    with tempfile.TemporaryDirectory(prefix="assay-crashtest-") as folder, ExitStack() as several:
        scratch, prepare = Path(folder), partial(_prepared, pipeline, settings)
        declared = _frozen(declared, settings, scratch / "read")
        read = copied(declared.files, Path(settings.folder), scratch / "deliveries")
        start = Life(pipeline, "", {}, as_of or dt.datetime.now(dt.UTC).date(), settings, "")
        grounds = [
            several.enter_context(assembly.grounds(on, scratch / f"server-{n}", prepare)) for n in range(kills.jobs)
        ]
        first = Place(_enter, start, read, grounds[0], scratch / "0")
        stories = {story: first.undisturbed(story) for story in STORIES}
        traced = {story: first.traced(story) for story in STORIES} if kills.calls else {}
        plan = planned(stories, traced, kills)
        others = enumerate(grounds[1:], 1)
        places = [first, *(Place(_enter, start, read, each, scratch / str(n)) for n, each in others)]
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


def _apart(settings: Settings) -> Settings:
    """Return the settings of scratch lakes: their catalogs have no business where those of others are."""
    return replace(settings, catalog="")


def _tried(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline; raises UsageError where it has tables that no function computes."""
    if pipeline.mirrors:
        raise UsageError(
            f"{next(iter(pipeline.mirrors))} is published as its database has it, so there is no function to be tried."
        )
    return pipeline


def _frozen(pipeline: Pipeline, settings: Settings, folder: Path) -> Pipeline:
    """Return the pipeline reading, in the place of databases, files with the rows that these have now.

    Raises RunError where a run fails.
    """
    names = [name for tables in pipeline.databases.values() for name in tables]
    if not names:
        return pipeline
    with platform.embedded(settings, {"warehouse": folder / "lake"}) as orchestrator:
        result = orchestrator.run(pipeline, platform.options({}))
        if not result.ok:
            raise RunError(f"An undisturbed run fails already: {'; '.join(result.problems)}")
        rows = Rows(pipeline, _published(orchestrator.warehouse))
        read = [name for name in names if name in rows.sources]
        with orchestrator.engine.session() as session:
            return pipeline.reading(exported(session, rows, read, folder))


def _published(stored: Warehouse) -> Published:
    state = stored.state()
    return Published(stored.local([file for version in state.versions.values() for file in version.files]), state)


class ProofArguments(TypedDict, total=False):
    """What can be asked of a proof, from Python as from the command line."""

    sources: Mapping[str, Location]
    """Source name -> path to read instead of the declared one."""
    as_of: dt.date | None
    """The date of all runs; today by default."""
    allow_duplicates: bool
    """Load a file although another has the same content."""
    batches: int
    """Into how many batches the rows are dealt; 3 by default, 1 for none."""
    workers: int
    """The most workers that compute side by side; 8 by default."""
    permute_source: bool
    """Put the lines of each delivery in another order, too, and say which tables depend on it."""
    on: On
    """The kind of the scratch warehouses: lakes, by default."""
    keep: Location | None
    """A new folder that the scratch warehouses are made in, and stay."""
    settings: Settings | None
    """Instead of those of assay.toml and the environment."""
    tell: Callable[[Finding], None]
    """Told of each finding as it is made."""


def prove(pipeline: Pipeline | str, **arguments: Unpack[ProofArguments]) -> Proof:
    """Run a pipeline over the same rows in every way that must not matter, and compare what it leaves.

    Its sources are read once; all runs are made in scratch warehouses. `pipeline` is a Pipeline, a name in assay.toml
    or "module:object". Raises UsageError where the declaration or an input as a whole is wrong.
    """
    check_arguments("prove", arguments, ProofArguments)
    began = time.monotonic()
    settings = _apart(arguments.get("settings") or assembly.current_settings())
    declared = _tried(platform.resolve(pipeline, arguments.get("sources", {}), settings))
    options = platform.options(
        {"as_of": arguments.get("as_of"), "allow_duplicates": arguments.get("allow_duplicates", False)}
    )
    asked = Asked(
        batches=arguments.get("batches", BATCHES),
        workers=arguments.get("workers", WORKERS),
        permute_source=arguments.get("permute_source", False),
    )
    tell = arguments.get("tell")
    findings = []
    with _scratch(arguments.get("keep")) as folder:
        on, keep = arguments.get("on", LAKE), arguments.get("keep") is not None
        for finding in _findings(declared, options, asked, settings, on, folder, keep=keep):
            findings.append(finding)
            if tell is not None:
                tell(finding)
    seconds = time.monotonic() - began
    return Proof(declared.name, options.as_of, len(declared.tables), findings, seconds)


def _findings(
    pipeline: Pipeline, options: RunOptions, asked: Asked, settings: Settings, on: On, folder: Path, *, keep: bool
) -> Iterator[Finding]:
    def run(target: Pipeline, options: RunOptions, lake: Path, how: How) -> RunResult:
        # What share of the rows is bad was judged as delivered; that of a part of them says nothing.
        target = target if target is pipeline else target.allowing(1.0)
        chosen = replace(settings, workers=how.workers or settings.workers)
        with platform.embedded(chosen, {"warehouse": grounds.location(lake)}, order=how.seed) as orchestrator:
            return orchestrator.run(target, options)

    def published(lake: Path) -> Published:
        return _published(platform.stored(grounds.location(lake)))

    with (
        assembly.grounds(on, folder / "server", partial(_prepared, pipeline, settings)) as grounds,
        closing(assembly.engine(settings, None)) as engine,
    ):
        traced = trace(pipeline, engine)
        contents = Contents(pipeline, traced, numbers_of(pipeline, traced))
        bench = Bench(run, published, folder, grounds, keep)
        yield from Prover(bench, engine, contents, options).prove(asked)


def _prepared(pipeline: Pipeline | str, settings: Settings, location: str) -> None:
    """Make the tables of a pipeline in a scratch warehouse."""
    migrating.migrate(pipeline, warehouse=location, settings=settings)


@contextmanager
def _scratch(keep: Location | None) -> Iterator[Path]:
    """Give an empty folder, which is removed at the end unless it is to be kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="assay-prove-") as folder:
            yield Path(folder)
        return
    kept = Path(keep).absolute()
    if kept.exists() and (not kept.is_dir() or any(kept.iterdir())):
        raise UsageError(f"{keep} is not empty; give --keep a folder that is empty or not there yet.")
    yield kept


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
