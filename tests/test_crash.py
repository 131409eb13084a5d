"""A run that is killed or interrupted has published nothing or everything, and the next one completes it at once."""

from __future__ import annotations

import signal
import time
from datetime import date
from pathlib import Path
from random import Random

import pytest

import assay
from assay.settings import Settings
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.conformance.processes import (
    AS_OF,
    Moment,
    content,
    finished,
    has_metadata,
    has_run,
    has_staged,
    ride_run,
    rows_of,
    seen,
    started,
    stop_at,
)

ROWS = 2_000
FAULTS = pytest.mark.faults
INTERRUPTED = "assay: interrupted; nothing was published."
LOSES_A_SIGNAL = """
import os
import assay


class Freed:
    def __del__(self):
        os.kill(os.getpid(), {number})
        sum(1 for _ in range(1000))


@assay.table(key="id")
def bronze_order(orders):
    return orders


shop = assay.Pipeline(
    "shop", tables=[bronze_order], sources={{"orders": assay.csv("order.csv", columns={{"id": "BIGINT"}})}}
)
Freed()
"""
"""A pipeline whose module interrupts the command where Python throws away what is raised."""
MOMENTS: dict[str, Moment] = {
    "the lake is being made": lambda lake: (lake / "catalog.db").exists(),
    "the run has begun": has_run("staged"),
    "the source is staged": has_staged(1),
    "half of the tables are staged": has_staged(15),
    "all metadata is written": has_metadata(21),
    "it is published": has_run("published"),
}
_DICE = Random(20241201)
DELAYS = [round(_DICE.uniform(0.05, 1.0), 3) for _ in range(2)]
"""Parts of the length of an undisturbed run."""


class Sample:
    """Two deliveries of one file, and what the tables hold after each where nothing went wrong."""

    def __init__(self, folder: Path) -> None:
        self.first = generate(folder / "first", rows=ROWS)["bookings"]
        self.second = generate(folder / "second", rows=ROWS, seed=7)["bookings"]
        lake = folder / "lake"
        began = time.monotonic()
        run(self.first, lake)
        self.seconds = time.monotonic() - began
        self.after_first = seen(lake)
        run(self.second, lake)
        self.after_second = seen(lake)


def run(file: Path, lake: Path) -> assay.RunResult:
    """Run in this process, and fail at once rather than wait for a lease."""
    result = assay.run(
        ride_bookings,
        warehouse=lake,
        sources={"bookings": file},
        as_of=date.fromisoformat(AS_OF),
        settings=Settings(when_busy="stop"),
    )
    assert result.ok, result.problems
    return result


def killed(moment: Moment, file: Path, lake: Path) -> None:
    with started(*ride_run(file, lake), when_busy="stop") as process:
        assert stop_at(moment, lake, process), "the run ended before"


def states(lake: Path) -> list[tuple[str, int]]:
    """The states of all runs, the oldest first, with how many problems each has."""
    return [(past.state, len(past.problems)) for past in reversed(assay.history(lake))]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("sample"))


def test_the_comparison_sees_21_tables_that_differ_between_the_deliveries(sample: Sample) -> None:
    assert len(sample.after_first) == len(sample.after_second) == 21
    same = {table for table, rows in sample.after_first.items() if rows == sample.after_second[table]}
    assert same <= {f"silver_{name}" for name in ("vehicle_type", "location", "booking_status", "payment_method")}
    assert len(sample.after_first["bronze_booking"]) == 1_984


@pytest.mark.parametrize(
    "moment", [pytest.param(m, marks=() if m == "half of the tables are staged" else FAULTS) for m in MOMENTS]
)
def test_a_run_killed_when(sample: Sample, tmp_path: Path, moment: str) -> None:
    lake = tmp_path / "lake"
    killed(MOMENTS[moment], sample.first, lake)
    left = seen(lake)
    assert left in ({}, sample.after_first)
    again = run(sample.first, lake)
    assert seen(lake) == sample.after_first
    if left:
        assert (again.state, states(lake)) == ("unchanged", [("published", 0)])
    else:
        begun = len(assay.history(lake)) - 1
        assert (again.state, states(lake)) == ("published", [("failed", 1)] * begun + [("published", 0)])


@FAULTS
@pytest.mark.parametrize("part", DELAYS)
def test_a_run_killed_after_this_part_of_its_time(sample: Sample, tmp_path: Path, part: float) -> None:
    lake = tmp_path / "lake"
    with started(*ride_run(sample.first, lake)) as process:
        until = time.monotonic() + part * sample.seconds
        stop_at(lambda _: time.monotonic() >= until, lake, process)
        process.wait()
    assert seen(lake) in ({}, sample.after_first)
    run(sample.first, lake)
    assert seen(lake) == sample.after_first


@FAULTS
def test_a_run_killed_twice_in_a_row_is_completed_by_the_third(sample: Sample, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    killed(has_staged(8), sample.first, lake)
    killed(has_metadata(9), sample.first, lake)
    assert seen(lake) == {}
    run(sample.first, lake)
    assert seen(lake) == sample.after_first
    assert states(lake) == [("failed", 1), ("failed", 1), ("published", 0)]


@FAULTS
def test_a_run_with_a_new_delivery_killed_as_it_publishes(sample: Sample, tmp_path: Path) -> None:
    lake, delivered = tmp_path / "lake", tmp_path / sample.first.name
    delivered.write_bytes(sample.first.read_bytes())
    run(delivered, lake)
    with assay.connect(lake) as before:
        delivered.write_bytes(sample.second.read_bytes())
        killed(has_metadata(30), delivered, lake)
        assert seen(lake) in (sample.after_first, sample.after_second)
        run(delivered, lake)
        assert seen(lake) == sample.after_second
        assert content(before) == sample.after_first


@FAULTS
@pytest.mark.parametrize("moment", [has_staged(1), has_staged(20)], ids=["it has begun", "it is well under way"])
def test_a_run_interrupted_when(sample: Sample, tmp_path: Path, moment: Moment) -> None:
    lake = tmp_path / "lake"
    with started(*ride_run(sample.first, lake)) as process:
        assert stop_at(moment, lake, process, signal.SIGINT), "the run ended before"
        end = finished(process)
    assert (end.returncode, end.stdout, end.stderr.splitlines()[-1]) == (130, "", INTERRUPTED)
    assert seen(lake) == {}
    (past,) = assay.history(lake)
    assert (past.state, past.problems) == ("failed", ("it was interrupted",))
    assert rows_of(lake, "select run from assay_lease") == [(None,)], "the next run need not wait"
    # What it staged is kept for a resume until another run begins.
    assert run(sample.first, lake).state == "published"
    assert not list(lake.glob("_assay/runs/*"))


@FAULTS
def test_a_run_interrupted_in_the_moment_it_begins_is_out_of_the_way_of_the_next(
    sample: Sample, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    with started(*ride_run(sample.first, lake)) as process:
        assert stop_at(has_run("staged"), lake, process, signal.SIGINT), "the run ended before"
        end = finished(process)
    assert (end.returncode, end.stdout, end.stderr.splitlines()[-1]) == (130, "", INTERRUPTED)
    assert run(sample.first, lake).state == "published"
    assert states(lake) == [("failed", 1), ("published", 0)]


def test_an_interrupt_before_anything_has_begun_is_told_in_one_line(sample: Sample, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with started(*ride_run(sample.first, lake)) as process:
        # It has not come far, on a crowded machine perhaps further than this.
        assert stop_at(lambda _: (lake / "catalog.db").exists(), lake, process, signal.SIGINT)
        end = finished(process)
    assert (end.returncode, end.stdout) == (130, "")
    assert end.stderr.splitlines()[-1] == INTERRUPTED
    assert "Traceback" not in end.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_comes_as_python_frees_an_object_ends_the_run_too(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "shop.py").write_text(LOSES_A_SIGNAL.format(number=int(number)))
    (tmp_path / "order.csv").write_text("id\n1\n")
    with started("run", "shop:shop", "--warehouse", "lake", cwd=tmp_path) as process:
        end = finished(process)
    assert (end.returncode, end.stdout) == (128 + number, "")
    assert end.stderr.splitlines()[-1] == INTERRUPTED
    assert "ignored" not in end.stderr
    assert seen(tmp_path / "lake") == {}


@FAULTS
def test_an_interrupt_after_the_publish_does_not_claim_that_nothing_was_published(
    sample: Sample, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    with started(*ride_run(sample.first, lake)) as process:
        assert stop_at(has_run("published"), lake, process, signal.SIGINT), "the run ended before"
        end = finished(process)
    assert seen(lake) == sample.after_first
    assert "nothing was published" not in end.stderr
    assert "Traceback" not in end.stderr
