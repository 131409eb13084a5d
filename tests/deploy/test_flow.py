"""The load between the roles of the deployment: each can do what it is for, and is refused all else."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.deploy.deployed import Deployed, as_role, asked
from tests.deploy.files import DEPLOY

pytestmark = pytest.mark.faults
TOTAL = "select count(*), sum(quantity * unit_price) from"
REFUSED = "permission denied|must be owner"


@pytest.mark.row("002-21")
def test_the_loader_brings_changes_with_no_right_to_define(loaded: Deployed) -> None:
    asked(loaded.source, "update order_items set quantity = quantity + 1 where id <= 3")
    asked(loaded.source, "delete from order_items where id = 4")
    again = loaded.sync("loader")
    assert (again.returncode, json.loads(again.stdout)["state"]) == (0, "published"), again.stderr
    assert asked(loaded.target, f"{TOTAL} raw.order_items") == asked(loaded.source, f"{TOTAL} order_items")
    assert asked(loaded.target, f"{TOTAL} raw.order_items")[0][0] == 14
    for statement in ("create table raw.mine ()", "drop table raw.order_items", "create schema mine"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=REFUSED):
            asked(as_role(loaded.target, "loader"), statement)


@pytest.mark.row("002-21")
@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("reader", "update raw.orders set status = 'completed'"),
        ("reader", "select * from assay.assay_run"),
        ("transformer", "delete from raw.orders"),
        ("monitor", "select * from raw.orders"),
    ],
)
def test_a_role_is_refused_what_it_is_not_for(loaded: Deployed, role: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=REFUSED):
        asked(as_role(loaded.target, role), statement)


def test_who_reads_the_source_can_change_nothing_in_it(deployed: Deployed) -> None:
    for statement in ("delete from orders", "create table mine ()", "create temporary table mine ()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=REFUSED):
            asked(as_role(deployed.source, "reader"), statement)


@pytest.mark.row("002-20")
def test_the_dashboard_shows_what_runs_did_to_who_may_see_no_row(loaded: Deployed) -> None:
    watcher = as_role(loaded.target, "monitor")
    asked(as_role(loaded.target, "owner"), (DEPLOY / "metrics/watch.sql").read_text())
    panels = json.loads((DEPLOY / "metrics/dashboards/runs.json").read_text())["panels"]
    queries = {panel["title"]: panel["targets"][0].get("rawSql") for panel in panels}
    told = {title: asked(watcher, query) for title, query in queries.items() if query}
    assert told["Runs, newest first"][-1][:3] == (1, "sync_raw", "published")
    assert {state for state, _ in told["Runs of 7 days by how they ended"]} == {"published"}
    assert [row[0] for row in told["Seconds since the last publish"]] == ["sync_raw"]
    counts = {str(name): rows for name, rows, _ in told["Published tables"]}
    assert (counts["raw.customers"], counts["raw.orders"]) == (5, 7)
