"""Whether what was planned still holds once a run has its lease."""

from __future__ import annotations

import time
from pathlib import Path

from assay.runtime.planning.plan import Plan, make_plan
from assay.runtime.work import Work

_AT_ONCE_SECONDS = 1.0
"""How long it may take to begin, before the plan is made again: making it reads every new file."""


def current_plan(work: Work, asked: float) -> Plan:
    """Return a run's plan, made anew where others may have published, and files come, since it asked for its lease."""
    state = work.warehouse.state()
    if time.monotonic() - asked <= _AT_ONCE_SECONDS and state == work.plan.state:
        return work.plan
    return make_plan(work.pipeline, work.traced, state, work.plan.options, Path(work.settings.folder))
