"""The scripts are clean, and what `make secrets` writes is random, kept, and for its owner alone."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.deploy.files import BIN, DEPLOY, read_yaml, scripts
from tests.deploy.servers import own_programs, script, variables
from tests.warehouses.postgres.using import asked

SHELLCHECK = [BIN / "shellcheck", "--severity=style"]


def prepared(folder: Path) -> dict[str, str]:
    assert script("prepare.sh", folder, environment=os.environ).returncode == 0
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.name)
def test_a_script_is_clean_and_can_be_called(path: Path) -> None:
    assert subprocess.run([*SHELLCHECK, path], capture_output=True, text=True, check=False).stdout == ""
    assert os.access(path, os.X_OK)
    assert re.search(r"^set -eu", path.read_text(), re.M)


def test_the_linter_of_scripts_finds_what_it_is_for(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.sh"
    wrong.write_text("#!/bin/sh\nset -eu\nrm -rf $1/*\n")
    done = subprocess.run([*SHELLCHECK, wrong], capture_output=True, text=True, check=False)
    assert (done.returncode, "SC2086" in done.stdout) == (1, True)


@pytest.mark.row("002-19")
def test_secrets_are_random_for_their_owner_alone_and_written_once(tmp_path: Path) -> None:
    one, other = prepared(tmp_path / "one"), prepared(tmp_path / "other")
    plain = {name: text for name, text in one.items() if re.fullmatch(r"[A-Za-z0-9]{32}", text)}
    assert len(plain) == len({*plain.values()}) > 10
    assert [name for name, text in one.items() if other[name] == text] == []
    assert prepared(tmp_path / "one") == one
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "one").rglob("*")}
    assert {name for name, mode in modes.items() if mode != 0o600} == {"secrets", "logs"}
    assert {modes["secrets"], modes["logs"]} == {0o700}


@pytest.mark.row("002-19")
def test_every_secret_that_a_service_asks_for_is_written(tmp_path: Path) -> None:
    written = prepared(tmp_path)
    assert {*read_yaml(DEPLOY / "compose.yml")["secrets"]} <= {*written}
    assert written["loader.pgpass"].splitlines()[1] == f"target_db:5432:shop:loader:{written['target_loader']}"
    assert f'elasticsearch.password: "{written["kibana"]}"' in written["kibana.yml"]
    ids = dict(line.split("=") for line in (tmp_path / "compose.env").read_text().splitlines())
    assert int(ids["ASSAY_UID"]) == (tmp_path / "secrets/elastic").stat().st_uid > 0


@pytest.mark.row("002-21")
def test_the_roles_of_both_databases_can_do_what_they_are_for_and_nothing_else(
    postgres_url: str, tmp_path: Path
) -> None:
    secrets = prepared(tmp_path)
    environment = own_programs(postgres_url, tmp_path / "programs") | variables(postgres_url)
    environment |= {"POSTGRES_USER": "assay", "SECRETS": str(tmp_path / "secrets")}
    made = script("target/roles.sh", environment=environment)
    assert made.returncode == 0, made.stderr
    try:
        told = asked(postgres_url, "select rolpassword from pg_authid where rolname = 'loader'")[0]
        assert str(told).startswith("SCRAM-SHA-256")
        assert not any(secret in made.stdout + made.stderr for secret in secrets.values())
        done = as_role(postgres_url, "owner", "create table raw.sale (id int)", "create table assay.assay_run (id int)")
        assert done == ["", ""]
        tried = {
            "loader": ["insert into raw.sale values (1)", "create table raw.mine ()", "drop table raw.sale"],
            "reader": ["select * from raw.sale", "delete from raw.sale", "select * from assay.assay_run"],
            "transformer": ["select * from raw.sale", "update raw.sale set id = 2", "create schema marts"],
            "monitor": ["select * from pg_stat_activity", "select * from raw.sale", "select * from assay.assay_run"],
        }
        refused = "InsufficientPrivilege"
        assert {role: as_role(postgres_url, role, *statements) for role, statements in tried.items()} == {
            "loader": ["", refused, refused],
            "reader": ["", refused, refused],
            "transformer": ["", refused, ""],
            "monitor": ["", refused, refused],
        }
        watch = (DEPLOY / "metrics/watch.sql").read_text()
        as_role(postgres_url, "owner", "create table assay.assay_dataset ()", "create table assay.assay_version ()")
        assert as_role(postgres_url, "owner", watch) == [""]
        assert as_role(postgres_url, "monitor", "select * from assay.assay_run", "select * from raw.sale") == [
            "",
            refused,
        ]
    finally:
        forget(postgres_url, "owner", "loader", "transformer", "reader", "monitor")
    made = script("source/roles.sh", environment=environment)
    assert made.returncode == 0, made.stderr
    try:
        assert as_role(postgres_url, "reader", "select 1", "create table mine ()") == ["", refused]
    finally:
        forget(postgres_url, "reader", "monitor")


def as_role(url: str, role: str, *statements: str) -> list[str]:
    """Try statements as a role, and return the name of each one's error, or nothing."""
    found = []
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"set session authorization {role}".encode())
        for statement in statements:
            try:
                connection.execute(statement.encode())
            except psycopg.Error as error:
                found.append(type(error).__name__)
            else:
                found.append("")
    return found


def forget(url: str, *roles: str) -> None:
    """Remove roles, which belong to the server of all tests."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for role in roles:
            connection.execute(f"drop owned by {role} cascade".encode())
            connection.execute(f"drop role {role}".encode())
