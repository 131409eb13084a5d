"""Which tables hold sums, whose last digits follow from the order in which rows were added up: read from their SQL."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import sqlglot
from sqlglot import exp

from assay.model.pipeline import Pipeline
from assay.runtime.tracing.parsing import parsed
from assay.runtime.tracing.trace import Traced

_OF_SEVERAL_ROWS = (exp.AggFunc, exp.Group, exp.Pivot, exp.Window)


def adds_up(pipeline: Pipeline, traced: Mapping[str, Traced], name: str) -> bool:
    """Return whether values of a table are made of several rows, by its own function or by that of a view it reads.

    Rows of a source come as they are.
    """
    if name in pipeline.sources:
        return False
    views = (read for read in pipeline.nodes[name].upstream if read in pipeline.views)
    return _adds_up(traced[name].definition) or any(adds_up(pipeline, traced, view) for view in views)


@lru_cache(maxsize=256)
def _adds_up(definition: str) -> bool:
    try:
        return parsed(definition).find(*_OF_SEVERAL_ROWS) is not None
    except (sqlglot.errors.SqlglotError, RecursionError):
        return True
