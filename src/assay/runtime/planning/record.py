"""Plans as plain data: what a run leaves behind so that it can be resumed, and the plan made of it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.model.pipeline import Pipeline
from assay.model.published import State
from assay.model.run import RunOptions
from assay.model.source import slice_from_json, slice_to_json
from assay.runtime.planning.delivery import SourcePlan
from assay.runtime.planning.plan import Plan, narrowed
from assay.runtime.planning.steps import Step
from assay.runtime.tracing.trace import Traced


def to_record(pipeline: Pipeline, plan: Plan, traced: Mapping[str, Traced]) -> dict[str, Any]:
    """Return a plan as plain data, with the published versions and the functions that it was made for."""
    return plan.to_json() | {
        "options": plan.options.to_json(),
        "paths": {name: pipeline.sources[name].path for name in plan.sources},
        "sources": {
            name: {
                "slices": [slice_to_json(part) for part in found.slices],
                "to_read": sorted(found.to_read),
                "gone": sorted(found.gone),
                "reason": found.reason,
                "damaged": dict(found.damaged),
                "surely": found.surely,
                "whole": found.whole,
            }
            for name, found in plan.sources.items()
        },
        "published": published(pipeline, plan.state),
        "fingerprints": {name: traced[name].fingerprint for name in plan.steps},
    }


def published(pipeline: Pipeline, state: State) -> dict[str, int]:
    """Return the published version of each of the pipeline's tables and sources, by dataset."""
    datasets = [pipeline.dataset_of(name) for name in pipeline.tables]
    datasets += [pipeline.dataset_of(name) for name in (*pipeline.sources, *pipeline.models)]
    return {name: state.versions[name].id for name in datasets if name in state.versions}


def from_record(record: Mapping[str, Any], pipeline: Pipeline, traced: Mapping[str, Traced], state: State) -> Plan:
    """Return the plan that `to_record` was given, for the same published state, without the frames that it held."""
    options = RunOptions.from_json(record["options"])
    steps = {name: Step(name, step["action"], step["reason"]) for name, step in record["steps"].items()}
    sources = {
        name: SourcePlan(
            slices=tuple(slice_from_json(part) for part in body["slices"]),
            to_read=frozenset(body["to_read"]),
            gone=frozenset(body["gone"]),
            reason=body["reason"],
            damaged=body["damaged"],
            surely=body["surely"],
            whole=body["whole"],
        )
        for name, body in record["sources"].items()
    }
    chosen = {name for name, step in steps.items() if step.action == "run"}
    periods, _ = narrowed(pipeline, traced, state, options, chosen)
    return Plan(pipeline.name, options, state, steps, sources, periods)
