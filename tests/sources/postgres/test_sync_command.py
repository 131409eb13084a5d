"""`assay sync` from a shell: what it prints, what its log tells, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources.postgres.shop import Shop

ASSAY = str(Path(sys.executable).parent / "assay")


def sync(shop: Shop, *arguments: str, url: str = "env:SHOP_URL") -> subprocess.CompletedProcess[str]:
    command = [ASSAY, "sync", url, "--warehouse", str(shop.lake), *arguments]
    environment = {"SHOP_URL": shop.url, "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)


@pytest.mark.row("002-06", "002-09", "002-10")
def test_tables_are_chosen_read_anew_and_told_as_json(shop: Shop) -> None:
    first = sync(shop, "--tables", "orders", "--json", "--log", "json")
    told = json.loads(first.stdout)
    assert (first.returncode, told["state"], list(told["tables"])) == (0, "published", ["raw_orders"])
    events = [json.loads(line) for line in first.stderr.splitlines()]
    assert [event["event"] for event in events][0::3] == ["run_started", "run_ended"]
    assert [event["node"] for event in events if event["event"] == "node_ended"] == ["raw_orders"]
    again = json.loads(sync(shop, "--tables", "orders", "--full", "--json").stdout)
    assert again["tables"]["raw_orders"]["reason"] == "read, and found as it is published"
    assert again["tables"]["raw_orders"]["unchanged"] == 3


@pytest.mark.row("002-10")
def test_what_is_wrong_ends_with_2_and_what_failed_with_1(shop: Shop) -> None:
    assert sync(shop, "--tables", "nothing").returncode == 2
    missing = sync(shop, url="env:NO_SUCH_VARIABLE")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "NO_SUCH_VARIABLE is not set" in missing.stderr
    assert sync(shop).returncode == 0
    shop.execute("insert into orders select n, n, 'open', 'NaN', null, now() from generate_series(10, 99) n")
    failed = sync(shop)
    assert failed.returncode == 1
    assert "raw_orders: 90 of 93 rows (96.8%) were rejected" in failed.stdout
    assert failed.stdout.splitlines()[-1].startswith("failed because of raw_orders: nothing was published")
