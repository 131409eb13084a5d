"""Workflows from the command line: what is printed, how commands end, and what a stop in mid run leaves."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

import assay
from tests.conformance.processes import call, finished, started
from tests.conformance.project import told

MODULE = '''
"""A workflow whose second phase takes as long as there is a file that says so."""

import time
from pathlib import Path

from narwhals import LazyFrame

from assay import Pipeline, Workflow, csv, task, table


@table()
def bronze_orders(orders: LazyFrame) -> LazyFrame:
    """Orders as delivered."""
    return orders


@task()
def check():
    """Count the calls."""
    with Path("calls").open("a") as calls:
        calls.write("check\\n")
    return {"checked": True}


@task()
def slow():
    """Wait for as long as it is told to."""
    Path("begun").touch()
    while Path("wait").exists():
        time.sleep(0.02)


orders = Pipeline("orders", tables=[bronze_orders], sources={"orders": csv("orders.csv", columns={"id": "BIGINT"})})
nightly = Workflow("nightly", phases={"load": [check, orders], "wait": [slow]})
'''
TOML = 'warehouse = "lake"\n\n[pipelines]\nnightly = "flows:nightly"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a workflow of two phases."""
    for name, text in {"flows.py": MODULE, "assay.toml": TOML, "orders.csv": "id\n1\n2\n"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.02)


@pytest.mark.row("001-13", "001-19")
def test_a_run_is_told_as_one_document_and_as_lines(project: Path) -> None:
    ended = call("run", "nightly", "--json", "--log", "lines", cwd=project)
    document = json.loads(ended.stdout)
    assert (ended.returncode, document["run"], document["state"], document["problems"]) == (0, 1, "done", [])
    load = document["phases"]["load"]["units"]
    assert (load["check"]["value"], load["orders"]["run"]) == ({"checked": True}, 2)
    assert load["orders"]["result"]["tables"]["bronze_orders"]["rows"] == 2
    said = ended.stderr.splitlines()
    assert said[0] == "--- nightly, phase load: check, orders ---"
    assert said[-1] == "--- nightly, phase wait: done ---"
    assert any(line.startswith("orders, run 2: done in ") for line in said)
    events = [json.loads(line) for line in call("run", "nightly", "--log", "json", cwd=project).stderr.splitlines()]
    assert [event["event"] for event in events if "phase" in event["event"] or "workflow" in event["event"]] == [
        "workflow_started",
        *("phase_started", "phase_ended") * 2,
        "workflow_ended",
    ]


def test_what_is_for_one_pipeline_is_refused_with_exit_code_2(project: Path) -> None:
    told(
        call("run", "nightly", "--layer", "bronze", cwd=project),
        2,
        "--layer is for one pipeline; nightly is a workflow",
    )
    told(call("bronze", "nightly", cwd=project), 2, "'nightly' is a workflow of pipelines")
    told(call("resume", "nightly", cwd=project), 2, "nightly has made no run here yet")


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_one_that_is_stopped_goes_on_where_it_was(project: Path, number: signal.Signals) -> None:
    (project / "wait").touch()
    with started("run", "nightly", cwd=project) as process:
        wait_for(project / "begun")
        process.send_signal(number)
        ended = finished(process)
    if number == signal.SIGKILL:
        assert ended.returncode == -number
    else:
        told(ended, 128 + number, "interrupted; what ended before is published, what was under way is not")
    (project / "wait").unlink()
    resumed = call("resume", "nightly", cwd=project)
    assert (resumed.returncode, resumed.stdout.splitlines()[-1].startswith("done: 2 phases")) == (0, True)
    assert (project / "calls").read_text().splitlines() == ["check"]


@pytest.mark.faults
def test_a_second_run_waits_for_the_first_or_stops_as_the_setting_says(project: Path) -> None:
    (project / "wait").touch()
    with started("run", "nightly", cwd=project) as first:
        wait_for(project / "begun")
        told(call("run", "nightly", cwd=project, when_busy="stop"), 1, "Run 1 of nightly is still at work")
        with started("run", "nightly", cwd=project) as second:
            time.sleep(1)
            (project / "wait").unlink()
            assert (finished(first).returncode, finished(second).returncode) == (0, 0)
    assert (project / "calls").read_text().splitlines() == ["check", "check"]


def test_python_finds_workflows_by_the_names_that_people_write(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(project)
    assert [unit.name for unit in assay.plan_workflow("nightly")] == ["check", "orders", "slow"]
    assert assay.run_workflow("nightly").ok
    with pytest.raises(assay.UsageError, match="nothing to resume"):
        assay.resume_workflow("flows:nightly")
    with pytest.raises(assay.DeclarationError, match="'flows:orders' is a pipeline, and no workflow of some"):
        assay.run_workflow("flows:orders")
