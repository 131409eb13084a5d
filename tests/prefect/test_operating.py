"""The targets of make for a server of Prefect and its workers do what they say, and leave nothing running."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import assay
from tests.orchestrators.orders import ROWS, orders
from tools.prefect.access import answered
from tools.prefect.server import free_port

ROOT = Path(__file__).parents[2]
AGREED = {
    *("setup", "prefect-setup", "prefect-server", "prefect-start", "prefect-stop", "prefect-restart", "prefect-logs"),
    *("prefect-clean", "setup-concurrency", "test-auth", "run-flow", "deploy-flows", "start-workers"),
    *("run-distributed", "run-ui", "clean"),
}
LET_IN = [
    "a call without a password is refused",
    "a call with a wrong one is refused",
    "a call with the right one is let in",
]
pytestmark = pytest.mark.row("001-12")

Finished = subprocess.CompletedProcess[str]


class Going:
    """A target that is being made."""

    def __init__(self, process: subprocess.Popen[bytes], file: Path) -> None:
        self.process, self.file = process, file

    @property
    def told(self) -> str:
        return self.file.read_text()

    def interrupt(self) -> str:
        """Press Ctrl-C where it goes on, and return all that it told."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(timeout=60)
        return self.told


class Folder:
    """A folder for a server, in which targets are made."""

    def __init__(self, place: Path) -> None:
        self.place, self.port, self.made = place, free_port(), 0
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PREFECT_", "ASSAY_", "MAKE", "MFLAGS"))
        }

    def make(self, *words: str, code: int = 0, **more: str) -> str:
        """Make a target to its end, and return all that it told."""
        done = subprocess.run(
            self.command(*words),
            cwd=ROOT,
            env=self.environment | more,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    @contextmanager
    def making(self, *words: str) -> Iterator[Going]:
        """Make a target that goes on until Ctrl-C, which comes at the end of the block at the latest."""
        self.made += 1
        told = self.place.with_name(f"told-{self.made}")
        with told.open("w") as out:
            process = subprocess.Popen(
                self.command(*words),
                cwd=ROOT,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        going = Going(process, told)
        try:
            yield going
        finally:
            going.interrupt()

    def command(self, *words: str) -> list[str]:
        return ["make", *words, f"PREFECT_PLACE={self.place}", f"PORT={self.port}"]

    @property
    def told(self) -> dict[str, Any]:
        """What the folder tells of its server."""
        found: dict[str, Any] = json.loads((self.place / "server.json").read_text())
        return found

    def status(self, path: str = "/api/admin/version") -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0

    def ask(self, path: str, body: object = None) -> Any:
        """Return what the API of the server answers."""
        data = None if body is None else json.dumps(body).encode()
        address = f"http://127.0.0.1:{self.port}/api{path}"
        with urllib.request.urlopen(
            urllib.request.Request(address, data, {"Content-Type": "application/json"}), timeout=30
        ) as answer:
            return json.load(answer)

    def processes(self) -> dict[int, str]:
        """Return what runs for the workers of this folder."""
        found = {}
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if f"PREFECT_WORKERS_OF={self.place}".encode() in environment.read_bytes().split(b"\0"):
                    found[int(environment.parent.name)] = (environment.parent / "cmdline").read_text()
        return found


def asked(url: str, body: Any = None) -> Any:
    """Return what a server answers."""
    data = None if body is None else json.dumps(body).encode()
    return answered(urllib.request.Request(url, data, {"Content-Type": "application/json"}))


def read(file: Path) -> str:
    """Return what is in a file of a process, which may be gone."""
    try:
        return file.read_text()
    except OSError:
        return ""


def comes(moment: Callable[[], Any], seconds: float = 60.0) -> float:
    """Wait for a moment, and return how long it took."""
    began = time.monotonic()
    while not moment():
        assert time.monotonic() - began < seconds, moment
        time.sleep(0.1)
    return time.monotonic() - began


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    found = Folder(tmp_path / "prefect")
    yield found
    found.make("prefect-clean")
    assert not found.place.exists()


def test_every_target_that_was_agreed_is_listed_with_what_it_does(tmp_path: Path) -> None:
    listed = dict(re.findall(r"^make ([a-z-]+) +(\S.*)$", Folder(tmp_path).make("help"), re.M))
    assert AGREED - set(listed) == set()
    assert "is ready" in Folder(tmp_path).make("prefect-setup")


def test_a_server_is_started_once_restarted_where_it_was_and_stopped(folder: Folder) -> None:
    answers = f"Prefect answers at http://127.0.0.1:{folder.port}/api\n"
    assert folder.make("prefect-stop") == "Prefect was not at work\n"
    assert folder.make("prefect-start") == answers
    first = folder.told["pid"]
    assert folder.make("prefect-start") == answers
    assert folder.told["pid"] == first
    assert "is at work" in folder.make("prefect-server", code=2)
    assert sorted(each.name for each in folder.place.glob("home/*.db")) == ["prefect.db"]
    with folder.making("prefect-logs") as shown:
        comes(lambda: f"Check out the dashboard at http://127.0.0.1:{folder.port}" in shown.told)
    folder.make("deploy-flows")
    assert folder.make("prefect-restart", "PORT=1") == answers
    assert folder.told["pid"] != first
    assert folder.make("run-ui") == f"Prefect shows its pages at http://127.0.0.1:{folder.port}\n"
    assert folder.make("prefect-stop") == "Prefect was stopped\n"
    assert folder.status() == 0


def test_the_number_of_a_server_that_was_killed_means_nothing(folder: Folder) -> None:
    folder.make("prefect-start")
    killed = folder.told["pid"]
    os.kill(killed, signal.SIGKILL)
    comes(lambda: folder.status() == 0)
    assert folder.told["pid"] == killed
    assert folder.make("prefect-stop") == "Prefect was not at work\n"
    assert "make prefect-start" in folder.make("deploy-flows", code=2)
    folder.make("prefect-start")
    assert folder.told["pid"] != killed
    assert folder.status() == 200


def test_two_that_are_started_at_once_are_one(folder: Folder) -> None:
    with folder.making("prefect-start") as first, folder.making("prefect-start") as second:
        codes = [each.process.wait(timeout=120) for each in (first, second)]
    assert 0 in codes
    assert folder.status() == 200
    servers = [each for each in Path("/proc").glob("[0-9]*/cmdline") if f"--port\0{folder.port}" in read(each)]
    assert [int(each.parent.name) for each in servers] == [folder.told["pid"]]


def test_a_port_that_another_program_has_is_named(folder: Folder) -> None:
    with socket.create_server(("127.0.0.1", folder.port)):
        told = folder.make("prefect-start", code=2)
    assert f"Port {folder.port} is used by another program; name another: PORT={folder.port + 1}" in told


def test_a_server_in_the_foreground_ends_with_ctrl_c(folder: Folder) -> None:
    with folder.making("prefect-server") as process:
        comes(lambda: folder.status() == 200)
        assert "Server stopped!" in process.interrupt()
    assert folder.status() == 0


@pytest.mark.row("001-14")
def test_who_has_no_password_is_refused_and_none_is_shown(folder: Folder, tmp_path: Path) -> None:
    password, file = f"admin:{secrets.token_hex(12)}", tmp_path / "password"
    file.write_text(password)
    assert f"others can read it: chmod 600 {file}" in folder.make("prefect-start", f"AUTH_FILE={file}", code=2)
    file.chmod(0o600)
    told = folder.make("prefect-start", f"AUTH_FILE={file}")
    assert (folder.status(), folder.status("/")) == (401, 200)
    told += folder.make("test-auth")
    assert told.splitlines()[1:] == LET_IN
    told += folder.make("deploy-flows")
    assert "12 deployments" in told
    told += folder.make("setup-concurrency", "LIMIT=5")
    assert "database: 5 at once" in told
    with folder.making("start-workers", "N=1") as workers:
        comes(lambda: len(folder.processes()) == 2)
        (log,) = folder.place.glob("*-1.log")
        comes(lambda: "started!" in log.read_text())
        commands = " ".join(folder.processes().values())
        told += workers.interrupt()
    kept = [each.read_text() for each in folder.place.iterdir() if each.is_file()]
    assert not any(password in text for text in (told, commands, *kept))


@pytest.mark.row("001-14")
def test_a_password_may_stand_in_a_variable_and_a_server_that_asks_for_none_fails_the_test_of_it(
    folder: Folder,
) -> None:
    folder.make("prefect-start")
    assert "There is no password to try" in folder.make("test-auth", code=2)
    folder.environment["PREFECT_API_AUTH_STRING"] = "admin:any"
    told = folder.make("test-auth", code=2)
    assert f"A call without a password is let in, at http://127.0.0.1:{folder.port}/api" in told
    folder.make("prefect-restart")
    assert folder.make("test-auth").splitlines() == LET_IN


@pytest.mark.row("001-14")
def test_the_pages_of_a_server_are_there_and_its_api_tells_what_runs(folder: Folder) -> None:
    address = folder.make("run-ui").split()[-1]
    with urllib.request.urlopen(address, timeout=30) as page:
        scripts = re.findall(r'src="(/[^"]+[.]js)"', page.read().decode())
    assert scripts
    assert {folder.status(script) for script in scripts} == {200}
    with urllib.request.urlopen(f"{address}/ui-settings", timeout=30) as answer:
        assert json.load(answer)["api_url"] == f"{address}/api"
    assert folder.ask("/flow_runs/count", {}) == 0


@pytest.mark.row("001-08")
def test_a_worker_that_dies_is_started_again_and_none_outlives_ctrl_c(folder: Folder) -> None:
    folder.make("prefect-start")
    with folder.making("start-workers", "N=2") as workers:
        comes(lambda: len(folder.processes()) == 3)
        pools = [re.search(r"--pool\0([\w-]+)", command) for command in folder.processes().values()]
        assert sorted(found[1] for found in pools if found) == ["default-pool", "default-pool", "default-pool-parents"]
        assert "Workers are at work here already" in folder.make("start-workers", code=2)
        time.sleep(3)
        before = set(folder.processes())
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        assert comes(lambda: len(folder.processes()) == 3 and killed not in folder.processes()) < 5
        assert before - set(folder.processes()) == {killed}
        told = workers.interrupt()
    assert len(re.findall(r" has begun, process ", told)) == 4
    assert " has ended with -9" in told
    assert "all workers have ended, and their flow runs" in told
    assert folder.processes() == {}


@pytest.mark.row("002-20")
def test_workers_become_more_while_flow_runs_wait_and_fewer_when_nothing_is_left(
    folder: Folder, tmp_path: Path
) -> None:
    rows = tmp_path / "orders.csv"
    rows.write_text(ROWS)
    assert assay.run(orders.reading({"orders": str(rows)}), warehouse=tmp_path / "lake").ok
    folder.environment["ASSAY_WAREHOUSE"] = str(tmp_path / "lake")
    folder.make("prefect-start")
    folder.make("deploy-flows")
    api = f"http://127.0.0.1:{folder.port}/api"
    found = asked(f"{api}/deployments/name/clean_leftovers/cleanup-flow-1")["id"]
    with folder.making("start-workers", "N=1", "MOST=3") as workers:
        begun = [asked(f"{api}/deployments/{found}/create_flow_run", {})["id"] for _ in range(6)]
        comes(lambda: "-3 has begun" in workers.told, seconds=60)
        states = {"COMPLETED"}
        comes(lambda: {asked(f"{api}/flow_runs/{run}")["state_type"] for run in begun} == states, seconds=180)
        comes(lambda: len(re.findall(r"-[23] has ended", workers.told)) == 2, seconds=90)
        assert len([c for c in folder.processes().values() if "default-pool\0" in c]) == 1
    assert folder.processes() == {}


@pytest.mark.row("001-08")
def test_a_flow_run_ends_with_the_workers_even_if_its_own_was_killed(folder: Folder, tmp_path: Path) -> None:
    folder.make("prefect-start", "deploy-flows")
    lake = {"warehouse": str(tmp_path / "lake"), "sources": {"bookings": str(tmp_path / "none.csv")}}
    with folder.making("start-workers", "N=1") as workers:
        comes(lambda: len(folder.processes()) == 2)
        deployment = folder.ask("/deployments/name/ride_bookings/ride-bookings")["id"]
        run = folder.ask(f"/deployments/{deployment}/create_flow_run", {"parameters": lake})["id"]
        comes(lambda: [pid for pid, command in folder.processes().items() if "prefect.engine" in command])
        (worker,) = [pid for pid, command in folder.processes().items() if "default-pool\0" in command]
        os.kill(worker, signal.SIGKILL)
        workers.interrupt()
    assert folder.processes() == {}
    assert folder.ask(f"/flow_runs/{run}")["state"]["type"] != "COMPLETED"


@pytest.mark.row("001-08")
def test_workers_whose_supervisor_was_killed_are_ended_by_the_next(folder: Folder) -> None:
    folder.make("prefect-start")
    with folder.making("start-workers", "N=1") as first:
        comes(lambda: len(folder.processes()) == 2)
        os.killpg(first.process.pid, signal.SIGKILL)
        first.process.wait()
    left = set(folder.processes())
    assert len(left) == 2
    with folder.making("start-workers", "N=1"):
        comes(lambda: len(folder.processes()) == 2 and not left & set(folder.processes()))
    assert folder.processes() == {}


def test_the_fleet_runs_as_a_flow_in_one_process_from_nothing(tmp_path: Path) -> None:
    told = Folder(tmp_path).make("run-flow")
    assert "--- main_etl, phase finish: done ---" in told
    assert re.search(r"^20 +20000 +[\d.]+$", told, re.M)


@pytest.mark.row("001-21")
def test_the_fleet_runs_on_a_server_and_workers_from_nothing(tmp_path: Path) -> None:
    told = Folder(tmp_path).make("run-distributed")
    for line in (
        "12 deployments",
        "main_etl: --- main_etl, phase load: pre_etl, sub_etl ---",
        r"main_etl: sub-flow sub_etl/sub-etl-job triggered: [\w-]+ \([0-9a-f-]{36}\)",
        r"process_tables: sub-flow tables_of_table_fleet/process-table-etl triggered: [\w-]+ \([0-9a-f-]{36}\)",
        r"tables_of_table_fleet: bronze_table_19: wrote 1,000 rows in [\d.]+ s",
        r"process_tables: flow run [\w-]+ completed \([0-9a-f-]{36}\)",
        "sub_etl: clean_leftovers: done in",
        "final_etl: reports_generated: done in",
        "main_etl: --- main_etl, phase finish: done ---",
        "# main_etl/main-etl-job: Completed",
        r"^20 +20000 +[\d.]+$",
    ):
        assert re.search(line, told, re.M), line
    assert Folder(ROOT / "build/distributed/prefect").processes() == {}


def test_a_fleet_whose_flow_run_does_not_complete_ends_with_an_error_and_leaves_nothing_running(tmp_path: Path) -> None:
    folder = Folder(ROOT / "build/distributed/prefect")
    shutil.rmtree(folder.place, ignore_errors=True)
    with Folder(tmp_path / "prefect").making("run-distributed", "N=1") as shown:
        comes(lambda: "main_etl: --- main_etl, phase load: pre_etl, sub_etl ---" in shown.told, 120)
        folder.port = folder.told["port"]
        (run,) = folder.ask("/flow_runs/filter", {"flows": {"name": {"any_": ["main_etl"]}}})
        folder.ask(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLED"}, "force": True})
        assert shown.process.wait(timeout=120) == 2
    assert "run-distributed: the flow run did not complete." in shown.told
    assert (folder.processes(), folder.status()) == ({}, 0)
