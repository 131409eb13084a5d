"""What is wrong with a deployment in assay.toml is said before anything is put on a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.assembly import current_settings
from assay.model.errors import SettingsError
from assay.orchestrators.prefect.declared import Deployment, check, deployments_of
from assay.orchestrators.prefect.deploying import deploy
from assay.orchestrators.prefect.flows import deployed_flow
from assay.settings import Settings

FLEET, MAIN = "pipelines.table_fleet:table_fleet", "pipelines.table_fleet:main_etl"
ORDERS = "tests.orchestrators.orders:orders"
PARTS = {"tables_of": FLEET}
HUSHED = "hush" * 2


def declared(**deployments: dict[str, Any]) -> Settings:
    return Settings(deployments={name.replace("_", "-"): body for name, body in deployments.items()})


def test_a_deployment_has_what_its_table_says() -> None:
    body = {"run": MAIN, "tags": ["nightly"], "cron": "0 3 * * *", "elsewhere": {"pre_etl": "pre"}}
    found = deployments_of(declared(main=body, pre={"run": "pipelines.table_fleet:pre_etl"}, tables=PARTS))
    assert found["main"] == Deployment(
        "main", run=MAIN, tags=("nightly",), cron="0 3 * * *", elsewhere={"pre_etl": "pre"}
    )
    assert {each.full_name: each.waits for each in found.values()} == {
        "main_etl/main": True,
        "pre_etl/pre": False,
        "tables_of_table_fleet/tables": False,
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"runs": MAIN}, "deployments.main: 'runs' is nothing a deployment has. Did you mean 'run'?"),
        ({}, "deployments.main needs `run`, or `tables_of`: what it runs."),
        ({"run": MAIN, "tables_of": FLEET}, "deployments.main needs `run`, or `tables_of`: what it runs."),
        ({"run": MAIN, "cron": 5}, "deployments.main.cron is 5; it should be a text."),
        ({"run": MAIN, "tags": "nightly"}, "deployments.main.tags is 'nightly'; it should be a list."),
        ({"run": MAIN, "tags": [1]}, "deployments.main.tags has 1 in it; it should be a text."),
        ({"run": MAIN, "spread": {"sub_etl": 2}}, "deployments.main.spread has 2 in it; it should be a text."),
        ({"run": MAIN, "chunks": True}, "deployments.main.chunks is True; it should be a whole number."),
        ({"run": MAIN, "chunks": 0}, "deployments.main.chunks is 0; it should be 1 or more."),
        ({"run": MAIN, "elsewhere": {"pre_etl": "prae"}}, "deployments.main: there is no 'prae'. Did you mean 'pre'?"),
        ({"run": MAIN, "spread": {"totals": "pre"}}, "deployments.main: pre does no tables; it has no `tables_of`."),
    ],
)
def test_a_body_that_is_wrong_is_named(body: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        deployments_of(declared(main=body, pre={"run": "pipelines.table_fleet:pre_etl"}, tables=PARTS))
    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"tables_of": MAIN}, f"deployments.main: {MAIN} is no pipeline, so it has no tables."),
        (
            {"run": MAIN, "spread": {"total": "tables"}},
            "deployments.main.spread: there is no pipeline 'total' in it. Did you mean 'totals'?",
        ),
        (
            {"run": MAIN, "spread": {"totals": "others"}},
            "deployments.main.spread: others does no tables of totals; see its `tables_of`.",
        ),
        (
            {"run": MAIN, "elsewhere": {"pre_elt": "pre"}},
            "deployments.main.elsewhere: there is no workflow 'pre_elt' in it. Did you mean 'pre_etl'?",
        ),
        (
            {"run": MAIN, "elsewhere": {"main_etl": "pre"}},
            "deployments.main.elsewhere: there is no workflow 'main_etl' in it.",
        ),
        (
            {"run": MAIN, "elsewhere": {"sub_etl": "pre"}},
            "deployments.main.elsewhere: pre does not run sub_etl; see its `run`.",
        ),
        (
            {"run": MAIN, "parameters": {"warehouse": f"postgresql://me:{HUSHED}@server/x"}},
            "deployments.main.parameters.warehouse has a password in it, and the server would show it.",
        ),
    ],
)
def test_what_a_deployment_names_must_be_what_it_needs(body: dict[str, Any], said: str) -> None:
    settings = declared(
        main=body, pre={"run": "pipelines.table_fleet:pre_etl"}, tables=PARTS, others={"tables_of": ORDERS}
    )
    known = deployments_of(settings)
    with pytest.raises(SettingsError) as raised:
        check(known["main"], known)
    assert str(raised.value).startswith(said)
    assert HUSHED not in str(raised.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('cron = "0 25 * * *"', 'deployments.main: Invalid cron string: "0 25 * * *"'),
        ('cron = "0 0 * * *"\ntimezone = "Mars/Base"', 'deployments.main: Invalid timezone: "Mars/Base"'),
        ('parameters = { slect = ["gold_day"] }', "deployments.main.parameters: A run of orders has no parameter"),
        ('parameters = { select = "gold_day" }', "deployments.main.parameters: A run: select= is a list"),
        ('parameters = { full = "yes" }', "deployments.main.parameters: A run: full= is True or False, not 'yes'."),
        ("parameters = { as_of = 86400 }", "deployments.main.parameters: as_of: 86400 is no date"),
    ],
)
def test_a_schedule_or_parameter_that_is_none_is_refused_before_anything_is_made(
    more: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "assay.toml").write_text(f'[deployments.main]\nrun = "{ORDERS}"\n{more}\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as raised:
        deploy(current_settings())
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize("name", ["night.ly", "a b/c", "__main", "", "1st"])
def test_a_name_that_no_worker_could_find_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="is no name: use letters, digits, - and _, and a letter first"):
        deployments_of(Settings(deployments={name: {"run": MAIN}}))


def test_a_flow_that_is_not_deployed_is_named_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "assay.toml").write_text(f'[deployments.nightly]\nrun = "{ORDERS}"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"there is no 'nightli' in assay.toml. Did you mean 'nightly'\?"):
        deployed_flow("nightli")
