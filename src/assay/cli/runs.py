"""Commands that run a pipeline, or say what a run would do."""

from __future__ import annotations

import sys
from typing import Any

import click

from assay import assembly, loading, platform
from assay.cli import options, phases
from assay.cli.printing import place_of, program, put
from assay.cli.telling import advise, settle, watch
from assay.model.pipeline import Pipeline
from assay.model.run import RunResult
from assay.model.workflow import Workflow
from assay.observe.summary import aligned, summary


@click.command()
@options.of_run
def run(pipeline: str, as_json: bool, **given: Any) -> None:
    """Run PIPELINE: publish all of its tables, or nothing.

    A workflow is run phase by phase; each of its pipelines publishes when it ends.

    Exits with 0 when the tables are published or already as they would be, 1 when the run failed, 2 when the
    command, the declaration or an input as a whole is wrong.
    """
    found = _found(pipeline)
    if isinstance(found, Workflow):
        phases.run(found, pipeline, given, as_json=as_json)
    else:
        _run(pipeline, as_json=as_json, **given)


@click.command()
@options.of_run
def plan(pipeline: str, as_json: bool, **given: Any) -> None:
    """Show what a run of PIPELINE would do, and why. Changes nothing."""
    found = _found(pipeline)
    if isinstance(found, Workflow):
        phases.plan(found, given, as_json=as_json)
        return
    planned = platform.plan(found, **_arguments(given))
    if as_json:
        put(planned.to_json())
    else:
        rows = [(step.action, step.name, step.reason) for step in planned.steps.values()]
        put("\n".join(aligned(rows, left=(0, 1, 2))))


@click.command()
@options.of_first_layer
def bronze(pipeline: str, **given: Any) -> None:
    """Run the layer bronze of PIPELINE: load what was delivered."""
    _run(pipeline, layers=("bronze",), **given)


@click.command()
@options.of_layer
def silver(pipeline: str, **given: Any) -> None:
    """Run the layer silver of PIPELINE, from what bronze holds.

    The sources may be gone.
    """
    _run(pipeline, layers=("silver",), **given)


@click.command()
@options.of_layer
def gold(pipeline: str, **given: Any) -> None:
    """Run the layer gold of PIPELINE, from what silver holds.

    The sources may be gone.
    """
    _run(pipeline, layers=("gold",), **given)


@click.command()
@options.of_incremental
def incremental(pipeline: str, **given: Any) -> None:
    """Load what is new into PIPELINE, and what follows from it."""
    _run(pipeline, **given)


@click.command()
@options.of_backfill
def backfill(pipeline: str, **given: Any) -> None:
    """Compute PIPELINE anew from what its first layer holds.

    The sources may be gone.
    """
    _run(pipeline, backfill=True, **given)


@click.command()
@options.of_resume
def resume(pipeline: str, as_json: bool, **given: Any) -> None:
    """Go on with the newest run of PIPELINE, which failed.

    What it staged is kept; the tables that failed and what follows from them are computed, and all is published. In a
    workflow, what ended well is kept, and what failed goes on in the same way.
    """
    found = _found(pipeline)
    if isinstance(found, Workflow):
        phases.resume(found, pipeline, given, as_json=as_json)
        return
    with watch(quiet=as_json) as observers:
        result = platform.resume(found, observers=observers, **settled(given))
    tell(pipeline, result, given["warehouse"], as_json=as_json)


@click.command()
@click.argument("run", type=options.Whole(min=1), required=False)
@options.warehouse
@options.as_json
def undo(run: int | None, warehouse: str | None, as_json: bool) -> None:
    """Bring back what stood before RUN: the newest run, by default.

    Later runs of its pipeline are undone with it. Files that they loaded stay out until a run is told to --redo them.
    """
    done = platform.undo(run, warehouse=warehouse)
    settle()
    if as_json:
        put({"run": done.run, "undone": list(done.undone), "tables": dict(done.tables)})
        return
    said = {
        name: "is gone, as before" if count is None else f"{count:,} {'row' if count == 1 else 'rows'}"
        for name, count in done.tables.items()
    }
    rows = [(f"  {name}", text) for name, text in said.items()]
    undone = ", ".join(map(str, done.undone))
    put("\n".join([f"run {done.run} has undone {undone}:", *aligned(rows, left=(0, 1))]))


def _run(pipeline: str, *, as_json: bool, **given: Any) -> None:
    with watch(quiet=as_json) as observers:
        result = platform.run(pipeline, observers=observers, **_arguments(given))
    tell(pipeline, result, given["warehouse"], as_json=as_json)


def tell(pipeline: str | None, result: RunResult, warehouse: str | None, *, as_json: bool) -> None:
    """Print what became of a run, and how to go on; ends the command where it failed."""
    put(result.to_json() if as_json else summary(result, place_of(warehouse)))
    # What broke a check or the file itself would break it again: only a table that failed can be mended and resumed.
    if pipeline and not as_json and any(node.status == "failed" for node in result.nodes.values()):
        # On standard error, so that the last line of the summary stays the last of what is printed there.
        advise(f"When its cause is mended: {program()} resume {pipeline}{place_of(warehouse)}")
    if not result.ok:
        sys.exit(1)
    if result.state == "published" and not as_json:
        put(_what_next(result, warehouse))


def _found(name: str) -> Pipeline | Workflow:
    """Return what is named: a pipeline, or a workflow of several."""
    return loading.find(name, assembly.current_settings())


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    return {**settled(given), "sources": dict(given.get("sources", ()))}


def settled(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a command as the library takes them."""
    rest = {name: value for name, value in given.items() if name != "workers"}
    return {**rest, "settings": assembly.current_settings(workers=given["workers"])}


def _what_next(result: RunResult, warehouse: str | None) -> str:
    place, called = place_of(warehouse), program()
    last = [name for name, node in result.tables.items() if node.rows is not None][-1]
    layer, _, entity = last.partition("_")
    return "\n".join(
        (
            "",
            "What to try next:",
            f"  {called} show {last}{place}",
            f'  {called} sql "select * from {layer}.{entity} limit 5"{place}',
            f"  {called} history{place}",
        )
    )
