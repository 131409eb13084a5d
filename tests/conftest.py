"""What all tests share: the rows of the feature table that each proves, hypothesis without deadlines, a PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from assay.warehouses.postgres.server.embedded import embedded

# `make test-pandas` and others run these, each in an environment of its own.
_NEEDS = {"airflow": "airflow", "browser": "selenium", "pandas": "pandas", "prefect": "prefect"}
collect_ignore = [folder for folder, module in _NEEDS.items() if find_spec(module) is None]

_SUITES = dict.fromkeys(("commands", "proof", "report"), "commands") | {
    "docs": "docs",
    "pipelines": "pipelines",
}
"""Folders whose tests are no part of `make test`, which would take too long, and the target that runs them."""

settings.register_profile("assay", deadline=None, print_blob=True)
settings.load_profile("assay")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", metavar="FILE", help="write the outcome of each test marked with row() to this file")
    parser.addoption("--sweep", action="store_true", help="tests of faults try every place, not some; for hours")
    parser.addoption(
        "--postgres", type=Path, metavar="FOLDER", help="test on the server whose programs are in a folder"
    )
    parser.addoption("--storm", type=float, default=20.0, help="seconds of each storm over a database that is followed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are processors: one that waits for the disk leaves its processor to another."""
    return max(1, len(os.sched_getaffinity(0)) * 3 // 2)


def pytest_configure(config: pytest.Config) -> None:
    target = config.getoption("--rows")
    if target and not hasattr(config, "workerinput"):
        config.pluginmanager.register(RowsReport(Path(target)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(_suite(item))
        ids = [row for mark in item.iter_markers("row") for row in mark.args]
        if ids:
            item.user_properties.append(("rows", ids))  # travels with the report from xdist's workers


def _suite(item: pytest.Item) -> str:
    """Return the target of `make` that a test is run by, unless a mark of its own says another."""
    folder, _, rest = item.nodeid.removeprefix("tests/").partition("/")
    servers = {"postgres_server", "logical_server"} & set(getattr(item, "fixturenames", ()))
    if servers or "postgres" in rest or "shared_lake" in rest:
        return "database"
    return _SUITES.get(folder, "core")


@pytest.fixture(autouse=True)
def _signals_are_heard() -> None:
    """Let what a test starts hear signals: a command that ran in this process has left it deaf, as a job in the
    background is from its start.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(scope="session")
def sweep(pytestconfig: pytest.Config) -> bool:
    """Whether tests of faults are to try every place, and whole data, however long that takes."""
    return bool(pytestconfig.getoption("--sweep"))


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of a server for the tests of one process."""
    folder = tmp_path_factory.mktemp("postgres") / "server"
    with embedded(folder, binaries=pytestconfig.getoption("--postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def logical_server(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of a server whose log tells changes, as no warehouse needs it."""
    folder, binaries = tmp_path_factory.mktemp("logical") / "server", pytestconfig.getoption("--postgres")
    with (
        embedded(folder, binaries=binaries) as url,
        psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection,
    ):
        connection.execute("alter system set wal_level = logical")
        connection.execute("alter system set max_prepared_transactions = 4")
    with embedded(folder, binaries=binaries) as url:
        yield url


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def postgres_url(postgres_server: str, _numbers: Iterator[int]) -> Iterator[str]:
    """The address of a database with nothing in it, which goes with the test."""
    with _database(postgres_server, f"test_{next(_numbers)}") as url:
        yield url


@pytest.fixture
def empty_url(postgres_server: str, _numbers: Iterator[int]) -> Iterator[str]:
    """The address of another such database beside it."""
    with _database(postgres_server, f"test_{next(_numbers)}") as url:
        yield url


@pytest.fixture
def logical_url(logical_server: str, _numbers: Iterator[int]) -> Iterator[str]:
    """The address of such a database on the server whose log tells changes; its slots go with it."""
    with _database(logical_server, f"test_{next(_numbers)}") as url:
        yield url


@contextmanager
def _database(server: str, name: str) -> Iterator[str]:
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"create database {name}")
        yield server.replace("/assay?", f"/{name}?")
        connection.execute(f"drop database {name} with (force)")


class RowsReport:
    """Gathers, in the main process, the outcome of each marked test; the worst of its phases counts."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.tests: dict[str, dict[str, object]] = {}

    def pytest_sessionstart(self) -> None:
        self.target.unlink(missing_ok=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        ids = dict(report.user_properties).get("rows")
        if ids and (report.when == "call" or report.outcome != "passed"):
            self.tests[report.nodeid] = {"rows": ids, "outcome": report.outcome}

    def pytest_sessionfinish(self) -> None:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.target.write_text(json.dumps(self.tests, indent=1, sort_keys=True))
