"""Which tables a sync mirrors, and what it tells of those that it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import assay
from assay import SourceError, UsageError
from tests.sources.postgres.shop import DAY, Shop
from tests.sources.postgres.test_sync_command import sync


def mirrored(shop: Shop, *tables: str, url: str | None = None) -> tuple[list[str], tuple[str, ...]]:
    found = assay.sync(url or shop.url, warehouse=shop.lake, tables=tables, as_of=DAY)
    assert found.problems == ()
    return list(found.tables), found.warnings


def test_tables_are_left_out_by_name_or_pattern(shop: Shop) -> None:
    shop.execute("create schema logs", "create table logs.a (id int)", "create table logs.b (id int)")
    assert mirrored(shop, "!orders") == (["raw_logs_a", "raw_logs_b", "raw_customers"], ())
    assert mirrored(shop, "!logs.*") == (["raw_customers", "raw_orders"], ())
    assert mirrored(shop, "logs.*", "orders", "!*.b") == (["raw_logs_a", "raw_orders"], ())
    with pytest.raises(SourceError, match="has no table"):
        mirrored(shop, "!*")


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ('("A" int, a int)', "'a'"),
        ("()", "column"),
        ("(id int, _assay_file int)", "'_assay_file' begins as the columns that assay adds"),
    ],
)
def test_a_table_that_cannot_be_mirrored_is_told_with_the_way_to_leave_it_out(
    shop: Shop, columns: str, why: str
) -> None:
    shop.execute(f"create table odd {columns}")
    with pytest.raises(UsageError, match=r"odd.*leave it out by --tables '!public\.odd'\.$") as refused:
        mirrored(shop)
    assert why in str(refused.value)
    assert mirrored(shop, "!public.odd") == (["raw_customers", "raw_orders"], ())


def test_two_tables_of_one_name_are_told_with_the_way_to_leave_one_out(shop: Shop) -> None:
    shop.execute('create table "Orders" (id int primary key)')
    with pytest.raises(UsageError, match=r"leave it out by --tables '!public.orders'"):
        mirrored(shop)
    assert mirrored(shop, "!Orders") == (["raw_customers", "raw_orders"], ())


def test_a_published_table_that_is_dropped_or_renamed_is_told(shop: Shop) -> None:
    mirrored(shop)
    shop.execute("drop table customers", "alter table orders rename to bills")
    gone = "stays as it was published, for the database has it no more"
    said = (f"raw.customers {gone}", f"raw.orders {gone}")
    assert mirrored(shop) == (["raw_bills"], said)
    assert mirrored(shop, "!customers") == (["raw_bills"], said[1:])
    assert mirrored(shop, "bills") == (["raw_bills"], ())
    told = sync(shop, "--json")
    assert json.loads(told.stdout)["warnings"] == list(said)
    assert f"\nwarning: {said[0]}\nwarning: {said[1]}\n" in sync(shop).stdout


def test_a_published_table_that_the_role_may_not_read_any_more_is_told(shop: Shop) -> None:
    shop.execute(
        "do $$ begin create role limited login; exception when duplicate_object then null; end $$",
        "grant select on orders, customers to limited",
    )
    limited = shop.url.replace("assay@", "limited@")
    assert mirrored(shop, url=limited) == (["raw_customers", "raw_orders"], ())
    shop.execute("revoke select on customers from limited")
    said = "raw.customers stays as it was published, for the role may not read public.customers"
    assert mirrored(shop, url=limited) == (["raw_orders"], (said,))


def test_a_warehouse_of_assay_in_the_database_is_left_out(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for _ in range(2):
        found = assay.sync(shop.url, warehouse=shop.url, migrate=True, as_of=DAY)
        assert list(found.tables) == ["raw_customers", "raw_orders"]
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("tables of a warehouse of assay were left out: ")
    assert found.warnings[0].endswith(" in assay, raw")
