"""A mirror takes no more memory for many rows than for few, nor for wide ones."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from tests.sources.postgres.shop import Shop

# What the system has counted as the peak of a process begins with that of its parent; what stands in /proc does not.
SYNC = """
import sys
from pathlib import Path
from assay.cli.app import main
try:
    main()
finally:
    (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    print(peak.split()[1], file=sys.stderr)
"""


@pytest.fixture
def target(postgres_url: str) -> str:
    return postgres_url.replace("+psycopg", "", 1)


def megabytes(shop: Shop, target: str, table: str) -> float:
    """Mirror one table in a process of its own; return the most memory that it took."""
    arguments = ["sync", "env:SHOP_URL", "--warehouse", target, "--tables", table, "--migrate", "--log", "none"]
    environment = {"SHOP_URL": shop.url, "PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(shop.lake.parent / "cache")}
    command = [sys.executable, "-c", SYNC, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return int(done.stderr.split()[-1]) / 1024


def mirrored(target: str, table: str) -> int:
    with psycopg.connect(target) as connection:
        (count,) = connection.execute(f"select count(*) from raw.{table}".encode()).fetchall()[0]
    return int(count)


@pytest.mark.faults
@pytest.mark.row("002-03")
def test_eight_times_the_rows_take_no_more_memory(shop: Shop, target: str) -> None:
    columns = "id bigint primary key, name text, amount numeric(12,2), updated_at timestamptz default now()"
    for table, rows in {"few": 200_000, "many": 1_600_000}.items():
        shop.execute(f"create table {table} ({columns})")
        shop.execute(f"insert into {table} select n, 'name ' || n, n / 100.0 from generate_series(1, {rows}) n")
    few, many, again = (megabytes(shop, target, table) for table in ("few", "many", "many"))
    assert (mirrored(target, "few"), mirrored(target, "many")) == (200_000, 1_600_000)
    assert many < few + 30, (few, many)
    # Nothing new: what is loaded, and no rows.
    assert again < 140, again


@pytest.mark.faults
@pytest.mark.row("002-03")
def test_wide_rows_take_little_more_memory_than_narrow_ones(shop: Shop, target: str) -> None:
    for table, width, rows in (("narrow", 1, 100_000), ("wide", 60, 100_000)):
        shop.execute(f"create table {table} (id bigint primary key, body text)")
        body = f"(select string_agg(md5((n * {width} + k)::text), '') from generate_series(1, {width}) k)"
        shop.execute(f"insert into {table} select n, {body} from generate_series(1, {rows}) n")
    narrow, wide = (megabytes(shop, target, table) for table in ("narrow", "wide"))
    assert (mirrored(target, "narrow"), mirrored(target, "wide")) == (100_000, 100_000)
    assert wide < narrow + 100, (narrow, wide)
