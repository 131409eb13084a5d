"""The compose file as a program for it reads it: each profile's services, their ports, networks and health checks."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.files import BIN, DEPLOY

DATABASES = {"source_db", "target_db"}
SERVICES = {
    "etl": {"etl", "migrate", "dbt"},
    "airflow": {"airflow_db", "airflow_init", "airflow_web", "airflow_scheduler", "airflow_dags"},
    "metrics": {"source_metrics", "target_metrics", "prometheus", "grafana"},
    "logs": {"shipper", "elasticsearch", "kibana_user", "kibana"},
}
"""By profile; the databases are in all of them."""
ENDS = {"etl", "migrate", "dbt", "airflow_init", "kibana_user"}
"""What does its work and ends is not asked how it is: others wait until it has ended."""
IDS = "ASSAY_UID=1234\nASSAY_GID=5678\n"

Services = dict[str, dict[str, Any]]


def render(ids: Path, *profiles: str) -> subprocess.CompletedProcess[str]:
    """Call podman-compose, which needs no engine to tell what it would start."""
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    command = [BIN / "podman-compose", "--dry-run", "--env-file", ids, "--file", DEPLOY / "compose.yml", *chosen]
    return subprocess.run([*command, "config"], capture_output=True, text=True, check=False)


def rendered(folder: Path, *profiles: str) -> Services:
    ids = folder / "compose.env"
    ids.write_text(IDS)
    done = render(ids, *profiles)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["services"])


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    """All of them."""
    return rendered(tmp_path_factory.mktemp("compose"), *SERVICES)


@pytest.mark.row("002-14")
def test_each_profile_starts_its_services_and_the_databases(tmp_path: Path, services: Services) -> None:
    assert {*rendered(tmp_path)} == DATABASES
    assert {*services} == DATABASES.union(*SERVICES.values())
    for profile, own in SERVICES.items():
        assert {name for name, service in services.items() if service.get("profiles") == [profile]} == own


@pytest.mark.row("002-14")
def test_the_databases_are_published_on_their_ports_and_apart_from_each_other(services: Services) -> None:
    published = {name: service["ports"] for name, service in services.items() if name in DATABASES}
    assert published == {"source_db": ["127.0.0.1:5433:5432"], "target_db": ["127.0.0.1:5434:5432"]}
    networks = {name: {*service["networks"]} for name, service in services.items()}
    assert networks["source_db"] == {"source_network", "source_port"}
    assert networks["target_db"] == {"etl_network", "target_port"}
    assert networks["etl"] == networks["migrate"] == {"source_network", "etl_network"}
    assert networks["dbt"] == {"etl_network"}
    assert networks["airflow_db"] == networks["airflow_init"] == {"airflow_network"}
    assert networks["airflow_scheduler"] == {"airflow_network", "source_network", "etl_network"}


@pytest.mark.row("002-14")
def test_whoever_stays_is_asked_how_it_is_and_others_wait_for_the_answer(services: Services) -> None:
    asked = {name: service["healthcheck"]["test"] for name, service in services.items() if "healthcheck" in service}
    assert {*services} - {*asked} == ENDS
    for name, database in (("source_db", "shop"), ("target_db", "shop"), ("airflow_db", None)):
        words = asked[name]
        assert words[:2] == ["CMD", "pg_isready"], name
        assert ("--dbname=shop" in words) == (database == "shop")
    assert asked["airflow_web"][-1] == "http://127.0.0.1:8080/api/v2/version"
    assert "SchedulerJob" in asked["airflow_scheduler"][-1]
    for name in ("etl", "migrate"):
        waits = services[name]["depends_on"]
        assert {of: how["condition"] for of, how in waits.items()} == dict.fromkeys(DATABASES, "service_healthy")
    assert services["dbt"]["depends_on"]["target_db"]["condition"] == "service_healthy"
    for name in ("airflow_web", "airflow_scheduler", "airflow_dags"):
        assert services[name]["depends_on"]["airflow_init"]["condition"] == "service_completed_successfully"


@pytest.mark.row("002-14")
def test_services_run_as_who_made_the_secrets_and_nothing_starts_before_that(
    tmp_path: Path, services: Services
) -> None:
    assert services["etl"]["user"] == services["source_db"]["user"] == "1234:5678"
    assert {service["user"] for service in services.values()} == {"1234:5678", "1234:0", "65534:65534"}
    assert services["etl"]["image"] == "assay:0.1.0"
    none = tmp_path / "none.env"
    none.write_text("")
    refused = render(none)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.rstrip().endswith("required variable ASSAY_UID is missing a value: run `make secrets`")
