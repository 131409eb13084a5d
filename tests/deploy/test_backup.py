"""The drill: a warehouse is backed up, restored into another database, and is the same there, and goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.deploy.files import ROOT
from tests.deploy.servers import another, own_programs, plain, script
from tests.warehouses.postgres.using import asked, told

pytestmark = pytest.mark.faults
BIN = Path(sys.executable).parent


def assay(*arguments: object, code: int = 0) -> str:
    done = subprocess.run([BIN / "assay", *map(str, arguments)], cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return own_programs(postgres_server, tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def bookings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    assay("sample", "ride_bookings", folder, "--rows", 1000)
    return folder / "bookings.csv.gz"


@pytest.fixture(scope="module")
def loaded(postgres_server: str, bookings: Path) -> Iterator[str]:
    """A database with a pipeline's tables, of two runs."""
    with another(postgres_server, "loaded") as url:
        assay("migrate", "ride_bookings", "--warehouse", url)
        run = ("run", "ride_bookings", "--source", f"bookings={bookings}", "--warehouse", url)
        assay(*run, "--as-of", "2026-01-01")
        assay(*run, "--as-of", "2026-01-02", "--full")
        yield url


def content(url: str) -> dict[str, list[str]]:
    """All rows of all tables, in an order of their own."""
    told = asked(url, "select string_agg(name, ' ' order by name) from assay.assay_dataset where name !~ ':'")[0]
    return {name: rows(url, name) for name in str(told).split()}


def rows(url: str, table: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return sorted(str(row) for row in connection.execute(f"select * from {table}"))


@pytest.mark.row("002-20")
def test_a_restored_warehouse_is_the_same_and_goes_on(
    postgres_server: str, loaded: str, bookings: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "rides.dump"
    saved = script("backup.sh", loaded, file, environment=environment)
    assert saved.returncode == 0, saved.stderr
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "rides.dump": 0o600,
        "rides.dump.sha256": 0o600,
    }
    with another(postgres_server, "restored") as url:
        restored = script("restore.sh", file, url, environment=environment)
        assert restored.returncode == 0, restored.stderr
        assert "files: all are as they were written" in assay("verify", "--warehouse", url)
        before, after = content(loaded), content(url)
        assert len(before) == 21
        assert after == before
        again = assay("run", "ride_bookings", "--source", f"bookings={bookings}", "--warehouse", url, "--json")
        assert json.loads(again)["state"] == "unchanged"
        assert assay("history", "--warehouse", url) == assay("history", "--warehouse", loaded)
        assay("undo", "--warehouse", url)


def test_what_is_there_is_never_overwritten(
    postgres_server: str, loaded: str, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "rides.dump"
    assert script("backup.sh", loaded, file, environment=environment).returncode == 0
    kept = file.read_bytes()
    again = script("backup.sh", loaded, file, environment=environment)
    assert (again.returncode, "is there already" in again.stderr, file.read_bytes() == kept) == (2, True, True)
    with another(postgres_server, "used") as url:
        told(url, "create table mine as select 1 as one")
        refused = script("restore.sh", file, url, environment=environment)
        assert (refused.returncode, "is not empty" in refused.stderr) == (2, True)
        assert asked(url, "select count(*) from pg_namespace where nspname = 'assay'") == (0,)
        told(url, "drop table mine; create schema raw")
        assert script("restore.sh", file, url, environment=environment).returncode == 2


def test_a_backup_that_has_changed_is_refused(
    postgres_server: str, loaded: str, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "rides.dump"
    assert script("backup.sh", loaded, file, environment=environment).returncode == 0
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with another(postgres_server, "spared") as url:
        refused = script("restore.sh", file, url, environment=environment)
        assert (refused.returncode, "its sum is another one" in refused.stderr) == (1, True)
        (tmp_path / "rides.dump.sha256").unlink()
        assert script("restore.sh", file, url, environment=environment).returncode == 2
        assert asked(url, "select count(*) from pg_namespace where nspname = 'assay'") == (0,)


def test_what_cannot_be_backed_up_leaves_no_file(loaded: str, environment: dict[str, str], tmp_path: Path) -> None:
    none = script("backup.sh", loaded.replace("/loaded?", "/none?"), tmp_path / "a.dump", environment=environment)
    assert (none.returncode, "pg_dump has told why" in none.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["postgresql://me:" + "word@db/shop", "host=db password=" + "word"])
@pytest.mark.parametrize("name", ["backup.sh", "restore.sh"])
def test_an_address_with_a_password_is_refused(
    name: str, address: str, environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = (address, tmp_path / "a.dump") if name == "backup.sh" else (tmp_path / "a.dump", address)
    refused = script(name, *arguments, environment=environment)
    assert (refused.returncode, "leave the password out" in refused.stderr) == (2, True)
    assert "word@" not in refused.stderr


def test_a_restore_that_breaks_off_leaves_nothing(
    postgres_server: str, loaded: str, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "rides.dump"
    with another(postgres_server, "owned") as url:
        told(url, "create role of_another_server; create table kept as select 1 as one")
        told(url, "alter table kept owner to of_another_server")
        assert script("backup.sh", url, file, environment=environment).returncode == 0
        told(url, "drop table kept; drop role of_another_server")
        broken = script("restore.sh", file, url, environment=environment)
        assert (broken.returncode, "Roles that are not there" in broken.stderr) == (1, True)
        assert asked(url, "select count(*) from pg_class where relname = 'kept'") == (0,)
        done = script("restore.sh", file, url, "--no-owner", "--no-privileges", environment=environment)
        assert done.returncode == 0, done.stderr
        assert asked(plain(url), "select one from kept") == (1,)
