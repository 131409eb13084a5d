"""A server that goes away in the middle of a run is waited for: it is stopped as by a failure, and comes back."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote

import psycopg
import pytest

import assay
from assay import assembly, platform
from assay.assembly import Location
from assay.model.run import RunResult
from assay.orchestrators.embedded import Embedded
from assay.proof.crashing.points import Points
from assay.runtime.lanes import Lanes
from assay.settings import Settings
from assay.warehouses.postgres.scratch import strike
from assay.warehouses.postgres.server.embedded import embedded
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.conformance.processes import content

pytestmark = pytest.mark.faults
SETTINGS = Settings(workers=2, retry_seconds=0.1)


class Server:
    """A server in a folder that can be struck down; it is back after a moment."""

    lake: Path | None = None
    """The folder of a lake, where the server has its catalog; else it holds the warehouse itself."""

    def __init__(self, folder: Path, uses: ExitStack) -> None:
        self._folder, self._uses = folder, uses
        self.url = self._start()
        self.struck, self.comes_back = 0, True

    @property
    def place(self) -> Location:
        """The warehouse that depends on the server, as a run is told it."""
        return self.lake or self.url

    @property
    def settings(self) -> Settings:
        return replace(SETTINGS, catalog=self.url) if self.lake else SETTINGS

    def made(self) -> None:
        """Make what a run needs to be there."""
        if self.lake is None:
            assay.migrate(ride_bookings, warehouse=self.url)

    def strike(self) -> None:
        """Stop the server at once, and have it started again in the background."""
        self.struck += 1
        strike(self._folder)
        if self.comes_back:
            threading.Thread(target=self._start).start()

    def _start(self) -> str:
        return self._uses.enter_context(embedded(self._folder)).replace("+psycopg", "")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with ExitStack() as uses:
        yield Server(tmp_path / "server", uses)


@pytest.fixture(params=["a database", "a shared lake"])
def either(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Server:
    """The server, with each kind of warehouse that depends on one."""
    server.lake = tmp_path / "shared" if request.param == "a shared lake" else None
    return server


def run(
    server: Server, bookings: Path, moments: frozenset[tuple[str, str]], strike: Callable[[], None] | None = None
) -> RunResult:
    """Run the rides, and strike the server down at moments: each the first time that it comes."""
    left = set(moments)

    def tell(when: str, name: str) -> None:
        if (when, name.partition(" ")[0]) in left:
            left.discard((when, name.partition(" ")[0]))
            (strike or server.strike)()

    points = Points(tell=tell)
    warehouse = assembly.warehouse(server.settings, server.place, create=True)
    with closing(assembly.engine(SETTINGS, None)) as engine:
        target = platform.resolve(ride_bookings, {"bookings": bookings}, SETTINGS)
        orchestrator = Embedded(points.engine(engine), points.warehouse(warehouse), SETTINGS, Lanes.of(SETTINGS))
        return orchestrator.run(target, platform.options({}))


@pytest.mark.row("003-10")
@pytest.mark.parametrize(
    "moments",
    [
        frozenset({("after", "record")}),
        frozenset({("before", "publish")}),
        frozenset({("after", "publish")}),
        frozenset({("after", "begin"), ("before", "record_node"), ("after", "prepare")}),
    ],
    ids=lambda moments: ", ".join(" ".join(moment) for moment in sorted(moments)),
)
def test_a_restart_of_the_server_is_ridden_out(
    tmp_path: Path, either: Server, moments: frozenset[tuple[str, str]]
) -> None:
    bookings = generate(tmp_path, rows=3_000)["bookings"]
    either.made()
    result = run(either, bookings, moments)
    assert (result.state, result.problems, either.struck) == ("published", (), len(moments))
    assert assay.run(ride_bookings, warehouse=tmp_path / "lake", sources={"bookings": bookings}).ok
    with assay.connect(either.place) as here, assay.connect(tmp_path / "lake") as there:
        assert content(here) == content(there)
    assert assay.verify(either.place).damaged == ()


class Proxy:
    """Stands between a server and its clients; the answer to one commit can be lost on the way."""

    def __init__(self, folder: Path, server: Path) -> None:
        folder.mkdir()
        self._server = str(server / ".s.PGSQL.5432")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / ".s.PGSQL.5432"))
        self._listening.listen()
        self.armed, self.lost = False, 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                if self.armed and b"COMMIT\x00" in data:
                    self.armed, self.lost = False, self.lost + 1
                    self._lose_answer(data, one, other)
                    return
                other.sendall(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _lose_answer(data: bytes, client: socket.socket, server: socket.socket) -> None:
        client.shutdown(socket.SHUT_RDWR)
        server.sendall(data)
        # Read by the other thread, which finds nobody to pass it on to.
        time.sleep(0.5)
        server.shutdown(socket.SHUT_RDWR)


def test_a_publish_whose_answer_is_lost_is_found_to_have_landed(tmp_path: Path, either: Server) -> None:
    server, bookings = either, generate(tmp_path, rows=500)["bookings"]
    server.made()
    place, _, _ = server.url.partition("?host=")[2].partition("&")
    with TemporaryDirectory(prefix="p") as short:
        proxy = Proxy(Path(short) / "p", Path(unquote(place)))
        server.url = server.url.replace(place, quote(f"{short}/p"))
        result = run(server, bookings, frozenset({("before", "publish")}), lambda: setattr(proxy, "armed", True))
        assert (result.state, result.problems, proxy.lost) == ("published", (), 1)
        assert [past.state for past in assay.history(server.place)] == ["published"]
        assert assay.verify(server.place).damaged == ()


def test_a_server_that_is_struck_down_while_rows_are_copied_has_published_all_or_nothing(
    tmp_path: Path, server: Server
) -> None:
    bookings = generate(tmp_path, rows=40_000)["bookings"]
    assay.migrate(ride_bookings, warehouse=server.url)
    copied = threading.Event()

    def watch() -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            query = "select count(*) from pg_stat_progress_copy where relid::regclass::text like 'bronze%'"
            while not copied.is_set():
                if connection.execute(query).fetchone() != (0,):
                    copied.set()
        server.strike()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = run(server, bookings, frozenset())
    finally:
        copied.set()
        watcher.join()
    assert (result.state, server.struck) == ("published", 1)
    assert assay.verify(server.url).damaged == ()
    with psycopg.connect(server.url) as connection:
        for name in ("bronze.location", "silver.booking", "gold.customer_analytics"):
            found = connection.execute(f"select count(*) from {name}".encode()).fetchone()
            assert found == (result.tables[name.replace(".", "_", 1)].rows,)


def test_a_server_that_does_not_come_back_fails_the_run_and_publishes_nothing(
    tmp_path: Path, either: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "_SERVER_SECONDS", 1.0)
    server, bookings = either, generate(tmp_path, rows=500)["bookings"]
    server.made()
    server.comes_back = False
    with pytest.raises(assay.AssayError, match=r"postgresql://assay@/assay"):
        run(server, bookings, frozenset({("before", "publish")}))
    with embedded(tmp_path / "server"), assay.connect(server.place) as reader:
        assert reader.execute("select count(*) from meta.table_version").fetchall() == [(0,)]


@pytest.mark.row("003-10")
def test_a_wrong_password_is_told_at_once_and_not_shown(tmp_path: Path, server: Server) -> None:
    secret, rules = "not-to-be-shown", tmp_path / "server/data/pg_hba.conf"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"create role etl superuser login password '{secret}'")
        rules.write_text(f"local all etl scram-sha-256\n{rules.read_text()}")
        connection.execute("select pg_reload_conf()")
    bookings = generate(tmp_path, rows=50)["bookings"]
    right = server.url.replace("://assay@", f"://etl:{secret}@")
    wrong = server.url.replace("://assay@", f"://etl:{secret}-or-so@")
    began = time.monotonic()
    with pytest.raises(assay.AssayError, match='password authentication failed for user "etl"') as told:
        assay.run(ride_bookings, warehouse=wrong, sources={"bookings": bookings})
    assert time.monotonic() - began < 10
    assert secret not in "".join(traceback.format_exception(told.value))
    assay.migrate(ride_bookings, warehouse=right)
    result = assay.run(ride_bookings, warehouse=right, sources={"bookings": bookings})
    assert result.ok
    assert secret not in str(result.to_json())
    with psycopg.connect(server.url) as connection:
        for table in ("assay_run", "assay_lease", "assay_slice"):
            rows = connection.execute(f"select t::text from assay.{table} t".encode()).fetchall()
            assert secret not in str(rows)
