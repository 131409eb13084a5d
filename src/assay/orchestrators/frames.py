"""Data frames that a run in parts reads: at once, in the process that asked for them, as no other has them."""

from __future__ import annotations

from collections.abc import Collection

from assay.model.errors import RunError
from assay.model.files import DataFrame
from assay.orchestrators.heartbeat import heartbeat
from assay.runtime.execute import execute
from assay.runtime.work import Work


def read_frames(work: Work, kept: Collection[str] = ()) -> None:
    """Do the steps of all frames that are planned but those that are kept; raises RunError where one fails."""
    planned = (name for name in work.plan.sources if work.plan.steps[name].action != "skip" and name not in kept)
    frames = [name for name in planned if isinstance(work.pipeline.sources[name], DataFrame)]
    if not frames:
        return
    with heartbeat(work):
        for name in frames:
            if (node := execute(work, name)).status == "failed":
                raise RunError(f"Source {name!r}: {node.error}")
