"""What is planned for each table, view, model or source, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from assay.model.run import NodeRun

Action = Literal["run", "maybe", "skip"]
"""run: it must. maybe: only if something it reads turns out to change. skip: it stands as it is."""
NOT_SELECTED = "not selected"


@dataclass(frozen=True, slots=True)
class Step:
    """What is planned for one of them, and why."""

    name: str
    action: Action
    reason: str


def left_to_tables(view: str) -> NodeRun:
    """Return what is told of a view that only some tables may need, until one of them does."""
    return NodeRun(view, "skipped", "computed by the first table that needs it")
