"""Workflows in this process: phases in order, side by side within one, and what a resume does again."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import assay
from assay import DeclarationError, Pipeline, TaskRun, UsageError, Workflow, part, task
from assay.model.errors import LeaseError
from assay.model.event import Event, PhaseEnded, PhaseStarted, RunStarted
from assay.settings import Settings
from tests.orchestrators.flows import DAY, QUICK, deliver, pipeline


def statuses(result: assay.WorkflowResult) -> dict[str, str]:
    return {name: unit.status for name, unit in result.units.items()}


@pytest.mark.row("001-01", "001-19")
def test_a_phase_runs_side_by_side_and_the_next_begins_when_all_of_it_has_ended(tmp_path: Path) -> None:
    deliver("orders", tmp_path, 10, 20, 30)
    both, told = threading.Barrier(2, timeout=30), []

    @task()
    def early() -> dict[str, Any]:
        both.wait()
        return {"checked": 3}

    @task()
    def beside() -> None:
        both.wait()

    @task()
    def late(run: TaskRun) -> dict[str, Any]:
        with assay.connect(run.warehouse) as lake:
            total = lake.execute("select sum(amount) from gold.orders").fetchone()
        told.append(run)
        return {"total": int(total[0]) if total else 0}

    flow = Workflow("nightly", phases={"before": [early, beside, pipeline("orders", tmp_path)], "after": [late]})
    events: list[Event] = []
    result = assay.run_workflow(flow, warehouse=tmp_path / "lake", as_of=DAY, settings=QUICK, observers=[events.append])
    assert (result.ok, set(statuses(result).values())) == (True, {"done"})
    units = result.units
    starts, ends = ({n: getattr(u, at) for n, u in units.items()} for at in ("started_at", "ended_at"))
    assert max(starts["early"], starts["beside"]) < min(ends["early"], ends["beside"])
    assert max(ends[name] for name in ("early", "beside", "orders")) <= starts["late"]
    assert (units["early"].value, units["late"].value) == ({"checked": 3}, {"total": 60})
    assert (told[0].workflow, told[0].as_of, told[0].returned) == (
        "nightly",
        DAY,
        {"early": {"checked": 3}, "beside": None},
    )
    assert [(e.phase, type(e).__name__) for e in events if isinstance(e, PhaseStarted | PhaseEnded)] == [
        ("before", "PhaseStarted"),
        ("before", "PhaseEnded"),
        ("after", "PhaseStarted"),
        ("after", "PhaseEnded"),
    ]
    assert [(run.pipeline, run.state) for run in assay.history(tmp_path / "lake")] == [
        ("orders", "published"),
        ("nightly", "done"),
    ]


def test_what_fails_lets_the_others_of_its_phase_end_and_a_resume_does_that_and_what_follows(tmp_path: Path) -> None:
    deliver("good", tmp_path, 1, 2)
    calls: list[str] = []

    @task()
    def check() -> None:
        calls.append("check")

    @task()
    def report() -> None:
        calls.append("report")

    flow = Workflow(
        "nightly",
        phases={"load": [check, pipeline("good", tmp_path), pipeline("bad", tmp_path)], "tell": [report]},
    )
    where: dict[str, Any] = {"warehouse": tmp_path / "lake", "settings": QUICK}
    failed = assay.run_workflow(flow, as_of=DAY, **where)
    assert statuses(failed) == {"check": "done", "good": "done", "bad": "failed", "report": "blocked"}
    assert (failed.state, len(failed.problems), "bad.csv" in failed.problems[0]) == ("failed", 1, True)
    deliver("bad", tmp_path, 5)
    resumed = assay.resume_workflow(flow, **where)
    assert (resumed.run, resumed.as_of, set(statuses(resumed).values())) == (failed.run, DAY, {"done"})
    assert calls == ["check", "report"]
    assert resumed.units["good"] == failed.units["good"].from_json("good", failed.units["good"].to_json())
    with pytest.raises(
        UsageError, match=f"Run {failed.run}, the newest of nightly, is done; there is nothing to resume"
    ):
        assay.resume_workflow(flow, **where)


def test_a_run_in_a_phase_is_resumed_as_itself(tmp_path: Path) -> None:
    deliver("orders", tmp_path, 1, 2, "3")
    broken = Workflow("nightly", phases={"load": [Workflow("inner", phases={"load": [failing(tmp_path)]})]})
    where: dict[str, Any] = {"warehouse": tmp_path / "lake", "settings": QUICK}
    failed = assay.run_workflow(broken, as_of=DAY, **where)
    assert statuses(failed) == {"inner": "failed"}
    assert "gold_orders failed" in failed.problems[0]
    mended = Workflow("nightly", phases={"load": [Workflow("inner", phases={"load": [pipeline("orders", tmp_path)]})]})
    assert assay.resume_workflow(mended, **where).ok
    assert [(run.id, run.pipeline, run.state) for run in assay.history(tmp_path / "lake")] == [
        (3, "orders", "published"),
        (2, "inner", "done"),
        (1, "nightly", "done"),
    ]


def failing(folder: Path) -> Pipeline:
    """The pipeline of the orders, with a gold table that cannot be computed."""
    whole = pipeline("orders", folder)
    broken = assay.table(rows=assay.free("it fails"))(
        lambda bronze_orders: assay.sql("select cast('C' || id as bigint) as name from b", b=bronze_orders)
    ).named("gold_orders")
    return Pipeline("orders", tables=[whole.tables["bronze_orders"], broken], sources=whole.sources)


def test_a_run_that_was_stopped_before_it_had_a_plan_is_made_anew(tmp_path: Path) -> None:
    deliver("orders", tmp_path, 1)
    flow = Workflow("nightly", phases={"load": [pipeline("orders", tmp_path)]})
    where: dict[str, Any] = {"warehouse": tmp_path / "lake", "settings": QUICK}

    def stop(event: Event) -> None:
        if isinstance(event, RunStarted):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assay.run_workflow(flow, observers=[stop], **where)
    assert assay.resume_workflow(flow, **where).ok
    assert [(run.id, run.pipeline, run.state) for run in assay.history(tmp_path / "lake")] == [
        (3, "orders", "published"),
        (2, "orders", "failed"),
        (1, "nightly", "done"),
    ]


@pytest.mark.row("001-04")
def test_a_task_is_tried_again_as_it_says_and_its_errors_are_told(tmp_path: Path) -> None:
    tries: list[int] = []

    @task(retries=2, retry_seconds=0.01)
    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise OSError(f"try {len(tries)}")
        return len(tries)

    @task(retries=1, retry_seconds=0.01)
    def never() -> None:
        raise OSError("gone")

    @task(retries=5)
    def odd() -> Any:
        return {1, 2}

    result = assay.run_workflow(
        Workflow("nightly", phases={"work": [flaky, never]}), warehouse=tmp_path / "lake", settings=QUICK
    )
    once, other = result.units["flaky"], result.units["never"]
    assert (once.status, once.value, once.attempts, once.retried) == (
        "done",
        3,
        3,
        ("OSError: try 1", "OSError: try 2"),
    )
    assert (other.status, other.error, other.attempts, other.retried) == (
        "failed",
        "OSError: gone",
        2,
        ("OSError: gone",),
    )
    assert result.problems == ("never failed: OSError: gone",)


@pytest.mark.parametrize(("value", "kind"), [({1, 2}, "set"), (float("nan"), "float"), (b"x", "bytes")])
def test_what_a_task_returns_can_be_recorded(tmp_path: Path, value: Any, kind: str) -> None:
    @task()
    def odd() -> Any:
        return value

    result = assay.run_workflow(
        Workflow("nightly", phases={"work": [odd]}), warehouse=tmp_path / "lake", settings=QUICK
    )
    assert result.problems == (
        f"odd failed: odd returned a {kind}, which cannot be recorded; return what JSON has a word for.",
    )


@pytest.mark.parametrize("code", [0, 3])
def test_who_leaves_in_the_middle_has_not_done_it(tmp_path: Path, code: int) -> None:
    deliver("orders", tmp_path, 1)
    calls: list[str] = []

    @task(retries=2)
    def leaves() -> None:
        calls.append("leaves")
        sys.exit(code)

    @assay.table()
    def bronze_orders(rows: Any) -> Any:
        if calls:
            sys.exit(code)
        return rows

    late = Pipeline("late", tables=[bronze_orders], sources=pipeline("orders", tmp_path).sources)
    where: dict[str, Any] = {"warehouse": tmp_path / "lake", "settings": QUICK}
    result = assay.run_workflow(Workflow("nightly", phases={"work": [leaves], "load": [late]}), **where)
    assert (result.problems, calls) == ((f"leaves failed: SystemExit: {code}",), ["leaves"])
    result = assay.run_workflow(Workflow("later", phases={"load": [late]}), **where)
    assert f"bronze_orders: its function called sys.exit({code})" in result.problems[0]


def test_a_run_that_somebody_made_by_hand_is_not_taken_for_that_of_the_workflow(tmp_path: Path) -> None:
    deliver("orders", tmp_path, 1, 2, "3")
    where: dict[str, Any] = {"warehouse": tmp_path / "lake", "settings": QUICK}
    assert not assay.run_workflow(Workflow("nightly", phases={"load": [failing(tmp_path)]}), as_of=DAY, **where).ok
    bad = assay.run(failing(tmp_path), layers=["bronze", "gold"], as_of=DAY.replace(year=2020), **where)
    assert bad.state == "failed"
    assert assay.resume_workflow(Workflow("nightly", phases={"load": [pipeline("orders", tmp_path)]}), **where).ok
    newest = assay.history(tmp_path / "lake")[0]
    assert (newest.state, newest.as_of, set(newest.tables)) == (
        "published",
        DAY.isoformat(),
        {"bronze_orders", "gold_orders"},
    )


def test_a_step_whose_run_was_undone_is_done_again(tmp_path: Path) -> None:
    deliver("orders", tmp_path, 1, 2)

    @task()
    def report() -> None:
        if not (tmp_path / "well").exists():
            raise OSError("gone")

    flow = Workflow("nightly", phases={"load": [pipeline("orders", tmp_path)], "tell": [report]})
    where: dict[str, Any] = {"warehouse": tmp_path / "lake", "settings": QUICK}
    failed = assay.run_workflow(flow, **where)
    assert statuses(failed) == {"orders": "done", "report": "failed"}
    assay.undo(failed.units["orders"].run, **where)
    (tmp_path / "well").touch()
    deliver("orders", tmp_path, 1, 2, 3)
    assert assay.resume_workflow(flow, **where).ok
    with assay.connect(tmp_path / "lake") as lake:
        assert lake.execute("select sum(amount) from gold.orders").fetchall() == [(6,)]


def test_what_was_done_while_a_resume_waited_is_not_done_again(tmp_path: Path) -> None:
    calls: list[str] = []
    began, go = threading.Event(), threading.Event()

    @task()
    def one() -> None:
        calls.append("one")
        began.set()
        go.wait(30)

    @task()
    def two() -> None:
        calls.append("two")
        if calls.count("two") == 1:
            raise OSError("gone")

    flow = Workflow("nightly", phases={"a": [one], "b": [two]})
    where: dict[str, Any] = {"warehouse": tmp_path / "lake", "settings": replace(QUICK, busy_seconds=30)}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(assay.run_workflow, flow, **where)
        assert began.wait(30)
        again = pool.submit(assay.resume_workflow, flow, **where)
        # It has read the record by then, or does so later: then there is nothing to see.
        wait([again], timeout=1)
        go.set()
        assert (first.result().ok, again.result().ok) == (False, True)
    assert calls == ["one", "two", "two"]


def test_a_task_that_goes_to_another_folder_takes_nobody_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver("orders", tmp_path, 1)
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path)

    @task()
    def goes() -> None:
        os.chdir("else")

    flow = Workflow("nightly", phases={"before": [goes], "load": [pipeline("orders", tmp_path)]})
    assert assay.run_workflow(flow, warehouse="lake", settings=QUICK).ok
    assert [run.pipeline for run in assay.history(tmp_path / "lake")] == ["orders", "nightly"]
    assert not (tmp_path / "else" / "lake").exists()


@pytest.mark.row("001-17")
def test_another_flow_and_another_phase_are_a_line_each(tmp_path: Path) -> None:
    for name in ("orders", "returns"):
        deliver(name, tmp_path, 1)

    @task()
    def tell() -> str:
        return "told"

    few: dict[str, list[Any]] = {"load": [pipeline("orders", tmp_path)]}
    more = few | {"load": [*few["load"], pipeline("returns", tmp_path)]}
    longer = more | {"tell": [tell]}
    ran = [
        statuses(assay.run_workflow(Workflow("nightly", phases=phases), warehouse=tmp_path / "lake", settings=QUICK))
        for phases in (few, more, longer)
    ]
    assert ran == [
        dict.fromkeys(names, "done") for names in (["orders"], ["orders", "returns"], ["orders", "returns", "tell"])
    ]


def test_layers_of_one_pipeline_may_stand_in_two_phases(tmp_path: Path) -> None:
    deliver("orders", tmp_path, 1, 2)
    whole = pipeline("orders", tmp_path)
    flow = Workflow(
        "nightly",
        phases={
            "load": [part("loaded", whole, layers=["bronze"])],
            "sum": [part("summed", whole, select=["gold_orders"])],
        },
    )
    result = assay.run_workflow(flow, warehouse=tmp_path / "lake", settings=QUICK)
    runs = [unit.result for unit in result.units.values()]
    assert [
        [n for n, t in run.tables.items() if t.status == "written"] for run in runs if isinstance(run, assay.RunResult)
    ] == [
        ["bronze_orders"],
        ["gold_orders"],
    ]


def test_one_run_of_a_workflow_is_made_at_a_time(tmp_path: Path) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    @task()
    def slow() -> None:
        at_work.set()
        assert go_on.wait(30)

    flow = Workflow("nightly", phases={"work": [slow]})
    results: list[assay.WorkflowResult] = []
    first = threading.Thread(
        target=lambda: results.append(assay.run_workflow(flow, warehouse=tmp_path / "lake", settings=QUICK))
    )
    first.start()
    assert at_work.wait(30)
    with pytest.raises(LeaseError, match="Run 1 of nightly is still at work"):
        assay.run_workflow(flow, warehouse=tmp_path / "lake", settings=Settings(when_busy="stop"))
    go_on.set()
    first.join()
    assert [result.state for result in results] == ["done"]


def test_a_plan_says_what_each_step_would_do(tmp_path: Path) -> None:
    deliver("orders", tmp_path, 1)

    @task()
    def check() -> None:
        raise AssertionError("a plan calls no task")

    whole = pipeline("orders", tmp_path)
    flow = Workflow(
        "nightly",
        phases={
            "load": [check, part("loaded", whole, layers=["bronze"])],
            "sum": [part("summed", whole, layers=["gold"])],
        },
    )
    planned = assay.plan_workflow(flow, warehouse=tmp_path / "lake", settings=QUICK)
    assert [(unit.phase, unit.name, unit.what) for unit in planned] == [
        ("load", "check", "is called"),
        ("load", "loaded", "2 run, 1 skip"),
        ("sum", "summed", "is planned when load has ended"),
    ]
    assert not (tmp_path / "lake").exists()


def some() -> None:
    """A function that is no task."""


@pytest.mark.parametrize(
    ("declare", "why"),
    [
        (lambda: Workflow("a", phases={}), "The workflow a has no phase"),
        (lambda: Workflow("a", phases={"b": []}), "a: the phase 'b' has nothing to do"),
        (lambda: Workflow("a", phases={"b": [some]}), "in phase 'b' is no pipeline, part, task or workflow"),
        (lambda: Workflow("A", phases={"b": [task()(some)]}), "'A' is no name"),
        (lambda: Workflow("some", phases={"b": [task()(some)]}), "The workflow some: 'some' is the name of two things"),
        (lambda: Workflow("a", phases={"b": [one := task()(some)], "c": [one]}), "'some' is in it twice"),
        (
            lambda: Workflow("a", phases={"b": [WHOLE, part("gold", WHOLE, layers=["gold"])]}),
            "orders and gold in phase 'b' both run the pipeline orders",
        ),
        (lambda: Workflow("orders", phases={"b": [part("gold", WHOLE, layers=["gold"])]}), "'orders' is the name of a"),
        (lambda: task()(partial(some)), "a partial has no name. Write `def` around it"),
        (lambda: assay.table()(partial(some)), "stands above a function, after which the table is called"),
        (lambda: part("gold", WHOLE), "chooses nothing"),
        (lambda: part("gold", WHOLE, layers=["glod"]), "orders has no layer 'glod'. Did you mean 'gold'?"),
        (lambda: part("gold", WHOLE, select=["+gold_order"]), "no table '\\+gold_order'. Did you mean 'gold_orders'?"),
        (lambda: task()(lambda day: day), "a task has one parameter, 'run', or none; it knows no 'day'"),
        (lambda: task(retries=-1)(some), "retries= and retry_seconds= are 0 or more"),
        (lambda: task(some), "Write @task\\(\\) with its parentheses"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_when_it_is_declared(declare: Any, why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        declare()


WHOLE = pipeline("orders", Path())
