"""What people ask of assay, from Python as from the command line: runs, undo, readers, and what goes with them."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from assay import assembly
from assay.assembly import Location
from assay.loading import find_pipeline, reading
from assay.model.errors import DeclarationError, UsageError
from assay.model.event import Observer
from assay.model.fate import BadLine, Rejected, Whereabouts
from assay.model.given import check_arguments, listed
from assay.model.past import PastRun, Undone
from assay.model.pipeline import Pipeline
from assay.model.ports import Warehouse
from assay.model.published import Verified
from assay.model.run import RunOptions, RunResult
from assay.model.vacuum import Retention, Vacuumed
from assay.runtime.lanes import Lanes
from assay.settings import Settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from assay.orchestrators.embedded import Embedded
    from assay.runtime.extracting.replay import SortedLines
    from assay.runtime.planning.plan import Plan
    from assay.sources.mendable import StandingLine


Place = Location | Warehouse
"""A warehouse: where it is, as people write it, or itself, opened."""


class RunArguments(TypedDict, total=False):
    """What can be asked of a run, from Python as from the command line."""

    warehouse: Location | None
    """The lake's folder, or postgresql://...; by default what the settings say."""
    sources: Mapping[str, Location]
    """Source name -> path to read instead of the declared one."""
    as_of: dt.date | None
    """The run's own date; today by default."""
    select: Sequence[str]
    """Tables to compute: "name", "+name" with what it reads, "name+" with what follows."""
    layers: Sequence[str]
    """Layers to compute."""
    full: bool
    """Compute everything anew."""
    month: str | None
    """Rebuild one month, such as "2024-11", in tables that have months."""
    date: dt.date | None
    """Rebuild one day, in tables that have days."""
    backfill: bool
    """Compute all layers but the first anew from what is stored, without a look at the sources."""
    allow_duplicates: bool
    """Load a file although its content is known under another name."""
    redo: bool
    """Load deliveries again that an undo took away."""
    allow_empty: bool
    """Let a file that brought rows be delivered again without any."""
    settings: Settings | None
    """Instead of those of assay.toml and the environment."""
    observers: Sequence[Observer]
    """Told of the run, and of each source, view and table, as it starts and ends."""


def run(pipeline: Pipeline | str, **arguments: Unpack[RunArguments]) -> RunResult:
    """Run a pipeline: publish all of its tables, or nothing.

    Args:
        pipeline: a Pipeline, a name in assay.toml, or "module:object".
        **arguments: see RunArguments.

    Returns:
        The result, also of a run that failed; `result.ok` tells, `result.tables["bronze_order"].rows` counts.

    Raises:
        UsageError: the declaration or an input as a whole is wrong; nothing was changed.
        ConflictError: others kept publishing what this run reads.
        LeaseError: another run of the pipeline is at work.
    """
    check_arguments("run", arguments, RunArguments)
    settings = arguments.get("settings") or assembly.current_settings()
    target = resolve(pipeline, arguments.get("sources") or {}, settings)
    result = None
    try:
        with embedded(settings, arguments) as orchestrator:
            result = orchestrator.run(target, options(arguments))
    except KeyboardInterrupt:
        # Interrupted after its end: what was published stays published, and is told.
        if result is None:
            raise
    return result


def plan(pipeline: Pipeline | str, **arguments: Unpack[RunArguments]) -> Plan:
    """Return what `run` with the same arguments would do, and why; changes nothing."""
    check_arguments("plan", arguments, RunArguments)
    settings = arguments.get("settings") or assembly.current_settings()
    target = resolve(pipeline, arguments.get("sources") or {}, settings)
    with embedded(settings, arguments) as orchestrator:
        return orchestrator.plan(target, options(arguments))


def resume(
    pipeline: Pipeline | str,
    *,
    warehouse: Location | None = None,
    settings: Settings | None = None,
    observers: Sequence[Observer] = (),
) -> RunResult:
    """Go on with a pipeline's newest run, which failed or was killed, and publish all of it, or nothing.

    What it staged is kept, its sources are not looked at again; the tables that failed and what follows are computed.
    Raises UsageError where there is nothing to resume, or where code, declarations or published tables have changed
    so that the run would mix what does not belong together.
    """
    settings = settings or assembly.current_settings()
    found = find(pipeline, settings)
    with embedded(settings, {"warehouse": warehouse, "observers": observers}) as orchestrator:
        return orchestrator.resume(found)


def replay_lines(
    pipeline: Pipeline, source: str, file: Path, standing: Sequence[StandingLine], **arguments: Unpack[RunArguments]
) -> tuple[RunResult | None, SortedLines]:
    """Load the lines of a mended file that fit, each once; the result is None where there are none to load."""
    check_arguments("replay_lines", arguments, RunArguments)
    settings = arguments.get("settings") or assembly.current_settings()
    with embedded(settings, arguments) as orchestrator:
        return orchestrator.replay(pipeline, source, file, standing, options(arguments))


def follow(
    pipeline: Pipeline,
    sought: Sequence[str],
    rejected: Sequence[Rejected],
    bad_lines: Sequence[BadLine],
    limit: int,
    warehouse: Location | None,
) -> Whereabouts:
    """Tell the fate of the rows that are looked for, of all that a pipeline was delivered."""
    with embedded(assembly.current_settings(), {"warehouse": warehouse}) as orchestrator:
        return orchestrator.where(pipeline, sought, rejected, bad_lines, limit)


def undo(run: int | None = None, *, warehouse: Location | None = None, settings: Settings | None = None) -> Undone:
    """Bring back what stood before a run, and before all later ones of its pipeline; without a number, the newest run.

    The undo is a run itself, so it can be undone. Deliveries that go are not loaded again unless `redo` is asked for.
    Raises UsageError where there is nothing to undo, LeaseError while another run of the pipeline is at work.
    """
    settings = settings or assembly.current_settings()
    return assembly.warehouse(settings, warehouse, create=False).undo(run, patience=settings.patience)


def vacuum(
    warehouse: Location | None = None,
    *,
    remove: bool = False,
    leftovers: bool = False,
    settings: Settings | None = None,
) -> Vacuumed:
    """Tell what of a warehouse is needed by no published state that is kept, no run at work and no reader; remove it.

    Nothing is removed unless `remove` is set. Kept is what stood at any time in the last `keep_days` days of the
    settings, and before and after each of the newest `keep_runs` published runs. What stood earlier can neither be
    read nor undone afterwards. With `leftovers` every state is kept, and just what runs staged and did not
    publish goes. Raises WarehouseError where another program has changed a table, or the lake was moved.
    """
    settings = settings or assembly.current_settings()
    found = assembly.warehouse(settings, warehouse, create=False)
    retention = None if leftovers else Retention(settings.keep_runs, settings.keep_days)
    return found.vacuum(retention, remove=remove)


def verify(warehouse: Location | None = None) -> Verified:
    """Read every published file, and compare it with what was written: the sums of its bytes are in the catalog.

    Raises WarehouseError where there is no warehouse, or where its catalog is damaged.
    """
    return assembly.warehouse(assembly.current_settings(), warehouse, create=False).verify()


def connect(warehouse: Place | None = None, *, at: int | dt.datetime | None = None) -> DuckDBPyConnection:
    """Open a warehouse for reading: a DuckDB connection in which `gold.daily_revenue` is that table.

    All tables are of one published state: the newest, that after run `at`, or that at the time `at` (UTC). Schema
    `meta` holds runs, ledger, checks, versions, slices and the quarantine. No vacuum removes what the connection reads,
    as long as it lives. Raises WarehouseError where there is no warehouse.
    """
    from assay.engines.duckdb.reader import open_reader

    found = stored(warehouse)
    return open_reader(found.open(at), found.control_rows())


def connect_confined(warehouse: Location | None = None, *, at: int | dt.datetime | None = None) -> DuckDBPyConnection:
    """Open a warehouse as `connect` does, for SQL that is to reach no other file, no network, and no more memory.

    The memory is that of the setting `memory_limit`.
    """
    from assay.engines.duckdb.confined import open_confined

    found = stored(warehouse)
    return open_confined(found.open(at), found.control_rows(), assembly.current_settings().memory_limit)


def history(warehouse: Place | None = None, *, limit: int = 20) -> list[PastRun]:
    """Return the newest runs first."""
    return stored(warehouse).history(limit)


def stored(warehouse: Place | None = None) -> Warehouse:
    """Open a warehouse that is there, unless it is open already; raises WarehouseError where there is none."""
    if warehouse is None or isinstance(warehouse, str | PathLike):
        return assembly.warehouse(assembly.current_settings(), warehouse, create=False)
    return warehouse


def find(pipeline: Pipeline | str, settings: Settings | None = None) -> Pipeline:
    """Return a pipeline by the name that people write, or itself."""
    return find_pipeline(pipeline, settings or assembly.current_settings()) if isinstance(pipeline, str) else pipeline


def options(arguments: RunArguments) -> RunOptions:
    """Return the options that arguments stand for."""
    as_of = arguments.get("as_of")
    return RunOptions(
        as_of=as_of or dt.datetime.now(dt.UTC).date(),
        select=listed("A run", "select", arguments.get("select", ())),
        layers=listed("A run", "layers", arguments.get("layers", ())),
        full=arguments.get("full", False),
        allow_duplicates=arguments.get("allow_duplicates", False),
        redo=arguments.get("redo", False),
        allow_empty=arguments.get("allow_empty", False),
        month=arguments.get("month"),
        date=arguments.get("date"),
        backfill=arguments.get("backfill", False),
        dated=as_of is not None,
    )


def resolve(pipeline: Pipeline | str, sources: Mapping[str, Location], settings: Settings) -> Pipeline:
    """Return the pipeline that is named, reading its sources from the paths given."""
    return reading(find(pipeline, settings), sources)


@contextmanager
def embedded(
    settings: Settings, arguments: RunArguments, *, order: int | None = None, lanes: Lanes | None = None
) -> Iterator[Embedded]:
    """Open what runs pipelines in this process, with an engine of its own, and lanes unless it shares those of others.

    With a number for the `order`, rows are presented to it in another one than they are stored in.
    """
    from assay.orchestrators.embedded import Embedded

    stored = assembly.warehouse(settings, arguments.get("warehouse"), create=True)
    with closing(assembly.engine(settings, order)) as engine:
        observers = tuple(arguments.get("observers", ()))
        yield Embedded(engine, stored, settings, lanes or Lanes.of(settings), observers)


def sample(pipeline: Pipeline | str, folder: Path, **asked: int) -> Mapping[str, Path]:
    """Write a pipeline's sample data and return the path of each source; `asked` is what its function can be told.

    Raises DeclarationError where it makes none, UsageError for what its function does not take.
    """
    found = find(pipeline)
    if found.sample is None:
        raise DeclarationError(f"{found.name} makes no sample data.")
    known = [name for name in inspect.signature(found.sample).parameters if name != "folder"]
    for name in asked:
        if name not in known:
            options = ", ".join(f"--{each}" for each in known)
            raise UsageError(f"The sample data of {found.name} has no --{name}; it has {options}.")
    return found.sample(folder, **asked)
