"""What is planned for each table, view, model or source, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Action = Literal["run", "maybe", "skip"]
"""run: it must. maybe: only if something it reads turns out to change. skip: it stands as it is."""
NOT_SELECTED = "not selected"


@dataclass(frozen=True, slots=True)
class Step:
    """What is planned for one of them, and why."""

    name: str
    action: Action
    reason: str
