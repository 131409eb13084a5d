"""The parameters of a DAG: what can be asked of a run, as Airflow's form shows it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import Param

from assay.model.pipeline import Pipeline
from assay.model.run import RunOptions
from assay.model.workflow import Part, Unit
from assay.orchestrators.opening import check_passwords, options_of

SOURCES = "sources"


def params_of_workflow() -> dict[str, Any]:
    """Return what can be asked of a workflow's run."""
    return {
        "as_of": _maybe("string", "The run's own date; by default that for which it is scheduled.", format="date"),
        "full": Param(default=False, type="boolean", description="Compute everything anew."),
    }


def params_of(pipeline: Pipeline, sources: Mapping[str, str]) -> dict[str, Any]:
    """Return what can be asked of a pipeline's run; raises UsageError for an address with a password."""
    check_passwords(sources)
    return params_of_workflow() | {
        "select": _some([*pipeline.nodes, *pipeline.mirrors], "Tables to compute, as name, +name or name+."),
        "layers": _some(pipeline.layers, "Layers to compute."),
        "month": _maybe("string", "The month to rebuild, as 2024-11.", pattern=r"^\d{4}-\d{2}$"),
        "date": _maybe("string", "The day to rebuild.", format="date"),
        "backfill": Param(default=False, type="boolean", description="Compute from what is stored; read no source."),
        "allow_duplicates": Param(default=False, type="boolean", description="Load files known by another name."),
        "allow_empty": Param(default=False, type="boolean", description="Let a file without rows take rows away."),
        "redo": Param(default=False, type="boolean", description="Load again what an undo took away."),
        SOURCES: Param(
            default=dict(sources), type="object", description=f"Paths to read instead: {', '.join(pipeline.sources)}."
        ),
    }


def options_in(context: Mapping[str, Any], unit: Unit) -> RunOptions:
    """Return what was asked of a DAG run of this unit; raises UsageError for what it cannot be asked."""
    reads = isinstance(unit, Pipeline | Part)
    asked = {name: value for name, value in context["params"].items() if not (reads and name == SOURCES)}
    return options_of(asked, _day(context), unit)


def _day(context: Mapping[str, Any]) -> dt.date:
    """Return the day for which a DAG run was made, where its schedule is kept: also of one that is run again later."""
    moment: dt.datetime = context.get("logical_date") or context["dag_run"].run_after
    return moment.astimezone(context["dag"].timezone).date()


def _maybe(kind: str, description: str, **schema: Any) -> Any:
    return Param(default=None, type=["null", kind], description=description, **schema)


def _some(examples: Sequence[str], description: str) -> Any:
    return _maybe("array", description, items={"type": "string"}, examples=list(examples))
