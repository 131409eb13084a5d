"""`assay deploy prefect` puts what assay.toml declares on a server: deployments, pools, a limit, and a rule."""

from __future__ import annotations

import datetime as dt
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import assay
from assay.assembly import current_settings
from assay.orchestrators.prefect import wait_for_flow_runs
from assay.orchestrators.prefect.deploying import SILENT, deploy
from assay.orchestrators.prefect.flows import deployed_flow
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.conformance.processes import call, seen
from tools.prefect.access import answered
from tools.prefect.server import Server
from tools.prefect.workers import working

AS_OF = dt.date(2024, 12, 1)
pytestmark = pytest.mark.usefixtures("prefect_server")

POOL, PARENTS = "default-pool", "default-pool-parents"
FLEET = {
    "main_etl/main-etl-job": PARENTS,
    "pre_etl/pre-etl-job": POOL,
    "sub_etl/sub-etl-job": PARENTS,
    "tables_of_table_fleet/process-table-etl": POOL,
    "clean_leftovers/cleanup-flow-1": POOL,
    "clean_expired/cleanup-flow-2": POOL,
    "final_etl/final-etl-job": POOL,
}
RIDES = {
    "ride_bookings/ride-bookings": None,
    "ride_bookings/ride-bookings-incremental": None,
    "ride_bookings/ride-bookings-backfill": None,
    "ride_bookings/customer-analytics-hourly": "0 * * * *",
    "ride_bookings/daily-summary-at-midnight": "0 0 * * *",
}
VOLATILE = {"updated", "last_polled", "status", "schedules"}


def api(path: str, body: object = None) -> Any:
    """Ask the server as its pages do."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{os.environ['PREFECT_API_URL']}{path}", data, {"Content-Type": "application/json"}
    )
    return answered(request)


def known() -> dict[str, Any]:
    """Return the deployments of a server by the name of flow and deployment."""
    found = {}
    for each in api("/deployments/filter", {}):
        flow = api(f"/flows/{each['flow_id']}")
        found[f"{flow['name']}/{each['name']}"] = each
    return found


def lasting(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return a deployment as the server knows it, without what changes by itself."""
    schedules = [each["schedule"] | {"active": each["active"]} for each in deployment["schedules"]]
    return {name: value for name, value in deployment.items() if name not in VOLATILE} | {"schedules": schedules}


@pytest.mark.row("000-24", "000-37", "001-07")
def test_the_deployments_of_this_project_are_made_with_their_pools_and_schedules() -> None:
    told = call("deploy", "prefect")
    assert told.returncode == 0, told.stderr
    *lines, number = told.stdout.splitlines()
    assert {line.split()[0]: line.split()[1] for line in lines[1:]} == {**FLEET, **dict.fromkeys(RIDES, POOL)}
    assert number == "12 deployments"
    made = known()
    pools = {name: each["work_pool_name"] for name, each in made.items()}
    assert pools == pools | {**FLEET, **dict.fromkeys(RIDES, POOL)}
    crons = {name: [each["schedule"]["cron"] for each in made[name]["schedules"]] for name in RIDES}
    assert crons == {name: [cron] if cron else [] for name, cron in RIDES.items()}
    (midnight,) = made["ride_bookings/daily-summary-at-midnight"]["schedules"]
    assert (midnight["active"], midnight["schedule"]["timezone"]) == (True, "Asia/Kolkata")
    assert made["ride_bookings/ride-bookings-backfill"]["parameters"] == {"backfill": True}
    hourly = made["ride_bookings/customer-analytics-hourly"]
    assert hourly["parameters"] == {"select": ["gold_customer_analytics"]}
    assert set(hourly["parameter_openapi_schema"]["properties"]) >= {"as_of", "select", "warehouse", "sources"}
    assert made["pre_etl/pre-etl-job"]["tags"] == ["pre-processing"]
    for pool in (POOL, PARENTS):
        assert api(f"/work_pools/{pool}")["type"] == "process"
    limit = api("/v2/concurrency_limits/database")
    assert (limit["limit"], limit["active"]) == (3, True)


def test_deploying_again_changes_nothing() -> None:
    first = call("deploy", "prefect", "--json")
    before = {name: lasting(each) for name, each in known().items()}
    again = call("deploy", "prefect", "--json")
    assert (again.stdout, again.returncode) == (first.stdout, 0)
    assert {name: lasting(each) for name, each in known().items()} == before
    rules = [each["name"] for each in api("/automations/filter", {})]
    assert rules.count(SILENT) == 1


def test_what_is_declared_otherwise_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    head = 'work_pool = "elsewhere"\ndatabase_limit = {limit}\n[deployments.renewed]\n'
    head += 'run = "tests.orchestrators.orders:orders"\n'
    Path("assay.toml").write_text(head.format(limit=7) + 'cron = "0 3 * * *"\ntags = ["old"]\n')
    deploy(current_settings())
    name = "orders/renewed"
    assert [each["schedule"]["cron"] for each in known()[name]["schedules"]] == ["0 3 * * *"]
    assert api("/v2/concurrency_limits/database")["limit"] == 7
    Path("assay.toml").write_text(head.format(limit=3) + "parameters = { full = true }\n")
    (told,) = deploy(current_settings())
    assert (told[0].full_name, told[1]) == (name, "elsewhere")
    made = known()[name]
    assert (made["schedules"], made["tags"], made["parameters"]) == ([], [], {"full": True})
    assert made["pull_steps"] == [
        {"prefect.deployments.steps.set_working_directory": {"directory": str(tmp_path.absolute())}}
    ]
    assert api("/v2/concurrency_limits/database")["limit"] == 3


@pytest.mark.row("000-25", "000-37")
@pytest.mark.parametrize(
    ("deployment", "only"),
    [
        ("customer-analytics-hourly", "gold_customer_analytics"),
        ("daily-summary-at-midnight", "gold_daily_booking_summary"),
    ],
)
def test_a_schedule_of_one_table_touches_that_table_alone(deployment: str, only: str, tmp_path: Path) -> None:
    lake, whole = tmp_path / "lake", tmp_path / "whole"
    given = {"bookings": str(tmp_path / "*.csv.gz")}
    for number in (1, 2):
        made = generate(tmp_path / str(number), rows=200 * number, seed=number)["bookings"]
        made.rename(tmp_path / f"{number}.csv.gz")
        layers = ["bronze", "silver", "gold"][: 4 - number]
        assert assay.run(ride_bookings, warehouse=lake, sources=given, layers=layers).ok
    before = seen(lake)
    asked = current_settings().deployments[deployment]["parameters"]
    result = deployed_flow(deployment)(**asked, warehouse=str(lake), sources=given)
    assert result["state"] == "published"
    assert [name for name, each in result["tables"].items() if each["attempts"]] == [only]
    after = seen(lake)
    assert {each for each in after if after[each] != before[each]} == {only}
    assert assay.run(ride_bookings, warehouse=whole, sources=given).ok
    assert after[only] == seen(whole)[only]


@pytest.mark.row("000-24")
def test_main_incremental_and_backfill_are_run_by_a_worker_as_the_pages_of_the_server_start_them(
    tmp_path: Path,
) -> None:
    lake, whole = tmp_path / "lake", tmp_path / "whole"
    asked = {"warehouse": str(lake), "sources": {"bookings": str(tmp_path / "*.csv.gz")}, "as_of": "2024-12-01"}
    assert call("deploy", "prefect").returncode == 0
    ids = {name: each["id"] for name, each in known().items()}
    bronze = []
    with working(Server(tmp_path / "workers"), 1, 1, print):
        for number, job in enumerate(("ride-bookings", "ride-bookings-incremental", "ride-bookings-backfill"), 1):
            if number < 3:
                made = generate(tmp_path / str(number), rows=200 * number, seed=number)["bookings"]
                made.rename(tmp_path / f"{number}.csv.gz")
            else:
                for file in tmp_path.glob("*.csv.gz"):
                    file.unlink()
            begun = api(f"/deployments/{ids[f'ride_bookings/{job}']}/create_flow_run", {"parameters": asked})
            (ended,) = wait_for_flow_runs([UUID(begun["id"])], timeout=120)
            assert ended.state.is_completed()
            bronze.append(len(seen(lake)["bronze_booking"]))
            if number == 2:
                assert assay.run(ride_bookings, warehouse=whole, sources=asked["sources"], as_of=AS_OF).ok
    assert 0 < bronze[0] < bronze[1] == bronze[2]
    assert seen(lake) == seen(whole)
    with pytest.raises(urllib.error.HTTPError, match="409"):
        api(
            f"/deployments/{ids['ride_bookings/ride-bookings']}/create_flow_run",
            {"parameters": {"select": "gold_customer_analytics"}},
        )
