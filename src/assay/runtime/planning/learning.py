"""Learning what a pipeline is, before a run is planned: its models are read, its functions traced."""

from __future__ import annotations

from collections.abc import Mapping

from assay.model.pipeline import Pipeline
from assay.model.ports import Engine, Warehouse
from assay.runtime.planning.modelling import trace_models, with_models
from assay.runtime.tracing.trace import Traced, trace
from assay.settings import Settings


def learn(
    pipeline: Pipeline, engine: Engine, warehouse: Warehouse, settings: Settings
) -> tuple[Pipeline, Mapping[str, Traced]]:
    """Return the pipeline with its models, and what is known of each step; raises UsageError for what is wrong."""
    known = with_models(pipeline, warehouse, settings)
    return known, {**trace(known, engine), **trace_models(known)}
