"""How a run ends: what its steps did is judged, published or not, and told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from assay.model.pipeline import Pipeline
from assay.model.run import NodeRun, RunResult, RunState
from assay.runtime.execute import skipped
from assay.runtime.memory import peak_memory
from assay.runtime.planning.plan import Plan
from assay.runtime.publishing.gate import judge
from assay.runtime.publishing.publish import publish
from assay.runtime.work import Work


def settled(work: Work, nodes: dict[str, NodeRun], began: float) -> RunResult:
    """Publish what the steps have staged, if all of them did and no check blocks, or close the run; return its result.

    `nodes` get the verdicts of the checks between tables.
    """
    judged, problems = judge(work, nodes)
    nodes |= judged
    if problems:
        result = result_of(work, nodes, "failed", began, problems)
        work.warehouse.close_run(work.handle, result)
        return result
    result = publish(work, result_of(work, nodes, "staged", began))
    work.warehouse.discard(work.handle.id)
    # Publishing takes its time too, where rows are copied.
    return replace(result, seconds=time.monotonic() - began)


def result_of(
    work: Work, nodes: Mapping[str, NodeRun], state: RunState, began: float, problems: tuple[str, ...] = ()
) -> RunResult:
    """Return the result of a run in the state that it is in, with what each step did."""
    return RunResult(
        run=work.handle.id,
        pipeline=work.pipeline.name,
        state=state,
        as_of=work.plan.options.as_of,
        nodes={name: nodes[name] for name in work.plan.steps if name in nodes},
        tables={name: nodes[name] for name in work.pipeline.published if name in nodes},
        seconds=time.monotonic() - began,
        problems=problems,
        peak_memory_bytes=peak_memory(),
    )


def nothing_done(pipeline: Pipeline, plan: Plan, began: float) -> RunResult:
    """Return the result of a run that was none, since everything stands as it is."""
    nodes = {name: skipped(pipeline, plan, name) for name in plan.steps}
    return RunResult(
        run=None,
        pipeline=pipeline.name,
        state="unchanged",
        as_of=plan.options.as_of,
        nodes=nodes,
        tables={name: nodes[name] for name in pipeline.published if name in nodes},
        seconds=time.monotonic() - began,
        peak_memory_bytes=peak_memory(),
    )
