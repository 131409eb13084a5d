"""The compose file keeps its rules: closed networks, no rights, no secret in it, everything checked and bounded."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.deploy.files import BIN, DEPLOY, ROOT, read_yaml

FILE = DEPLOY / "compose.yml"
ONCE = {"airflow_init", "dbt", "etl", "kibana_user", "migrate"}
"""What does its work and ends; whether it did is its exit code."""
WRITES_ITSELF = {"elasticsearch", "kibana"}
"""Their programs write beside themselves when they start."""
_SECRET = re.compile(r"(?i)(password|passwd|secret|token|fernet|key)")
_BY_FILE = re.compile(r"(_FILE|_CMD|__FILE)$")
_PINNED = re.compile(
    r":v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)*(@sha256:[0-9a-f]{64})?$|^assay(-airflow|-dbt)?:\$\{ASSAY_VERSION:-\d"
)

Document = dict[str, Any]
Rule = Callable[[Document], Iterator[str]]


def ports(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                yield f"{name}: {port} is open to other machines"
            if not [n for n in service["networks"] if n.endswith("_port")]:
                yield f"{name}: publishes a port through a closed network"


def networks(document: Document) -> Iterator[str]:
    members: dict[str, list[str]] = {}
    for name, service in document["services"].items():
        if not service.get("networks"):
            yield f"{name}: is in the network of all"
        for network in service.get("networks", []):
            members.setdefault(network, []).append(name)
    for name, network in document["networks"].items():
        if name.endswith("_port"):
            if len(members[name]) > 1:
                yield f"{name}: joins {' and '.join(members[name])}"
            if network["driver_opts"].get("com.docker.network.bridge.enable_ip_masquerade") != "false":
                yield f"{name}: leads out"
        elif network.get("internal") is not True:
            yield f"{name}: is not closed"
    for one in {"source_db"} & {*members["etl_network"]} | {"target_db"} & {*members["source_network"]}:
        yield f"{one}: can reach the other database"


def rights(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        if not re.match(r"\$\{ASSAY_UID:\?|[1-9]\d*:\d+$", service.get("user", "")):
            yield f"{name}: runs as {service.get('user', 'whom its image names')}"
        if service.get("cap_drop") != ["ALL"] or service.get("cap_add") or service.get("privileged"):
            yield f"{name}: has rights of the system"
        if "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{name}: can gain rights"
        if service.get("read_only") is not True and name not in WRITES_ITSELF:
            yield f"{name}: can write into its image"
        for volume in service.get("volumes", []):
            if "docker.sock" in volume or volume.startswith("/"):
                yield f"{name}: reaches {volume} of the machine"


def secrets(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        environment = service.get("environment", {})
        for variable, value in environment.items():
            if "://" in str(value) and re.search(r"://[^/@]*:[^/@]*@", str(value)):
                yield f"{name}: {variable} has a password in it"
            elif _SECRET.search(variable) and not _BY_FILE.search(variable) and not _is_path(str(value)):
                yield f"{name}: {variable} is a secret in the environment"
        for secret in service.get("secrets", []):
            if (source := secret["source"] if isinstance(secret, dict) else secret) not in document["secrets"]:
                yield f"{name}: no secret is called {source}"
    for name, secret in document["secrets"].items():
        if secret != {"file": f"local/secrets/{name}"}:
            yield f"{name}: is no file of local/secrets"


def _is_path(value: str) -> bool:
    return value.startswith(("/run/secrets/", "/tmp/")) or value in ("true", "false", "admin:admin")


def health(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        if "healthcheck" not in service and name not in ONCE:
            yield f"{name}: nobody asks how it is"
        for needed, condition in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if needed in ONCE else "service_healthy"
            if condition["condition"] != wanted:
                yield f"{name}: does not wait until {needed} is there"


def bounds(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        if {*limits} != {"cpus", "memory", "pids"}:
            yield f"{name}: may take all of the machine"
        if service.get("restart") not in (("no", "on-failure:3") if name in ONCE else ("unless-stopped",)):
            yield f"{name}: restarts {service.get('restart')}"
        if not service.get("logging", {}).get("options", {}).get("max-size"):
            yield f"{name}: its log grows for ever"


def images(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        if not _PINNED.search(service["image"]):
            yield f"{name}: {service['image']} is not pinned"


RULES: list[Rule] = [ports, networks, rights, secrets, health, bounds, images]


@pytest.fixture(scope="module")
def document() -> Document:
    return read_yaml(FILE)


@pytest.mark.row("002-14", "002-21")
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_compose_file_keeps_its_rule(document: Document, rule: Rule) -> None:
    assert list(rule(document)) == []


def planted(change: Callable[[Document], object]) -> Callable[[Document], Document]:
    def made(document: Document) -> Document:
        changed = json.loads(json.dumps(document))  # in which no two services share what an anchor stands for
        change(changed["services"])
        return changed

    return made


@pytest.mark.parametrize(
    ("rule", "fault", "told"),
    [
        (ports, lambda s: s["source_db"].update(ports=["5433:5432"]), "source_db: 5433:5432 is open to other machines"),
        (ports, lambda s: s["etl"].update(ports=["127.0.0.1:1:1"]), "etl: publishes a port through a closed network"),
        (networks, lambda s: s["etl"].pop("networks"), "etl: is in the network of all"),
        (networks, lambda s: s["etl"]["networks"].append("source_port"), "source_port: joins source_db and etl"),
        (
            networks,
            lambda s: s["source_db"]["networks"].append("etl_network"),
            "source_db: can reach the other database",
        ),
        (rights, lambda s: s["etl"].update(user="0:0"), "etl: runs as 0:0"),
        (rights, lambda s: s["etl"].update(user="root"), "etl: runs as root"),
        (rights, lambda s: s["etl"].update(cap_drop=[]), "etl: has rights of the system"),
        (rights, lambda s: s["etl"].update(cap_add=["SYS_ADMIN"]), "etl: has rights of the system"),
        (rights, lambda s: s["etl"].update(security_opt=[]), "etl: can gain rights"),
        (rights, lambda s: s["etl"].update(read_only=False), "etl: can write into its image"),
        (rights, lambda s: s["etl"]["volumes"].append("/etc:/etc"), "etl: reaches /etc:/etc of the machine"),
        (secrets, lambda s: s["etl"]["environment"].update(X="db://me:" + "word@h/d"), "etl: X has a password in it"),
        (
            secrets,
            lambda s: s["source_db"]["environment"].update(POSTGRES_PASSWORD="x"),
            "source_db: POSTGRES_PASSWORD is a secret in the environment",
        ),
        (secrets, lambda s: s["etl"]["secrets"].append("none"), "etl: no secret is called none"),
        (health, lambda s: s["kibana"].pop("healthcheck"), "kibana: nobody asks how it is"),
        (
            health,
            lambda s: s["etl"]["depends_on"]["source_db"].update(condition="service_started"),
            "etl: does not wait until source_db is there",
        ),
        (bounds, lambda s: s["etl"].pop("deploy"), "etl: may take all of the machine"),
        (bounds, lambda s: s["etl"].update(restart="always"), "etl: restarts always"),
        (bounds, lambda s: s["etl"].pop("logging"), "etl: its log grows for ever"),
        (images, lambda s: s["source_db"].update(image="postgres"), "source_db: postgres is not pinned"),
        (images, lambda s: s["source_db"].update(image="postgres:latest"), "source_db: postgres:latest is not pinned"),
    ],
)
def test_a_rule_finds_what_it_is_for(
    document: Document, rule: Rule, fault: Callable[[Document], object], told: str
) -> None:
    assert told in list(rule(planted(fault)(document)))


@pytest.mark.row("002-14")
def test_the_services_of_the_shop_and_their_network_are_there(document: Document) -> None:
    services = document["services"]
    assert {"source_db", "target_db", "etl", "migrate", "dbt"} <= {n for n, s in services.items() if "airflow" not in n}
    airflow = {name for name, service in services.items() if service.get("profiles") == ["airflow"]}
    assert airflow == {"airflow_db", "airflow_init", "airflow_web", "airflow_scheduler", "airflow_dags"}
    assert {name for name, service in services.items() if "etl_network" in service["networks"]} >= {"etl", "target_db"}
    assert {name for name, service in services.items() if "profiles" not in service} == {"source_db", "target_db"}


@pytest.mark.row("002-25")
def test_the_ports_are_those_that_were_agreed(document: Document) -> None:
    published = {name: s["ports"] for name, s in document["services"].items() if "ports" in s}
    assert published == {
        "source_db": ["127.0.0.1:5433:5432"],
        "target_db": ["127.0.0.1:5434:5432"],
        "airflow_web": ["127.0.0.1:8080:8080"],
        "grafana": ["127.0.0.1:3000:3000"],
        "kibana": ["127.0.0.1:5601:5601"],
    }


@pytest.mark.row("002-24")
def test_logs_go_from_assay_by_a_shipper_to_elasticsearch_and_kibana(document: Document) -> None:
    services = document["services"]
    logs = {name for name, service in services.items() if service.get("profiles") == ["logs"]}
    assert logs == {"shipper", "elasticsearch", "kibana_user", "kibana"}
    folder = "./local/logs:/var/log/assay"
    assert folder in services["etl"]["volumes"]
    assert folder in services["shipper"]["volumes"]
    assert services["etl"]["environment"]["ASSAY_LOG"] == "json"
    assert services["etl"]["environment"]["LOG_FILE"].startswith(services["shipper"]["environment"]["LOG_FOLDER"])


@pytest.mark.row("002-14")
def test_the_compose_file_is_what_its_specification_says(tmp_path: Any) -> None:
    check = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    assert subprocess.run([*check, FILE], cwd=ROOT, check=False).returncode == 0
    wrong = tmp_path / "compose.yml"
    wrong.write_text(FILE.read_text().replace("healthcheck:", "healthchek:", 1))
    assert subprocess.run([*check, wrong], cwd=ROOT, check=False, capture_output=True).returncode == 1


def test_every_file_that_is_mounted_is_there(document: Document) -> None:
    mounts = [volume for service in document["services"].values() for volume in service.get("volumes", [])]
    own = [volume.split(":")[0] for volume in mounts if volume.startswith(".") and "./local" not in volume]
    assert len(own) > 5
    assert [path for path in own if not (DEPLOY / path).exists()] == []
    named = {volume.split(":")[0] for volume in mounts if not volume.startswith(".")}
    assert named == {*document["volumes"]}
