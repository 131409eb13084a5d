"""The embedded server: one folder, any number of users, nothing left running when they are gone."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from assay.model.errors import WarehouseError
from assay.warehouses.postgres.server.account import Account
from assay.warehouses.postgres.server.binaries import find_binaries
from assay.warehouses.postgres.server.cluster import at_work
from assay.warehouses.postgres.server.embedded import embedded
from assay.warehouses.postgres.server.home import Home
from tests.warehouses.postgres.using import asked, sockets, told


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that was made and stopped, at a place that is hard to write."""
    folder = tmp_path_factory.mktemp("made") / 'it\'s a "folder", ünlike others' / ("long" * 40)
    with embedded(folder) as url:
        told(url, "create table kept as select 42 as answer")
    return folder


def test_rows_are_there_when_the_server_is_started_again(made: Path) -> None:
    with embedded(made) as url:
        assert asked(url, "select answer from kept") == (42,)


def test_its_address_is_one_for_sqlalchemy(made: Path) -> None:
    with embedded(made) as url:
        engine = create_engine(url)
        with engine.connect() as connection:
            assert connection.execute(text("select answer from kept")).scalar_one() == 42
        engine.dispose()


def test_it_is_durable_and_modest_and_its_text_and_time_are_the_same_everywhere(made: Path) -> None:
    with embedded(made) as url:
        names = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "shared_buffers", "timezone")
        found = asked(url, "select " + ", ".join(f"current_setting('{name}')" for name in names))
        assert found == ("on", "on", "on", "on", "128MB", "UTC")
        assert asked(url, "select lower('É'), 'a' < 'B', current_setting('server_encoding')") == ("é", False, "UTF8")


def test_nobody_reaches_it_by_the_network_or_past_the_mode_of_its_socket(made: Path) -> None:
    with embedded(made) as url:
        assert asked(url, "select current_setting('listen_addresses')") == ("",)
        assert stat.S_IMODE(sockets(url).stat().st_mode) == 0o700
        assert stat.S_IMODE((made / "data").stat().st_mode) == 0o700


def test_nothing_of_it_is_left_when_its_user_has_gone(made: Path) -> None:
    with embedded(made) as url:
        assert len(list(at_work(Home(made)))) > 3
    assert list(at_work(Home(made))) == []
    assert not sockets(url).exists()
    assert sorted(path.name for path in made.iterdir()) == ["data", "server.lock", "server.log", "users.lock"]
    assert not (made / "data" / "postmaster.pid").exists()


def test_nothing_stays_open_in_who_has_used_it(made: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    with embedded(made):
        pass
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_two_use_one_server_and_the_last_one_out_stops_it(made: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        one, two = first.enter_context(embedded(made)), second.enter_context(embedded(made))
        assert one == two
        started = asked(one, "select pg_postmaster_start_time()")
        first.close()
        assert asked(two, "select pg_postmaster_start_time()") == started
        second.close()
    assert list(at_work(Home(made))) == []


def test_many_that_come_at_once_get_one_server(tmp_path: Path) -> None:
    found, all_here = [], threading.Barrier(4, timeout=60)

    def use() -> None:
        with embedded(tmp_path / "new") as url:
            found.append(asked(url, "select pg_postmaster_start_time()"))
            all_here.wait()

    users = [threading.Thread(target=use) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert list(at_work(Home(tmp_path / "new"))) == []


def test_a_folder_of_other_things_is_refused_and_nothing_is_changed_in_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WarehouseError, match=r"is not empty, and no folder of an embedded server; name an empty one"):
        embedded(tmp_path).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_data_folder_of_another_server_is_refused(made: Path) -> None:
    with pytest.raises(WarehouseError, match=r"that assay did not make. Start that server and give its address"):
        embedded(made / "data").__enter__()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WarehouseError, match=r"file: cannot be the folder of a server: File exists"):
        embedded(tmp_path / "file").__enter__()


def test_a_folder_that_is_only_to_be_read_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=r"postgresql:.*typo: holds no warehouse yet; `assay run PIPELINE"):
        embedded(tmp_path / "typo", create=False).__enter__()
    assert not (tmp_path / "typo").exists()


def test_data_of_another_major_version_is_refused_with_what_there_is(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "data").mkdir(parents=True)
    shutil.copy(made / "server.lock", other)
    (other / "data" / "PG_VERSION").write_text("11\n")
    with pytest.raises(
        WarehouseError, match=r"No PostgreSQL 11, which has made the data, was found .* is of PostgreSQL 18"
    ):
        embedded(other).__enter__()


def test_without_programs_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(
        WarehouseError, match=r'pip install "assay\[postgres\]"` .* package `postgresql` .* has no program `postgres`'
    ):
        embedded(tmp_path / "new", binaries=tmp_path).__enter__()


def test_a_server_that_does_not_start_tells_why(made: Path, tmp_path: Path) -> None:
    # A folder of its own, whose data is no more than its version.
    broken = tmp_path / "broken"
    (broken / "data").mkdir(parents=True)
    shutil.copy(made / "server.lock", broken)
    shutil.copy(made / "data" / "PG_VERSION", broken / "data")
    Account.of(Home(made)).owns(broken / "data")
    with pytest.raises(WarehouseError, match=r"(?s)its server does not start:.*postgresql.conf"):
        embedded(broken).__enter__()


def test_the_newest_programs_of_the_extra_are_taken(tmp_path: Path) -> None:
    account = Account(os.geteuid(), os.getegid())
    assert find_binaries(account, tmp_path).folder.parent.name == "pginstall18"
    assert find_binaries(account, tmp_path, major=16).folder.parent.name == "pginstall"


def test_each_test_gets_a_database_of_its_own(postgres_url: str) -> None:
    assert asked(postgres_url, "select count(*) from pg_tables where schemaname = 'public'") == (0,)
