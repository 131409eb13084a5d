"""A workflow for people: its phases, what stood side by side in each and when, and what was wrong."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from assay.model.outcome import UnitRun, WorkflowResult
from assay.observe.summary import aligned, counted

_HEAD = ("kind", "from", "to", "seconds", "")


def phases(result: WorkflowResult) -> str:
    """Return the text that `assay run` prints of a workflow; times count from its beginning, in seconds."""
    begun = min((unit.started_at for unit in _all(result) if unit.started_at), default=dt.datetime.now(dt.UTC))
    rows = list(_rows(result, begun, ""))
    lines = [f"{result.workflow}, as of {result.as_of}, run {result.run}", "", *aligned(rows, left=(0, 1, 5))]
    lines += [f"problem: {text}" for text in result.problems]
    return "\n".join([*lines, _last_line(result)])


def _all(result: WorkflowResult) -> Iterator[UnitRun]:
    """Yield every step, and those of workflows in it: a resume shows what they did before it, too."""
    for unit in result.units.values():
        yield unit
        if isinstance(unit.result, WorkflowResult):
            yield from _all(unit.result)


def _rows(result: WorkflowResult, begun: dt.datetime, indent: str) -> Iterator[tuple[str, ...]]:
    for phase, units in result.phases.items():
        yield (f"{indent}{phase}", *(_HEAD if not indent else ("",) * len(_HEAD)))
        for unit in units:
            yield (f"{indent}  {unit.name}", unit.kind, *_times(unit, begun), _note(unit))
            if isinstance(unit.result, WorkflowResult):
                yield from _rows(unit.result, begun, f"{indent}    ")
        if not indent:
            yield ("",) * (len(_HEAD) + 1)


def _times(unit: UnitRun, begun: dt.datetime) -> tuple[str, str, str]:
    if unit.started_at is None or unit.ended_at is None:
        return ("-", "-", "-")
    start, end = ((at - begun).total_seconds() for at in (unit.started_at, unit.ended_at))
    return (f"{start:.2f}", f"{end:.2f}", f"{unit.seconds:.2f}")


def _note(unit: UnitRun) -> str:
    run = f", run {unit.run}" if unit.run is not None else ""
    tries = f" ({unit.attempts} attempts)" if unit.attempts > 1 else ""
    why = f": {unit.error}" if unit.error and unit.kind == "task" else ""
    return f"{unit.status}{run}{tries}{why}"


def _last_line(result: WorkflowResult) -> str:
    if result.ok:
        return f"done: {counted(len(result.phases), 'phase')} in {result.seconds:.1f} s"
    named = ", ".join(unit.name for unit in result.units.values() if unit.status == "failed")
    because = f" because of {named}" if named else ""
    blocked = any(unit.status == "blocked" for unit in result.units.values())
    return f"failed{because}{': what follows was not begun' if blocked else ''} ({result.seconds:.1f} s)"
