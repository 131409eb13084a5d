"""A run in parts, each with nothing but a ticket and the warehouse, is the run that one process would make."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from narwhals import col

import assay
from assay import assembly, free
from assay.model.errors import LeaseError, SourceError
from assay.model.pipeline import Pipeline
from assay.model.run import RunOptions, RunResult
from assay.orchestrators.apart import Apart
from assay.orchestrators.ticket import Ticket
from assay.settings import Settings
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.conformance.processes import ROOT, seen
from tests.orchestrators.orders import ROWS, orders

AS_OF = dt.date(2024, 12, 1)
SETTINGS = Settings(workers=1, when_busy="stop", retry_seconds=0.0)
ONE_STEP = """
import json, sys
from tests.orchestrators.test_apart import part, sample_pipeline
from assay.orchestrators.ticket import Ticket
lake, file, ticket, name = sys.argv[1:]
with part(lake) as apart:
    node = apart.do(sample_pipeline(file), Ticket.from_json(json.loads(ticket)), name)
print(node.status)
"""


@contextmanager
def part(lake: Path | str) -> Iterator[Apart]:
    """Open what a process of its own would have."""
    with closing(assembly.engine(SETTINGS, None)) as engine:
        yield Apart(engine, assembly.warehouse(SETTINGS, lake, create=True), SETTINGS)


def sample_pipeline(file: Path | str) -> Pipeline:
    return orders.reading({"orders": str(file)})


def begun(pipeline: Pipeline, lake: Path, origin: str = "") -> Ticket:
    with part(lake) as apart:
        return Ticket.from_json(apart.begin(pipeline, RunOptions(AS_OF, dated=True), origin).to_json())


def done(pipeline: Pipeline, lake: Path, ticket: Ticket, *names: str) -> list[str]:
    found = []
    for name in names:
        with part(lake) as apart:
            found.append(apart.do(pipeline, ticket, name).status)
    return found


def ended(pipeline: Pipeline, lake: Path, ticket: Ticket) -> RunResult:
    with part(lake) as apart:
        return apart.end(pipeline, ticket)


def in_parts(pipeline: Pipeline, lake: Path) -> RunResult:
    ticket = begun(pipeline, lake)
    done(pipeline, lake, ticket, *pipeline.sources, *pipeline.nodes)
    return ended(pipeline, lake, ticket)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "orders.csv"
    place.write_text(ROWS)
    return place


def whole(pipeline: Pipeline, lake: Path) -> Any:
    """Return what a run in one process publishes."""
    assert assay.run(pipeline, warehouse=lake, as_of=AS_OF, settings=SETTINGS).ok
    return seen(lake)


@pytest.mark.parametrize("rides", [False, pytest.param(True, marks=pytest.mark.faults)], ids=["orders", "rides"])
def test_a_run_in_parts_publishes_what_one_process_would(file: Path, tmp_path: Path, rides: bool) -> None:
    pipeline, lake = sample_pipeline(file), tmp_path / "lake"
    if rides:
        pipeline = ride_bookings.reading({"bookings": str(generate(tmp_path / "sample", rows=500)["bookings"])})
    result = in_parts(pipeline, lake)
    assert (result.state, len(result.tables), result.problems) == ("published", 21 if rides else 4, ())
    assert seen(lake) == whole(pipeline, tmp_path / "whole")
    assert {node.attempts for node in result.tables.values()} == {1}
    again = in_parts(pipeline, lake)
    assert (again.state, again.run) == ("unchanged", None)
    assert len(assay.history(lake)) == 1


def test_a_step_is_done_by_another_process_and_twice_is_once(file: Path, tmp_path: Path) -> None:
    lake, pipeline = tmp_path / "lake", sample_pipeline(file)
    ticket = begun(pipeline, lake)
    names = (*pipeline.sources, *pipeline.nodes)
    assert done(pipeline, lake, ticket, "orders") == ["computed"]
    command = [sys.executable, "-c", ONE_STEP, str(lake), str(file), json.dumps(ticket.to_json()), "bronze_order"]
    other = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (other.stdout.strip(), other.returncode) == ("written", 0), other.stderr
    assert done(pipeline, lake, ticket, *names[1:], "gold_day") == ["written"] * 5
    assert ended(pipeline, lake, ticket).state == "published"
    assert seen(lake) == whole(pipeline, tmp_path / "whole")
    told = ended(pipeline, lake, ticket)
    assert (told.state, told.run, len(assay.history(lake))) == ("published", ticket.run, 1)


def test_while_no_process_has_it_in_hand_no_other_run_begins_until_it_is_given_up(file: Path, tmp_path: Path) -> None:
    lake, pipeline = tmp_path / "lake", sample_pipeline(file)
    ticket = begun(pipeline, lake)
    done(pipeline, lake, ticket, *pipeline.sources)
    with pytest.raises(LeaseError, match="is still at work"):
        begun(pipeline, lake)
    with part(lake) as apart:
        apart.abandon(ticket, "it was cancelled")
    assert [past.problems for past in assay.history(lake)] == [("it was cancelled",)]
    assert in_parts(pipeline, lake).state == "published"
    with pytest.raises(LeaseError, match="was followed by another"):
        done(pipeline, lake, ticket, "bronze_order")
    with part(lake) as apart:
        apart.abandon(ticket, "too late")
    assert assay.history(lake)[0].state == "published"


def test_a_step_that_fails_lets_nothing_be_published_and_a_resume_does_the_rest(file: Path, tmp_path: Path) -> None:
    lake, pipeline = tmp_path / "lake", sample_pipeline(file)
    ticket = begun(pipeline, lake)
    done(pipeline, lake, ticket, "orders", "bronze_order")
    result = ended(pipeline, lake, ticket)
    assert (result.state, result.problems) == ("failed", ("silver_order failed: it was not done",))
    assert (result.tables["bronze_order"].status, result.tables["gold_day"].status) == ("written", "blocked")
    assert seen(lake) == {}
    resumed = assay.resume(pipeline, warehouse=lake, settings=SETTINGS)
    assert (resumed.state, resumed.run) == ("published", ticket.run)
    assert resumed.tables["bronze_order"].started_at == result.tables["bronze_order"].started_at


def test_a_source_that_is_gone_fails_its_step_and_the_end_tells_why(file: Path, tmp_path: Path) -> None:
    lake, pipeline = tmp_path / "lake", sample_pipeline(file)
    ticket = begun(pipeline, lake)
    file.unlink()
    with pytest.raises(SourceError):
        done(pipeline, lake, ticket, "orders")
    result = ended(pipeline, lake, ticket)
    assert result.state == "failed"
    assert result.problems[0].startswith("orders failed: ")
    assert result.nodes["bronze_order"].status == "blocked"


def test_a_function_that_is_another_here_is_refused(file: Path, tmp_path: Path) -> None:
    lake, pipeline = tmp_path / "lake", sample_pipeline(file)
    ticket = begun(pipeline, lake)
    other = replace(pipeline.tables["gold_day"], rows=free("nobody counts"))
    changed = Pipeline(
        pipeline.name,
        tables=[other if name == other.name else node for name, node in pipeline.nodes.items()],
        sources=pipeline.sources,
    )
    with pytest.raises(assay.UsageError, match="gold_day is not here what it was where the run began"):
        done(changed, lake, ticket, "orders")


def test_what_others_have_published_meanwhile_ends_the_run(file: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    pipeline = sample_pipeline(file)
    ticket = begun(pipeline, lake)
    with part(lake) as apart:
        # As if its lease had run out: another run takes over, and is not yet followed by this one's ticket.
        apart.abandon(ticket, "it was silent for too long")
    assert in_parts(pipeline, lake).ok
    with pytest.raises(LeaseError, match="publishes nothing"):
        ended(pipeline, lake, ticket)
    assert [past.state for past in assay.history(lake)] == ["published", "failed"]


def test_a_run_that_is_begun_twice_for_one_origin_is_one_run_and_what_was_done_is_told_again(
    file: Path, tmp_path: Path
) -> None:
    lake, pipeline = tmp_path / "lake", sample_pipeline(file)
    first = begun(pipeline, lake, "the flow run 7")
    assert first.steps == ("orders", "bronze_order", "silver_order", "gold_customer", "gold_day")
    with part(lake) as apart:
        bronze = [apart.do(pipeline, first, name) for name in ("orders", "bronze_order")][1]
    assert begun(pipeline, lake, "the flow run 7") == first
    with part(lake) as apart:
        again = apart.do(pipeline, first, "bronze_order")
    assert (again.started_at, again.rows) == (bronze.started_at, 3)
    done(pipeline, lake, first, *first.steps)
    assert ended(pipeline, lake, first).state == "published"
    assert begun(pipeline, lake, "the flow run 7") == first
    assert done(pipeline, lake, first, "gold_day") == ["skipped"]
    assert (ended(pipeline, lake, first).state, len(assay.history(lake))) == ("published", 1)
    assert begun(pipeline, lake, "the flow run 8").run is None


def test_a_failed_run_is_opened_again_by_the_step_that_is_done_anew_and_keeps_the_others(
    file: Path, tmp_path: Path
) -> None:
    lake, pipeline = tmp_path / "lake", sample_pipeline(file)
    ticket = begun(pipeline, lake)
    done(pipeline, lake, ticket, "orders", "bronze_order", "silver_order", "gold_customer")
    failed = ended(pipeline, lake, ticket)
    assert failed.problems == ("gold_day failed: it was not done",)
    with ThreadPoolExecutor(4) as pool:
        several = pool.map(lambda _: done(pipeline, lake, ticket, "gold_day"), range(4))
        assert list(several) == [["written"]] * 4
    result = ended(pipeline, lake, ticket)
    assert (result.state, result.run, result.problems) == ("published", failed.run, ())
    assert result.tables["gold_customer"].started_at == failed.tables["gold_customer"].started_at
    assert seen(lake) == whole(pipeline, tmp_path / "whole")


def over_a_view(day: Any) -> Pipeline:
    """Orders of which one table is made through a view, and another from `day`."""

    @assay.view()
    def doubled(bronze_order: Any) -> Any:
        return bronze_order.with_columns(twice=col("amount") * 2)

    @assay.table(rows=free("some columns"))
    def gold_twice(doubled: Any) -> Any:
        return doubled.select("id", "twice")

    tables = [orders.tables["bronze_order"], doubled, gold_twice, assay.table(rows=free("a day each"))(day)]
    return Pipeline("orders", tables=tables, sources=orders.sources)


def test_what_a_table_above_a_view_did_stands_where_another_is_done_again(file: Path, tmp_path: Path) -> None:
    """Nobody records a view that is left to the tables that need it."""

    def gold_first(bronze_order: Any) -> Any:
        return assay.sql("select id, cast(substr(customer, 2) as bigint) as n from b", b=bronze_order)

    broken = over_a_view(gold_first).reading({"orders": str(file)})

    def gold_first(bronze_order: Any) -> Any:  # type: ignore[no-redef]
        return assay.sql("select id, length(customer) as n from b", b=bronze_order)

    pipeline, lake = over_a_view(gold_first).reading({"orders": str(file)}), tmp_path / "lake"
    assert assay.run(pipeline, warehouse=lake, settings=SETTINGS).ok
    file.write_text(f"{ROWS}4,Cleo,2024-11-02,1.00\n")
    ticket = begun(broken, lake, "the flow run 7")
    assert set(done(broken, lake, ticket, *ticket.steps)) >= {"failed", "written"}
    assert ended(broken, lake, ticket).state == "failed"
    assert begun(pipeline, lake, "the flow run 7") == ticket
    done(pipeline, lake, ticket, "gold_first")
    result = ended(pipeline, lake, ticket)
    assert (result.problems, result.tables["gold_twice"].status) == ((), "written")
    with assay.connect(lake) as reader:
        assert reader.execute("select count(*) from gold.twice").fetchall() == [(4,)]


def test_what_no_longer_stands_is_done_again_before_anything_is_published(file: Path, tmp_path: Path) -> None:
    lake, pipeline = tmp_path / "lake", sample_pipeline(file)
    ticket = begun(pipeline, lake)
    done(pipeline, lake, ticket, "orders", "bronze_order", "silver_order", "gold_customer")
    assert ended(pipeline, lake, ticket).state == "failed"
    (staged,) = (lake / "silver").rglob("*.parquet")
    staged.write_bytes(staged.read_bytes()[:-10])
    # Airflow's way: just what failed is cleared.
    with pytest.raises(assay.RunError, match="gold_day reads silver_order, which is to be done first, or done again"):
        done(pipeline, lake, ticket, "gold_day")
    failed = ended(pipeline, lake, ticket)
    assert (failed.state, failed.problems[0]) == ("failed", "silver_order failed: it was not done")
    done(pipeline, lake, ticket, *ticket.steps)
    assert ended(pipeline, lake, ticket).state == "published"
    assert seen(lake) == whole(pipeline, tmp_path / "whole")


def test_of_a_step_that_is_done_twice_at_once_the_record_is_that_of_the_rows_that_stand(
    file: Path, tmp_path: Path
) -> None:
    """As where an orchestrator takes a process for dead that goes on."""
    began, go, calls = threading.Event(), threading.Event(), list[int]()

    @assay.table(rows=free("one row of the first who calls, all of the second"))
    def gold_some(bronze_order: Any) -> Any:
        if not (rows := bronze_order.collect()).is_empty():
            calls.append(1)
            if len(calls) == 1:
                began.set()
                go.wait(30)
                return bronze_order.filter(col("id") == rows["id"][0])
        return bronze_order

    declared = Pipeline("orders", tables=[orders.tables["bronze_order"], gold_some], sources=orders.sources)
    pipeline, lake = declared.reading({"orders": str(file)}), tmp_path / "lake"
    ticket = begun(pipeline, lake)
    done(pipeline, lake, ticket, "orders", "bronze_order")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(done, pipeline, lake, ticket, "gold_some")
        assert began.wait(30)
        assert done(pipeline, lake, ticket, "gold_some") == ["written"]
        go.set()
        assert first.result() == ["written"]
    result = ended(pipeline, lake, ticket)
    with assay.connect(lake) as reader:
        assert reader.execute("select count(*) from gold.some").fetchall() == [(3,)]
    assert (result.state, result.tables["gold_some"].ledger.written) == ("published", 3)


def test_a_failed_run_whose_functions_changed_is_not_gone_on_with_but_made_anew(file: Path, tmp_path: Path) -> None:
    lake, pipeline = tmp_path / "lake", sample_pipeline(file)
    ticket = begun(pipeline, lake, "the flow run 7")
    done(pipeline, lake, ticket, *pipeline.sources, *pipeline.nodes)
    with part(lake) as apart:
        apart.abandon(ticket, "it was cancelled")
    changed = Pipeline(
        pipeline.name,
        tables=[replace(node, rows=free("nobody counts")) for node in pipeline.tables.values()],
        sources=pipeline.sources,
    )
    with pytest.raises(assay.UsageError, match="changed"):
        done(changed, lake, ticket, "gold_day")
    anew = begun(changed, lake, "the flow run 7")
    assert anew.run != ticket.run
    done(changed, lake, anew, *anew.steps)
    assert ended(changed, lake, anew).state == "published"


def test_a_run_that_is_attended_to_belongs_to_that_process_and_ends_with_its_error(file: Path, tmp_path: Path) -> None:
    lake, pipeline = tmp_path / "lake", sample_pipeline(file)
    with closing(assembly.engine(SETTINGS, None)) as engine:
        warehouse = assembly.warehouse(SETTINGS, lake, create=True)
        apart = Apart(engine, warehouse, SETTINGS, attended=True)
        ticket = apart.begin(pipeline, RunOptions(AS_OF, dated=True), "the flow run 7")
        apart.do(pipeline, ticket, "orders")
        with pytest.raises(ZeroDivisionError), apart.attending(ticket):
            1 / 0  # noqa: B018
        assert [past.problems for past in assay.history(lake)] == [("ZeroDivisionError: division by zero",)]
        assert apart.begin(pipeline, RunOptions(AS_OF, dated=True), "the flow run 7") == ticket
        with apart.attending(ticket):
            for name in ticket.steps:
                apart.do(pipeline, ticket, name)
            assert apart.end(pipeline, ticket).state == "published"
        with apart.attending(ticket):
            assert apart.end(pipeline, ticket).run == ticket.run
