"""What the commands run, plan and resume do with a workflow, and print of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from assay import assembly, phasing
from assay.cli.printing import place_of, program, put
from assay.cli.telling import advise, watch
from assay.model.outcome import WorkflowResult
from assay.model.workflow import Workflow
from assay.observe.phases import phases
from assay.observe.summary import aligned

_TAKEN = ("warehouse", "workers", "as_of", "full")


def run(workflow: Workflow, name: str, given: Mapping[str, Any], *, as_json: bool) -> None:
    """Run a workflow, and print how it ended."""
    arguments = _arguments(workflow, given)
    with watch(quiet=as_json) as observers:
        result = phasing.run_workflow(workflow, observers=observers, **arguments)
    _tell(name, result, given["warehouse"], as_json=as_json)


def resume(workflow: Workflow, name: str, given: Mapping[str, Any], *, as_json: bool) -> None:
    """Go on with a workflow that failed, and print how it ended."""
    arguments = _arguments(workflow, given)
    with watch(quiet=as_json) as observers:
        result = phasing.resume_workflow(workflow, observers=observers, **arguments)
    _tell(name, result, given["warehouse"], as_json=as_json)


def plan(workflow: Workflow, given: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what a run of a workflow would do."""
    found = phasing.plan_workflow(workflow, **_arguments(workflow, given))
    if as_json:
        put([unit.to_json() for unit in found])
    else:
        rows = [(unit.workflow, unit.phase, unit.name, unit.kind, unit.what) for unit in found]
        put("\n".join(aligned(rows, left=range(5))))


def _arguments(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as the library takes them; raises UsageError for those that are of one pipeline."""
    if refused := [name for name, value in given.items() if value and name not in _TAKEN]:
        option = {"sources": "source", "layers": "layer"}.get(refused[0], refused[0]).replace("_", "-")
        raise click.UsageError(f"--{option} is for one pipeline; {workflow.name} is a workflow of several.")
    taken = {name: given[name] for name in _TAKEN if name in given and name != "workers"}
    return {**taken, "settings": assembly.current_settings(workers=given["workers"])}


def _tell(name: str, result: WorkflowResult, warehouse: str | None, *, as_json: bool) -> None:
    put(result.to_json() if as_json else phases(result))
    if not result.ok:
        if not as_json:
            advise(f"When its cause is mended: {program()} resume {name}{place_of(warehouse)}")
        sys.exit(1)
