"""A pipeline as a DAG: what it shows, that it publishes what one process would, and what a failure leaves."""

from __future__ import annotations

import copy
import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pytest

import assay
from assay import DeclarationError, UsageError, part, task
from assay.orchestrators.airflow import to_dag
from assay.settings import Settings
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from pipelines.table_fleet import table_fleet
from pipelines.table_fleet.tables import TABLES
from tests.airflow.running import cleared, dag_of, run
from tests.airflow.slow import FOLDER as SLOW
from tests.conformance.processes import seen
from tests.orchestrators.flaky import FOLDER, MENDED, OUTCOMES, PASSWORD, attempts, flaky
from tests.orchestrators.orders import ROWS, orders

AS_OF = dt.date(2024, 12, 1)
QUICK = Settings(workers=1, retries=2, retry_seconds=0.0)
ORDERS = """
    from tests.orchestrators.orders import orders
    dag = to_dag(
        orders,
        schedule="0 2 * * *",
        warehouse={lake!r},
        sources={{"orders": {file!r}}},
        default_args=remembering({lake!r} + ".told"),
    )
"""
SLOWLY = """
    import datetime as dt
    from tests.airflow.slow import slow
    dag = to_dag(
        slow,
        warehouse={lake!r},
        sources={{"orders": {file!r}}},
        retries=1,
        retry_delay=dt.timedelta(0),
        timeout=dt.timedelta(seconds=2),
    )
"""
IN_TOKYO = """
    import datetime as dt
    from zoneinfo import ZoneInfo
    from tests.orchestrators.orders import orders
    start = dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))
    dag = to_dag(orders, warehouse={lake!r}, sources={{"orders": {file!r}}}, start_date=start)
"""
STEPS = ("aggregate_gold_customer", "aggregate_gold_day")
FLAKY = """
    import datetime as dt
    from tests.orchestrators.flaky import flaky
    dag = to_dag(
        flaky,
        warehouse={lake!r},
        sources={{"orders": {file!r}}},
        retry_delay=dt.timedelta(0),
        default_args=remembering({lake!r} + ".told"),
    )
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "orders.csv"
    place.write_text(ROWS)
    return place


def text(written: str, lake: Path, file: Path) -> str:
    return written.format(lake=str(lake), file=str(file))


def why_tasks_failed(lake: Path) -> list[str]:
    return Path(f"{lake}.told").read_text().splitlines()


def test_a_dag_shows_a_group_a_layer_and_a_task_a_table(dags: Path, file: Path, tmp_path: Path) -> None:
    dag = dag_of(dags, text(ORDERS, tmp_path / "lake", file))
    assert {task.task_id: (task.task_group.group_id, sorted(task.upstream_task_ids)) for task in dag.tasks} == {
        "begin": (None, []),
        "read_orders": ("sources", ["begin"]),
        "extract_bronze_order": ("bronze", ["read_orders"]),
        "transform_silver_order": ("silver", ["extract_bronze_order"]),
        "aggregate_gold_customer": ("gold", ["transform_silver_order"]),
        "aggregate_gold_day": ("gold", ["transform_silver_order"]),
        "publish": (None, [*STEPS, "begin", "extract_bronze_order", "read_orders", "transform_silver_order"]),
        "bronze_published": (None, ["begin", "publish"]),
        "silver_published": (None, ["begin", "publish"]),
        "gold_published": (None, ["begin", "publish"]),
    }
    assert copy.deepcopy(dag).task_ids == dag.task_ids
    assert (dag.dag_id, dag.catchup, dag.max_active_runs, dag.tags) == ("orders", False, 1, {"assay"})
    step = dag.get_task("aggregate_gold_day")
    assert (step.retries, step.retry_delay, step.execution_timeout) == (2, dt.timedelta(seconds=30), None)
    assert dag.get_task("transform_silver_order").doc_md == "The orders that count."
    assert [asset.uri for asset in dag.get_task("gold_published").outlets] == ["assay://orders/gold"]


def test_a_dag_run_publishes_what_one_process_would_and_the_next_has_nothing_to_do(
    dags: Path, file: Path, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    dag = dag_of(dags, text(ORDERS, lake, file))
    first = run(dag, as_of="2024-12-01")
    assert (first.state, set(first.tasks.values())) == ("success", {"success"})
    assert assay.run(
        orders.reading({"orders": str(file)}), warehouse=tmp_path / "whole", as_of=AS_OF, settings=QUICK
    ).ok
    assert seen(lake) == seen(tmp_path / "whole")
    (past,) = assay.history(lake)
    assert (past.state, past.as_of) == ("published", "2024-12-01")
    again = run(dag)
    assert (again.state, again.named("success"), len(assay.history(lake))) == ("success", {"begin"}, 1)
    assert again.named("skipped") == first.tasks.keys() - {"begin"}
    late = cleared(dag, first, "aggregate_gold_day")
    assert (late.state, late.tasks["aggregate_gold_day"], late.tasks["publish"]) == ("success", "skipped", "success")
    assert len(assay.history(lake)) == 1


def in_one_process(folder: Path, lake: Path) -> assay.RunResult:
    """Run the graph that fails, counting in a folder of its own, as one process does."""
    return assay.run(flaky.reading({"orders": str(folder / "orders.csv")}), warehouse=lake, as_of=AS_OF, settings=QUICK)


def test_what_is_flaky_and_what_fails_ends_as_in_one_process_and_a_cleared_task_goes_on(
    dags: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, whole = tmp_path / "lake", tmp_path / "whole"
    monkeypatch.setenv(FOLDER, str(tmp_path))
    embedded = in_one_process(tmp_path, whole)
    assert {name: node.status for name, node in embedded.tables.items()} == OUTCOMES
    for name in ("silver_flaky", "silver_broken"):
        (tmp_path / name).unlink()
    dag = dag_of(dags, text(FLAKY, lake, file))
    failed = run(dag, as_of="2024-12-01")
    states = {"written": "success", "failed": "failed", "blocked": "upstream_failed"}
    tasks = {name.split("_", 1)[1]: state for name, state in failed.tasks.items() if "_" in name}
    assert {name: tasks[name] for name in OUTCOMES} == {name: states[ended] for name, ended in OUTCOMES.items()}
    assert (failed.state, failed.tasks["publish"], failed.tasks["gold_published"]) == (
        "failed",
        "failed",
        "skipped",
    )
    assert {name: failed.tries[f"transform_{name}"] for name in ("silver_flaky", "silver_broken")} == {
        name: attempts(name) for name in ("silver_flaky", "silver_broken")
    }
    assert (attempts("silver_flaky"), attempts("silver_broken"), failed.tries["publish"]) == (3, 3, 1)
    (past,) = assay.history(lake)
    error = "ConnectionError: postgresql://someone:***@nowhere/ is away"
    assert (past.state, past.problems) == ("failed", (f"silver_broken failed: {error}",))
    assert seen(lake) == seen(whole) == {}
    assert why_tasks_failed(lake) == [
        f"transform_silver_broken: silver_broken: {error}",
        f"publish: Run 1 of flaky failed: silver_broken failed: {error}",
    ]

    (tmp_path / MENDED).touch()
    mended = cleared(dag, failed, "transform_silver_broken")
    assert (mended.state, set(mended.tasks.values())) == ("success", {"success"})
    assert (attempts("silver_flaky"), mended.tries["transform_silver_other"]) == (3, 1)
    assert [past.state for past in assay.history(lake)] == ["published"]
    assert assay.resume(flaky.reading({"orders": str(file)}), warehouse=whole, settings=QUICK).ok
    assert seen(lake) == seen(whole)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"selekt": ["gold_day"]}, "A run of orders has no parameter 'selekt'. Did you mean 'select'?"),
        ({"select": ["gold_dey"]}, "orders has no table 'gold_dey'. Did you mean 'gold_day'?"),
        ({"sources": {"ordres": "x.csv"}}, "orders has no source 'ordres'. Did you mean 'orders'?"),
    ],
)
def test_what_cannot_be_asked_is_told_at_once_and_tried_once(
    dags: Path, file: Path, tmp_path: Path, asked: dict[str, Any], told: str
) -> None:
    lake = tmp_path / "lake"
    dag = dag_of(dags, text(ORDERS, lake, file))
    outcome = run(dag, **asked)
    assert (outcome.state, outcome.tasks["begin"], outcome.tries["begin"]) == ("failed", "failed", 1)
    assert set(outcome.tasks.values()) == {"failed", "upstream_failed"}
    (why,) = why_tasks_failed(lake)
    assert told in why
    assert seen(lake) == {}


def test_what_has_no_meaning_is_refused_before_a_run_is_made(dags: Path, file: Path, tmp_path: Path) -> None:
    dag = dag_of(dags, text(ORDERS, tmp_path / "lake", file))
    with pytest.raises(ValueError, match="'tomorrow' is not a 'date'"):
        run(dag, as_of="tomorrow")


def test_a_run_is_of_the_day_for_which_it_is_scheduled_where_its_schedule_is_kept(
    dags: Path, file: Path, tmp_path: Path
) -> None:
    dag = dag_of(dags, text(IN_TOKYO, tmp_path / "lake", file))
    assert run(dag, at=dt.datetime(2024, 11, 5, 20, tzinfo=dt.UTC)).state == "success"
    assert [past.as_of for past in assay.history(tmp_path / "lake")] == ["2024-11-06"]


def test_a_part_of_the_tables_is_run_by_a_parameter_of_the_dag_run(dags: Path, file: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    dag = dag_of(dags, text(ORDERS, lake, file))
    assert run(dag, layers=["bronze"]).named("success") == {
        "begin",
        "read_orders",
        "extract_bronze_order",
        "publish",
        "bronze_published",
    }
    assert seen(lake).keys() == {"bronze_order"}
    assert run(dag, select=["+gold_day"]).named("skipped") == {
        "read_orders",
        "extract_bronze_order",
        "aggregate_gold_customer",
        "bronze_published",
    }


def test_a_table_that_takes_too_long_is_ended_and_the_run_fails(
    dags: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SLOW, str(tmp_path))
    dag = dag_of(dags, text(SLOWLY, tmp_path / "lake", file))
    outcome = run(dag)
    assert (outcome.state, outcome.tasks["extract_bronze_order"]) == ("failed", "success")
    assert (outcome.tasks["transform_silver_order"], outcome.tries["transform_silver_order"]) == ("failed", 2)
    (past,) = assay.history(tmp_path / "lake")
    assert (past.state, past.problems) == ("failed", ("silver_order failed: it was not done",))


def test_a_part_of_a_pipeline_shows_what_it_chooses() -> None:
    dag = to_dag(part("sums", orders, select=["gold_day"]), dag_id="sums_alone")
    assert (dag.dag_id, {task.task_id for task in dag.tasks}) == (
        "sums_alone",
        {"begin", "aggregate_gold_day", "publish", "gold_published"},
    )
    assert "select" not in dag.params


def test_only_tasks_that_read_a_database_take_a_slot_of_its_pool() -> None:
    pools = {task.task_id: task.pool for task in to_dag(table_fleet, database_pool="database").tasks}
    assert {name for name, pool in pools.items() if pool == "database"} == {f"extract_bronze_{name}" for name in TABLES}


def test_without_an_assay_toml_a_folder_counts_from_that_of_the_dag_file(
    dags: Path, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copy(file, dags / "orders.csv")
    dag = dag_of(
        dags,
        """
        from tests.orchestrators.orders import orders
        dag = to_dag(orders, warehouse="../lake_there", sources={"orders": "orders.csv"})
        """,
    )
    monkeypatch.chdir(tmp_path)
    assert run(dag).state == "success"
    assert len(assay.history(dags.parent / "lake_there")) == 1


def test_what_would_show_a_password_or_is_no_pipeline_makes_no_dag() -> None:
    address = f"postgresql://someone:{PASSWORD}@nowhere/db"
    for given in ({"warehouse": address}, {"sources": {"orders": address}}):
        with pytest.raises(
            UsageError, match=r"someone:\*\*\*@nowhere/db: an orchestrator keeps its parameters where others"
        ):
            to_dag(orders, **given)
    with pytest.raises(DeclarationError, match="alone is a task: a DAG runs pipelines, parts of them and workflows"):
        to_dag(task()(alone))


def alone() -> None:
    """A task."""


def test_ride_bookings_by_its_name_has_the_content_that_one_process_makes(
    dags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(generate(tmp_path / "sample", rows=500)["bookings"])
    lake = tmp_path / "lake"
    dag = dag_of(
        dags,
        f"""
        dag = to_dag("pipelines.ride_bookings:ride_bookings", warehouse={str(lake)!r}, sources={{"bookings": {file!r}}})
        """,
    )
    assert run(dag, as_of="2024-12-01").state == "success"
    assert assay.run(
        ride_bookings.reading({"bookings": file}), warehouse=tmp_path / "whole", as_of=AS_OF, settings=QUICK
    ).ok
    assert (len(seen(lake)), seen(lake)) == (21, seen(tmp_path / "whole"))
