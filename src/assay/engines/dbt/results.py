"""What dbt tells of a build: how each model and test ended, and when."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.model.secrets import without_secrets

RESULTS = "run_results.json"
MANIFEST = "manifest.json"
_COMPILED = re.compile(r" compiled code at \S+$")
"""A place that is gone when people read of it."""
_WENT_WELL = ("success", "pass", "warn", "no-op", "partial success")


@dataclass(frozen=True, slots=True)
class Result:
    """How one model or test ended."""

    status: str
    """success, error, skipped; of tests pass, warn, fail."""
    message: str
    failures: int
    started_at: dt.datetime | None
    ended_at: dt.datetime | None

    @property
    def went_well(self) -> bool:
        """Whether nothing speaks against publishing."""
        return self.status in _WENT_WELL


@dataclass(frozen=True, slots=True)
class Built:
    """What one build did."""

    results: Mapping[str, Result]
    """By what dbt calls it."""
    titles: Mapping[str, str]
    """What tests are called."""


def read_built(target: Path) -> Built | None:
    """Read what dbt has written of its last build; None where it ended before it built anything."""
    if not (target / RESULTS).is_file():
        return None
    results = json.loads((target / RESULTS).read_text("utf-8"))["results"]
    manifest = json.loads((target / MANIFEST).read_text("utf-8"))
    tests = [node for node in manifest["nodes"].values() if node["resource_type"] == "test"]
    tests += (manifest.get("unit_tests") or {}).values()
    return Built(
        {each["unique_id"]: _result(each) for each in results},
        {node["unique_id"]: node["name"] for node in tests},
    )


def _result(body: Mapping[str, Any]) -> Result:
    times = [part for part in body["timing"] if part["started_at"] and part["completed_at"]]
    return Result(
        status=body["status"],
        message=without_secrets(_COMPILED.sub("", " ".join((body["message"] or "").split()))),
        failures=int(body["failures"] or 0),
        started_at=min((_time(part["started_at"]) for part in times), default=None),
        ended_at=max((_time(part["completed_at"]) for part in times), default=None),
    )


def _time(text: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
