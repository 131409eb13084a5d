"""Bars of numbers, a run each: where they stand in a picture of fixed size, which the page stretches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.model.past import PastRun

WIDTH, HEIGHT = 300.0, 60.0
_GAP, _LEAST = 2.0, 1.5
_WIDEST = 26.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, in the picture's own units."""

    x: float
    y: float
    width: float
    height: float
    run: int
    label: str
    """What it stands for, in words."""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars of one kind, oldest first."""

    title: str
    most: str
    """The highest value, as it is told beside the picture."""
    summary: str
    """What the chart shows, in a sentence, for those who do not see it."""
    bars: tuple[Bar, ...]


def of_runs(runs: Sequence[PastRun]) -> list[Chart]:
    """Return charts of the rows that runs changed, and of the seconds they took; `runs` come newest first."""
    ended = [run for run in reversed(runs) if run.seconds is not None]
    if len(ended) < 2:
        return []
    rows = [(r.id, float(changed(r)), f"{changed(r):,} rows", r) for r in ended]
    seconds = [(r.id, r.seconds or 0.0, f"{r.seconds or 0.0:.1f} s", r) for r in ended]
    return [_chart("Rows changed", rows), _chart("Seconds", seconds)]


def changed(run: PastRun) -> int:
    """Return how many rows of published tables are of a run, or were when it was undone."""
    return run.rows if run.published else 0


def of_versions(versions: Sequence[tuple[int, int, str | None]]) -> Chart | None:
    """Return a chart of a table's rows, a version each, oldest first."""
    newest = versions[-30:]
    if len(newest) < 2:
        return None
    return _chart("Rows", [(run, float(rows), f"{rows:,} rows", None) for run, rows, _ in newest])


def _chart(title: str, values: Sequence[tuple[int, float, str, PastRun | None]]) -> Chart:
    most = max(value for _, value, _, _ in values)
    step = min(WIDTH / len(values), _WIDEST)
    bars = []
    for n, (run, value, told, past) in enumerate(values):
        height = max(_LEAST, HEIGHT * value / most) if most else _LEAST
        state = past.state if past else ""
        label = f"run {run}: {told}{f', {state}' if state else ''}"
        bars.append(Bar(n * step, HEIGHT - height, max(1.0, step - _GAP), height, run, label, failed=state == "failed"))
    highest = next(told for _, value, told, _ in values if value == most)
    last = values[-1]
    summary = f"{title} of {len(values)} runs, {values[0][0]} to {last[0]}: at most {highest}, last {last[2]}."
    return Chart(title, highest, summary, tuple(bars))
