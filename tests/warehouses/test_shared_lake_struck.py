"""A publish into a shared lake that is broken off with all pointers moved and nothing committed has not been."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

import assay
from assay.warehouses.postgres.scratch import strike
from assay.warehouses.postgres.server.embedded import embedded
from tests.conformance.processes import Process, call, finished, seen, started, until
from tests.conformance.project import ROWS, make

pytestmark = pytest.mark.faults
_LOCKS = "select count(*) from pg_locks where relation = %s::regclass and granted = %s and mode = 'RowExclusiveLock'"


@dataclass
class Shared:
    """A project with a lake that has published once, new rows to load, and the server of its catalog."""

    project: Path
    server: Path
    url: str
    schema: str

    @property
    def lake(self) -> Path:
        return self.project / "lake"

    def locks(self, table: str, *, granted: bool) -> int:
        """How many transactions write to a table of the catalog, or wait for it."""
        with psycopg.connect(self.url) as connection:
            found = connection.execute(_LOCKS, [f"{self.schema}.{table}", granted]).fetchone()
        assert found
        return int(found[0])

    @contextmanager
    def publishing(self) -> Iterator[Process]:
        """A run that waits in the middle of the transaction which publishes."""
        with psycopg.connect(self.url) as held, started("run", "orders", cwd=self.project) as process:
            held.execute(f"lock table {self.schema}.assay_ledger in access exclusive mode".encode())
            assert until(lambda _: self.locks("assay_ledger", granted=False) == 1, self.lake, process)
            for moved in ("iceberg_tables", "assay_dataset", "assay_version"):
                assert self.locks(moved, granted=True) == 1
            yield process


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    project = make(tmp_path / "project")
    with embedded(tmp_path / "server") as address:
        url = address.replace("+psycopg", "")
        assert call("run", "orders", cwd=project, catalog=url).returncode == 0
        (project / "data/b.csv").write_text(ROWS.replace("\n1,", "\n11,").replace("10.10", "77"))
        with psycopg.connect(url) as connection:
            found = connection.execute("select nspname from pg_namespace where nspname like 'assay_lake%'").fetchone()
        assert found
        yield Shared(project, tmp_path / "server", url, found[0])


def states(lake: Path) -> list[str]:
    return [past.state for past in assay.history(lake)]


def test_by_a_client_that_is_killed_and_resume_publishes_it(shared: Shared) -> None:
    before = seen(shared.lake)
    with shared.publishing() as process:
        process.kill()
        process.wait()
    assert (seen(shared.lake), states(shared.lake)) == (before, ["staged", "published"])
    assert call("resume", "orders", cwd=shared.project).returncode == 0
    assert (len(seen(shared.lake)["silver_order"]), states(shared.lake)) == (4, ["published", "published"])
    assert assay.verify(shared.lake).damaged == ()


def test_by_a_server_that_is_struck_down_and_the_run_that_waits_for_it_publishes_once(shared: Shared) -> None:
    before = seen(shared.lake)
    with ExitStack() as uses:
        with suppress(psycopg.OperationalError), shared.publishing() as process:
            strike(shared.server)
            uses.enter_context(embedded(shared.server))
            end = finished(process)
        assert (end.returncode, "Traceback" in end.stderr) == (0, False), end.stderr
        assert (len(before["silver_order"]), len(seen(shared.lake)["silver_order"])) == (3, 4)
        assert states(shared.lake) == ["published", "published"]
        assert assay.verify(shared.lake).damaged == ()
