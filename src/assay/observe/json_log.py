"""A run as structured log: one JSON object a line for each event, made for machines that collect logs.

The lines are written as they are, not through `logging`: its handlers and levels belong to the program that imports
assay, and a log that one of them could filter or format would be no document. Who wants the events in `logging` gives
an observer of one line: `observers=[lambda event: logger.info(event)]`.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, assert_never

from assay.model.event import (
    Event,
    NodeEnded,
    NodeStarted,
    Observer,
    PhaseEnded,
    PhaseStarted,
    RunEnded,
    RunStarted,
    UnitEnded,
    WorkflowEnded,
    WorkflowEvent,
    WorkflowStarted,
)
from assay.observe.saying import say

_LEFT_OUT = ("totals", "started_at", "ended_at")
"""What stands in the run's record and would only lengthen the lines."""


def json_log(*, tracebacks: bool = False) -> Observer:
    """Return an observer that writes each event as one line, with the tracebacks of failed tables if wanted."""

    def tell(event: Event) -> None:
        line = _document(event)
        if tracebacks and isinstance(event, NodeEnded) and event.node.traceback:
            line["traceback"] = event.node.traceback
        _write(event.at, line)

    return tell


def log_error(message: str, *, exit_code: int, traceback: str | None = None) -> None:
    """Write an error that ended a command as a line of the log."""
    line = {"event": "error", "error": message, "exit_code": exit_code}
    _write(dt.datetime.now(dt.UTC), line | ({"traceback": traceback} if traceback else {}))


def _write(at: dt.datetime, line: dict[str, Any]) -> None:
    time = at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    say(json.dumps({"time": time, **line}, ensure_ascii=False))


def _document(event: Event) -> dict[str, Any]:
    match event:
        case RunStarted():
            about = {"pipeline": event.pipeline, "run": event.run}
            return {"event": "run_started", **about, "as_of": event.as_of.isoformat(), "nodes": event.nodes}
        case NodeStarted():
            about = {"pipeline": event.pipeline, "run": event.run}
            return {"event": "node_started", **about, "node": event.name, "kind": event.kind}
        case NodeEnded():
            about = {"pipeline": event.pipeline, "run": event.run, "node": event.node.name, "kind": event.kind}
            did = {name: value for name, value in event.node.to_json().items() if name not in _LEFT_OUT}
            return {"event": "node_ended", **about, **did}
        case RunEnded(result=result):
            told = {
                name: value for name, value in result.to_json().items() if name not in ("tables", "steps", "warnings")
            }
            return {"event": "run_ended", **told}
        case _:
            return _document_of_workflow(event)


def _document_of_workflow(event: WorkflowEvent) -> dict[str, Any]:
    if isinstance(event, WorkflowEnded):
        told = {name: value for name, value in event.result.to_json().items() if name != "phases"}
        return {"event": "workflow_ended", **told}
    about = {"workflow": event.workflow, "run": event.run}
    match event:
        case WorkflowStarted(phases=phases):
            return {"event": "workflow_started", **about, "as_of": event.as_of.isoformat(), "phases": list(phases)}
        case PhaseStarted():
            return {"event": "phase_started", **about, "phase": event.phase, "units": list(event.units)}
        case UnitEnded(unit=unit):
            did = {"of_run" if name == "run" else name: value for name, value in unit.to_json().items()}
            told = {name: value for name, value in did.items() if name not in _LEFT_OUT}
            return {"event": "unit_ended", **about, "phase": event.phase, "unit": unit.name, **told}
        case PhaseEnded():
            return {"event": "phase_ended", **about, "phase": event.phase, "ok": event.ok}
        case _:
            assert_never(event)
