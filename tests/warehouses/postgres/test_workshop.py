"""What a run that was killed while it built leaves in the server is leftover; what one at work has there is not."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

import assay
from assay.model.workshop import prefix_of
from assay.warehouses.postgres.store import PostgresWarehouse

LEFT = "select nspname from pg_namespace where nspname like 'assay\\_run\\_%' order by 1"


def test_a_vacuum_takes_the_schemas_of_runs_that_were_killed_and_of_none_that_is_at_work(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    url = postgres_url.replace("+psycopg", "")
    killed = prefix_of(999, 1)
    made = f"create schema {killed}marts; create table {killed}marts.sales as select generate_series(1, 10000) as id"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(made)
        used = PostgresWarehouse(url, tmp_path, create=True)
        used.migrate([])
        handle = used.begin("shop", {"as_of": "2026-11-21"}, patience=0)
        with used.workshop.opened(handle, ["raw"], {}, {}) as space:
            assert server.execute(LEFT).fetchall() == [(f"{space.prefix}raw",)], "what is left goes with the next build"
            server.execute(made)
            told = assay.vacuum(url, leftovers=True).kinds["leftover"]
            assert (told.count, 300_000 < told.bytes < 600_000) == (1, True)
            assert len(server.execute(LEFT).fetchall()) == 2, "nothing goes that is not asked for"
            assert assay.vacuum(url, leftovers=True, remove=True).kinds["leftover"] == told
            assert server.execute(LEFT).fetchall() == [(f"{space.prefix}raw",)]
        assert server.execute(LEFT).fetchall() == []
