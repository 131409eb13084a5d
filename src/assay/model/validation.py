"""What a validation found of the tables that are published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Part = Literal["schemas", "tables", "row flow", "quality", "rules", "metadata"]
State = Literal["holds", "warns", "fails"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that should hold, and whether it does."""

    part: Part
    about: str
    """A table, a source, or the pipeline."""
    what: str
    state: State
    detail: str = ""
    """Why it does not."""


@dataclass(frozen=True, slots=True)
class Validation:
    """All that was looked at."""

    pipeline: str
    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing fails."""
        return all(finding.state != "fails" for finding in self.findings)

    @property
    def counts(self) -> Mapping[State, int]:
        """How many hold, warn and fail."""
        found = Counter(finding.state for finding in self.findings)
        return {"holds": found["holds"], "warns": found["warns"], "fails": found["fails"]}

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "pipeline": self.pipeline,
            "ok": self.ok,
            "counts": dict(self.counts),
            "findings": [asdict(finding) for finding in self.findings],
        }


def finding(part: Part, about: str, what: str, wrong: str = "", *, warns: bool = False) -> Finding:
    """Return a finding that holds unless something is said to be wrong."""
    if not wrong:
        return Finding(part, about, what, "holds")
    return Finding(part, about, what, "warns" if warns else "fails", wrong)
