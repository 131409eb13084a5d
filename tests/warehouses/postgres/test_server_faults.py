"""The embedded server when its users, its keeper or itself are killed: nothing runs on, nothing committed is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import psycopg
import pytest

from assay.model.errors import WarehouseError
from assay.warehouses.postgres.server.account import Account
from assay.warehouses.postgres.server.binaries import find_binaries
from assay.warehouses.postgres.server.cluster import at_work
from assay.warehouses.postgres.server.embedded import embedded
from assay.warehouses.postgres.server.home import Home
from tests.warehouses.postgres.using import (
    SECONDS,
    asked,
    is_free,
    keeper,
    kill,
    postmaster,
    sockets,
    starting,
    told,
    until,
    using,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that was made and stopped."""
    folder = tmp_path_factory.mktemp("made") / "server"
    with embedded(folder) as url:
        told(url, "create table kept (id int)")
    return folder


def count(url: str) -> object:
    return asked(url, "select count(*) from kept")[0]


def test_a_server_goes_when_its_only_user_is_killed_and_keeps_what_was_committed(folder: Path) -> None:
    with using(folder) as (user, url):
        before = count(url)
        told(url, "insert into kept values (1)")
        user.kill()
        until(lambda: is_free(folder))
    assert not sockets(url).exists()
    with embedded(folder) as url:
        assert (count(url), before) == (1, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_server_goes_with_its_user_who_is_told_to_end(folder: Path, number: signal.Signals) -> None:
    with using(folder) as (user, _):
        user.send_signal(number)
        user.communicate(timeout=SECONDS)
        until(lambda: is_free(folder))


def test_a_server_stays_when_one_of_two_users_is_killed(folder: Path) -> None:
    with using(folder) as (first, url), using(folder) as (second, _):
        started = asked(url, "select pg_postmaster_start_time()")
        first.kill()
        first.wait()
        assert asked(url, "select pg_postmaster_start_time()") == started
        second.kill()
        until(lambda: is_free(folder))


def test_a_copy_of_a_user_keeps_the_server_when_the_user_is_gone(folder: Path) -> None:
    with embedded(folder) as url:
        waiting, said = os.pipe()
        if not (copy := os.fork()):
            os.close(said)
            os.read(waiting, 1)
            os._exit(0)
    assert count(url) is not None
    os.close(said)
    os.waitpid(copy, 0)
    until(lambda: is_free(folder))


def test_a_server_that_is_killed_is_started_again_at_the_same_address_with_all_that_was_committed(folder: Path) -> None:
    with embedded(folder) as url:
        before = count(url)
        told(url, "insert into kept values (2)")
        os.kill(postmaster(folder), signal.SIGKILL)
        with embedded(folder) as again:
            assert again == url
            assert count(url) == int(str(before)) + 1
    assert is_free(folder)


def test_what_a_killed_server_leaves_at_work_does_not_keep_the_next_from_starting(folder: Path) -> None:
    with embedded(folder) as url:
        first = postmaster(folder)
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            # Such a query does not look whether its server still lives.
            busy = threading.Thread(target=_ask_for_long, args=(connection,))
            busy.start()
            until(lambda: asked(url, "select count(*) from pg_stat_activity where query like '%busy%'")[0] == 2)
            os.kill(first, signal.SIGKILL)
            with embedded(folder) as again:
                assert asked(again, "select 1") == (1,)
            busy.join(timeout=SECONDS)
            assert not busy.is_alive()


def _ask_for_long(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select sum(n) as busy from generate_series(1, 10000000000) n")


def test_a_server_stops_in_order_when_its_keeper_is_killed(folder: Path) -> None:
    with using(folder) as (user, _):
        os.kill(keeper(folder), signal.SIGKILL)
        until(lambda: is_free(folder))
        assert "database system is shut down" in Home(folder).log.read_text().splitlines()[-1]
        with embedded(folder) as url:
            assert count(url) is not None
        user.kill()
        until(lambda: is_free(folder))


def test_a_server_stops_in_order_when_its_keeper_is_told_to_end(folder: Path) -> None:
    with using(folder):
        os.kill(keeper(folder), signal.SIGTERM)
        until(lambda: is_free(folder))
        assert "database system is shut down" in Home(folder).log.read_text().splitlines()[-1]


def test_a_machine_that_stops_loses_nothing_committed_though_the_numbers_of_its_processes_are_given_anew(
    folder: Path,
) -> None:
    with using(folder) as (user, url):
        before = int(str(count(url)))
        told(url, "insert into kept values (3)")
        kill(keeper(folder), user.pid, *at_work(Home(folder)))
        until(lambda: is_free(folder))
    left = (folder / "data" / "postmaster.pid").read_text().splitlines()
    assert sockets(url).exists()
    # What PostgreSQL takes for a living server is a process of the same user that has nothing to do with it.
    with subprocess.Popen(["sleep", "600"], user=(folder / "data").stat().st_uid) as other:
        (folder / "data" / "postmaster.pid").write_text("\n".join([str(other.pid), *left[1:]]) + "\n")
        with embedded(folder) as url:
            assert count(url) == before + 1
        other.kill()


def test_a_server_that_somebody_else_has_started_in_the_folder_is_left_alone(folder: Path) -> None:
    with using(folder) as (user, url):
        # As if it had been started by hand: at work, and nobody holds the lock.
        shutil.move(folder / "server.lock", folder / "server.lock.away")
        (folder / "server.lock").touch()
        with pytest.raises(
            WarehouseError, match=r"another server than assay's is at work in it, as process \d+. Stop that one"
        ):
            embedded(folder).__enter__()
        assert asked(url, "select 1") == (1,)
        shutil.move(folder / "server.lock.away", folder / "server.lock")
        user.kill()
        until(lambda: is_free(folder))


def test_a_folder_in_the_way_of_the_socket_is_neither_used_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    in_the_way = Home(tmp_path / "server").sockets
    in_the_way.touch()
    with pytest.raises(WarehouseError, match=r"is in the way of the server's socket, and not its own. Remove it"):
        embedded(tmp_path / "server").__enter__()
    assert in_the_way.exists()
    in_the_way.unlink()


def test_a_full_disk_is_told_and_leaves_a_folder_that_can_be_used(tmp_path: Path) -> None:
    # No file of these processes may be larger, and PostgreSQL's log of changes is.
    with starting(tmp_path / "server", by=["prlimit", "--fsize=4000000"]) as user:
        _, error = user.communicate(timeout=SECONDS)
    assert "initdb cannot make its data:" in error
    assert "File too large" in error
    assert sorted(path.name for path in (tmp_path / "server").iterdir()) == ["server.lock", "server.log", "users.lock"]
    with embedded(tmp_path / "server") as url:
        assert asked(url, "select 1") == (1,)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")
AS_NOBODY = (
    *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"),
    # The Python of these tests may stand where nobody else can look.
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
)


@needs_root
def test_a_user_who_is_not_root_runs_it_as_himself_and_root_may_use_it_and_leave_it_to_him(tmp_path: Path) -> None:
    folder = tmp_path / "it's nobody's"
    folder.mkdir()
    shutil.chown(folder, "nobody", "nogroup")
    for _ in range(2):
        with using(folder, by=AS_NOBODY) as (user, url):
            assert Path(f"/proc/{postmaster(folder)}").owner() == "nobody"
            with embedded(folder) as same:
                assert (same, asked(same, "select 1")) == (url, (1,))
            user.kill()
        until(lambda: is_free(folder))
        with embedded(folder) as url:
            assert Path(f"/proc/{postmaster(folder)}").owner() == "nobody"
        assert {path.owner() for path in folder.iterdir()} == {"nobody"}


@needs_root
def test_it_never_runs_as_root_nor_opens_the_folders_above_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with embedded(tmp_path / "server") as url:
        assert Path(f"/proc/{postmaster(tmp_path / 'server')}").owner() in ("postgres", "nobody")
        assert asked(url, "select current_user") == ("assay",)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@needs_root
def test_what_belongs_to_another_user_is_refused(folder: Path) -> None:
    somebody = [word.replace("nobody", "daemon") for word in AS_NOBODY]
    with starting(folder, by=somebody) as user:
        _, error = user.communicate(timeout=SECONDS)
    owner = (folder / "data").owner()
    assert f"WarehouseError: {folder}: belongs to {owner}; only they and root can use it." in error


@needs_root
@pytest.mark.faults
def test_programs_that_its_user_cannot_reach_are_copied_to_where_he_can(tmp_path: Path) -> None:
    wheel = find_binaries(Account(0, 0), tmp_path / "unused").folder.parents[1]
    site = tmp_path / "site"
    for name in (wheel.name, f"{wheel.name}.libs"):
        shutil.copytree(wheel.with_name(name), site / name)
    site.chmod(0o700)
    (tmp_path / "server").mkdir()
    with starting(tmp_path / "server", by=["env", f"PYTHONPATH={site}"]) as user:
        assert user.stdout
        url = user.stdout.readline().strip()
        assert Path(f"/proc/{postmaster(tmp_path / 'server')}/exe").readlink().is_relative_to(sockets(url))
        assert asked(url, "select 1") == (1,)
        user.kill()
    until(lambda: is_free(tmp_path / "server"))
    assert not sockets(url).exists()


@pytest.mark.faults
@pytest.mark.parametrize("after", [0.0, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0])
def test_a_user_who_is_killed_while_the_folder_is_made_leaves_one_that_can_be_used(
    tmp_path: Path, after: float
) -> None:
    with starting(tmp_path / "server") as user:
        try:
            user.wait(timeout=after)
        except subprocess.TimeoutExpired:
            user.kill()
    with embedded(tmp_path / "server") as url:
        assert asked(url, "select current_database()") == ("assay",)
    assert is_free(tmp_path / "server")
    assert not (tmp_path / "server" / "data.new").exists()


@pytest.mark.faults
@pytest.mark.parametrize("after", [0.05, 0.3, 0.6, 0.9, 1.2])
def test_a_maker_who_is_killed_leaves_a_folder_that_can_be_used(tmp_path: Path, after: float) -> None:
    home = Home(tmp_path / "server")
    with starting(home.folder):
        until(home.unfinished.exists)
        threading.Event().wait(after)
        made_by = [int(path.name) for path in Path("/proc").glob("[0-9]*") if _makes(path, home.folder)]
        kill(*made_by)
        with embedded(home.folder) as url:
            assert asked(url, "select current_database()") == ("assay",)


def _makes(process: Path, folder: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(folder) in words and any(word.endswith(b".server.keeper") for word in words)
