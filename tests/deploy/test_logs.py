"""The log of real runs comes whole to where it is shipped, by the shipper's own program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, ROOT
from tests.deploy.receiver import Receiver, receiving

pytestmark = [pytest.mark.faults, pytest.mark.row("002-24")]
SHIPPER = "/usr/sbin/syslog-ng"
CONFIG = DEPLOY / "logs/syslog-ng.conf"
BIN = Path(sys.executable).parent
SECONDS = 40


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "logs").mkdir()
    (tmp_path / "shipper.conf").write_text('@define elastic_password "not-so-secret"\n')
    where = {"LOG_FOLDER": str(tmp_path / "logs"), "SHIPPER_PASSWORD": str(tmp_path / "shipper.conf")}
    return os.environ | where | {"ELASTIC_URL": "http://127.0.0.1:9/_bulk"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of two real runs, the second of which failed, as the image writes it."""
    folder = tmp_path_factory.mktemp("runs")
    log = folder / "assay.jsonl"
    environment = os.environ | {"LOG_FILE": str(log), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    logged = ["bash", DEPLOY / "logged.sh", "assay"]
    subprocess.run([BIN / "assay", "sample", "ride_bookings", folder, "--rows", "500"], cwd=ROOT, check=True)
    for source, code in (("bookings.csv.gz", 0), ("none.csv.gz", 2)):
        run = ["run", "ride_bookings", "--source", f"bookings={folder / source}", "--warehouse", folder / "lake"]
        done = subprocess.run(
            [*logged, *run, "--log", "json"], cwd=ROOT, env=environment, capture_output=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert done.stderr.count(b"\n") == len(done.stderr.splitlines()) > 0  # told here as well
    return log


@contextmanager
def shipping(folder: Path, environment: dict[str, str], to: Receiver) -> Iterator[None]:
    options = ["--foreground", "--no-caps", "--stderr", f"--cfgfile={CONFIG}"]
    own = [f"--{name}={folder / name}" for name in ("persist-file", "control", "pidfile")]
    with subprocess.Popen([SHIPPER, *options, *own], env=environment | {"ELASTIC_URL": to.url}) as shipper:
        try:
            yield
        finally:
            shipper.terminate()


def until(count: int, receiver: Receiver) -> None:
    end = time.monotonic() + SECONDS
    while len(receiver.documents) < count:
        assert time.monotonic() < end, receiver.documents
        time.sleep(0.1)


def test_the_shipper_finds_its_configuration_right(environment: dict[str, str]) -> None:
    subprocess.run([SHIPPER, "--syntax-only", f"--cfgfile={CONFIG}"], env=environment, check=True)


def test_the_shipper_finds_what_is_wrong_in_a_configuration(tmp_path: Path, environment: dict[str, str]) -> None:
    wrong = tmp_path / "wrong.conf"
    wrong.write_text(CONFIG.read_text().replace("batch-lines", "batch-lins"))
    done = subprocess.run(
        [SHIPPER, "--syntax-only", f"--cfgfile={wrong}"], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"batch-lins" in done.stderr


def test_every_line_of_a_run_is_shipped_once_though_it_is_refused_at_first(
    tmp_path: Path, environment: dict[str, str], written: Path
) -> None:
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    assert [lines[0]["event"], lines[-2]["event"], lines[-1]["event"]] == ["run_started", "run_ended", "error"]
    log = tmp_path / "logs" / "assay.jsonl"
    log.write_bytes(written.read_bytes())
    with receiving(503, 429, 401) as receiver, shipping(tmp_path, environment, receiver):
        until(len(lines), receiver)
        with log.open("a") as more:
            more.write('Fatal Python error: "none" of it is JSON\n')
        until(len(lines) + 1, receiver)
    assert receiver.documents[:-1] == lines
    told = receiver.documents[-1]
    assert (told["event"], told["text"]) == ("text", 'Fatal Python error: "none" of it is JSON')
    assert receiver.logins == {"elastic:not-so-secret"}


def test_a_shipper_that_was_ended_goes_on_where_it_was(
    tmp_path: Path, environment: dict[str, str], written: Path
) -> None:
    lines = written.read_text().splitlines(keepends=True)
    log = tmp_path / "logs" / "assay.jsonl"
    with receiving() as receiver:
        for part in (lines[:5], lines[5:]):
            with log.open("a") as more:
                more.writelines(part)
            with shipping(tmp_path, environment, receiver):
                until(len(part) if part[0] == lines[0] else len(lines), receiver)
        assert receiver.documents == [json.loads(line) for line in lines]
