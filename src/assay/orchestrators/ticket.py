"""The ticket of a run in parts: all that its parts hand on to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ticket:
    """A run as its parts know it, as plain data; without a number where there was nothing to do."""

    pipeline: str
    run: int | None
    steps: tuple[str, ...] = ()
    """What is to be done, each after what it needs."""

    def to_json(self) -> dict[str, Any]:
        """Return it as an orchestrator carries it."""
        return {"pipeline": self.pipeline, "run": self.run, "steps": list(self.steps)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Ticket:
        """Rebuild it from `to_json`."""
        return cls(body["pipeline"], body["run"], tuple(body["steps"]))
