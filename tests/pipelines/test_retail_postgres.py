"""The retail pipeline in PostgreSQL: layer by layer, with the content of a lake, for every client of the server."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import psycopg
import pytest

import assay
from assay.settings import Settings
from pipelines.retail import COLUMNS, retail
from pipelines.retail.generate import generate
from tests.conformance.processes import call, content

AS_OF = dt.date(2025, 1, 8)
PUBLISHED = {"raw": "published 4 tables", "staging": "published 4 tables", "prod": "published 5 tables"}


@pytest.mark.row("003-06", "003-13")
def test_layers_are_run_one_by_one_and_every_client_reads_what_a_lake_would_hold(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    generate(tmp_path, days=4)
    url = postgres_url.replace("+psycopg", "")
    read = {name: f"{tmp_path}/raw_data/{name}/*/data.parquet" for name in COLUMNS}
    given = [part for name, path in read.items() for part in ("--source", f"{name}={path}")]
    assert call("migrate", "retail", "--warehouse", url).returncode == 0
    for layer, told in PUBLISHED.items():
        ended = call("run", "retail", *given, "--layer", layer, "--as-of", str(AS_OF), "--warehouse", url)
        assert (ended.returncode, told in ended.stdout) == (0, True), ended.stdout + ended.stderr
    again = call("run", "retail", *given, "--as-of", str(AS_OF), "--warehouse", url)
    assert again.stdout.splitlines()[-1].startswith("unchanged: ")
    nowhere = call("run", "retail", "--layer", "gold", "--warehouse", url)
    assert (nowhere.returncode, "'gold'" in nowhere.stderr) == (2, True)
    lake = tmp_path / "lake"
    assert assay.run(retail, sources=read, warehouse=lake, as_of=AS_OF, settings=Settings(workers=2)).ok
    with assay.connect(lake) as here, assay.connect(url) as there, psycopg.connect(url) as server:
        assert content(here) == content(there)
        for query in (
            "select customer_id, customer_name, email from staging.customers order by 1",
            "select order_date, total_orders, total_items, total_revenue from prod.daily_sales order by 1",
            "select order_date, product_id, total_quantity from prod.daily_product_metrics order by 1, 2",
        ):
            rows = server.execute(query.encode()).fetchall()
            assert rows == here.execute(query).fetchall()
            assert len(rows) > 1
        shown = call("sql", "select count(*) as n from staging.customers", "--warehouse", url)
        ((count,),) = server.execute("select count(*) from staging.customers").fetchall()
        assert shown.stdout.split() == ["n", str(count)]


@pytest.mark.faults
@pytest.mark.parametrize("proof", [("prove",), ("crashtest", "--points", "8", "--random", "4")], ids=lambda p: p[0])
def test_it_is_proven_on_a_database_too(tmp_path: Path, proof: tuple[str, ...]) -> None:
    generate(tmp_path, days=3)
    read = [f"--source={name}={tmp_path}/raw_data/{name}/*/data.parquet" for name in COLUMNS]
    name, *options = proof
    ended = call(name, "retail", *options, *read, "--as-of", str(AS_OF), "--on", "postgresql", within=900)
    assert ended.returncode == 0, ended.stdout + ended.stderr
