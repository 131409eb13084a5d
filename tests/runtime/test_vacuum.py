"""Vacuum: what no kept state, no run at work and no reader needs goes, and nothing else."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog

import assay
from assay.model.errors import WarehouseError
from assay.model.vacuum import Vacuumed
from tests.conformance.processes import call
from tests.runtime.shop import SETTINGS, Shop, define
from tests.runtime.test_undo import stored, tables

ONE = replace(SETTINGS, keep_runs=1, keep_days=0)


def vacuum(shop: Shop, *, keep: int = 1, remove: bool = True) -> Vacuumed:
    return assay.vacuum(shop.lake, remove=remove, settings=replace(ONE, keep_runs=keep))


def deliver(shop: Shop, number: int) -> None:
    shop.orders(f"{number},ann,{number}", "1,bob,5", file=f"orders{number:03}.csv")
    assert shop.run(*tables()).state == "published"


def referenced(shop: Shop) -> set[str]:
    """Every file that the lake's tables refer to: by the control tables, and by Iceberg's own metadata."""
    found: set[str] = set()
    with closing(sqlite3.connect(shop.lake / "catalog.db")) as connection:
        found |= {path for (path,) in connection.execute("select path from assay_file")}
        found |= {path for (path,) in connection.execute("select path from assay_quarantine")}
        found |= {path for (path,) in connection.execute("select value from assay_version, json_each(metadata_files)")}
        locations = connection.execute("select metadata_location from assay_version where metadata_location <> ''")
        found |= {place.removeprefix(f"{shop.lake}/") for (place,) in locations}
    return found | by_iceberg(shop)


def by_iceberg(shop: Shop) -> set[str]:
    """What the metadata refers to that other programs are pointed at, in all of its snapshots."""
    catalog = SqlCatalog("assay", uri=f"sqlite:///{shop.lake / 'catalog.db'}")
    found = set()
    for name in (name for space in catalog.list_namespaces() for name in catalog.list_tables(space)):
        table = catalog.load_table(name)
        found |= {table.metadata_location, *(log.metadata_file for log in table.metadata.metadata_log)}
        for snapshot in table.snapshots():
            found.add(snapshot.manifest_list)
            for manifest in snapshot.manifests(table.io):
                found.add(manifest.manifest_path)
                found |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    return {place.removeprefix(f"{shop.lake}/") for place in found}


def by_pyiceberg(shop: Shop) -> dict[str, list[Any]]:
    """The rows of every table, as pyiceberg reads them."""
    catalog = SqlCatalog("assay", uri=f"sqlite:///{shop.lake / 'catalog.db'}")
    names = [name for space in catalog.list_namespaces() for name in catalog.list_tables(space)]
    return {".".join(name): catalog.load_table(name).scan().to_arrow().to_pylist() for name in names}


def states(shop: Shop, *runs: int) -> dict[int, Any]:
    return {run: stored_at(shop, run) for run in runs}


def stored_at(shop: Shop, run: int) -> dict[str, list[tuple[Any, ...]]]:
    with assay.connect(shop.lake, at=run) as lake:
        found = lake.execute("select schema_name, view_name from duckdb_views() where not internal").fetchall()
        names = sorted(f"{layer}.{entity}" for layer, entity in found if layer != "meta")
        return {name: sorted(lake.execute(f"from {name}").fetchall(), key=repr) for name in names}


def test_what_would_go_is_shown_and_nothing_is_removed_unless_it_is_asked_for(shop: Shop) -> None:
    for number in range(4):
        deliver(shop, number)
    files, catalog = shop.files(), shop.catalog()
    shown = vacuum(shop, remove=False)
    assert (shop.files(), shop.catalog()) == (files, catalog)
    done = vacuum(shop)
    assert (shown.removed, done.removed) == (False, True)
    assert (shown.kinds, shown.oldest) == (done.kinds, done.oldest)
    assert shown.kinds["data"].count > 0
    gone = files - shop.files()
    counted = sum(found.count for kind, found in done.kinds.items() if kind != "rows")
    # The metadata that tables pointed at is replaced by some without the snapshots that went.
    assert (len(gone), len(shop.files() - files)) == (counted, 3)
    assert vacuum(shop).kinds == {kind: replace(found, count=0, bytes=0) for kind, found in done.kinds.items()}


def test_kept_states_read_as_before_and_others_are_refused_with_the_retention(shop: Shop) -> None:
    for number in range(6):
        deliver(shop, number)
    before, iceberg = states(shop, 4, 5, 6), by_pyiceberg(shop)
    assert vacuum(shop, keep=2).oldest == 4
    assert states(shop, 4, 5, 6) == before
    assert by_pyiceberg(shop) == iceberg
    assert shop.files() - referenced(shop) == set()
    assert referenced(shop) - shop.files() == set()
    with pytest.raises(WarehouseError, match=r"run 3 is older than what is kept here \(the last 2 runs and 0 days\)"):
        assay.connect(shop.lake, at=3)
    with pytest.raises(WarehouseError, match=r"What stood before run 4 is older .* the oldest state is that of run 4"):
        shop.undo(4)
    assert shop.undo(5).undone == (5, 6)
    assert stored(shop) == before[4]
    assert len(by_pyiceberg(shop)["silver.order"]) == 4
    assert referenced(shop) - shop.files() == set()
    deliver(shop, 7)
    assert vacuum(shop).removed
    assert shop.files() - referenced(shop) == set()
    assert referenced(shop) - shop.files() == set()
    deliver(shop, 8)
    assert [past.id for past in assay.history(shop.lake)] == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_a_vacuum_at_any_moment_of_a_run_takes_nothing_from_it(shop: Shop) -> None:
    deliver(shop, 1)
    shop.orders("2,cat,2", file="orders002.csv")
    done = []
    assert shop.run(*tables(), observers=[lambda _: done.append(vacuum(shop).removed)]).state == "published"
    assert len(done) > 8
    assert all(done)
    assert len(stored(shop)["bronze.order"]) == 3
    assert referenced(shop) - shop.files() == set()


def test_what_a_failed_run_staged_stays_while_it_can_be_resumed_and_goes_when_another_has_begun(shop: Shop) -> None:
    refusing = define(
        lambda bronze_order: bronze_order, "silver_other", checks=[assay.row_count(min=3, action="block")]
    )
    shop.orders("1,ann,1", "2,bob,2")
    assert shop.run(*tables(), refusing).state == "failed"
    staged = {path for path in shop.files() if path.endswith(".parquet")}
    assert vacuum(shop).kinds["leftover"].count == 0
    assert staged <= shop.files()
    mended = define(lambda bronze_order: bronze_order, "silver_other", checks=[assay.row_count(min=2, action="block")])
    resumed = shop.resume(*tables(), mended)
    assert (resumed.run, resumed.state) == (1, "published")
    shop.orders("1,ann,1", "2,bob,2", "3,cat,3")
    more = define(lambda bronze_order: bronze_order, "silver_other", checks=[assay.row_count(min=9, action="block")])
    assert shop.run(*tables(), more).state == "failed"
    shop.orders("1,ann,1", "2,bob,2", "3,cat,3", "4,dan,4")
    assert shop.run(*tables(), mended).state == "published"
    assert vacuum(shop, remove=False).kinds["leftover"].count > 0
    every = states(shop, 1, 3)
    left = assay.vacuum(shop.lake, remove=True, leftovers=True, settings=ONE)
    assert {kind for kind, found in left.kinds.items() if found.count} == {"leftover", "metadata"}
    assert (left.oldest, states(shop, 1, 3)) == (None, every)
    assert vacuum(shop).kinds["leftover"].count == 0
    assert shop.files() == referenced(shop)


def test_rejected_rows_stay_as_long_as_anything_of_their_run_stands(shop: Shop) -> None:
    table = define(lambda orders: orders, write=assay.Append(), checks=[assay.between("amount", 0, 9, action="reject")])
    settings = replace(SETTINGS, rejected_share=1.0)
    for number in range(4):
        shop.orders(f"{number},ann,{number}", f"{number},bob,99", file=f"orders{number % 2}.csv")
        assert shop.run(table, settings=settings).ok
    assert vacuum(shop).kinds["quarantine"].count == 1
    # Each file was delivered twice. What the first run added is in no kept state; what the second did, in one.
    assert shop.rows("select distinct run from meta.quarantine order by run") == [(2,), (3,), (4,)]


def test_the_command_shows_first_and_removes_with_yes(shop: Shop) -> None:
    for number in range(3):
        deliver(shop, number)
    kept = {"keep_runs": "1", "keep_days": "0"}
    shown = call("vacuum", "--warehouse", str(shop.lake), **kept)
    assert shown.stdout.splitlines()[-1] == (
        "nothing was removed; after `assay vacuum --yes`, the state after run 2 and all later ones can be read"
    )
    done = json.loads(call("vacuum", "--warehouse", str(shop.lake), "--yes", "--json", **kept).stdout)
    assert (done["removed"], done["oldest"], done["readers"]) == (True, 2, [])
    assert set(done["kinds"]) == {"data", "metadata", "quarantine", "leftover", "rows"}
    both = call("vacuum", "--warehouse", str(shop.lake), "--yes", "--dry-run", **kept)
    assert (both.returncode, both.stdout) == (2, "")
