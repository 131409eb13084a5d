"""A warehouse keeps what runs record: manifests that count once, versions that can be read again, and the history."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from assay.model.data import ColumnStats, DataFile, Manifest
from assay.model.errors import WarehouseError
from assay.model.ledger import Ledger
from assay.model.ports import Warehouse
from assay.model.published import State
from assay.model.run import NodeRun, RunHandle
from assay.model.schema import Schema
from assay.model.source import FileIdentity, Slice
from assay.warehouses import readers
from tests.conformance.place import Place, ended


def manifest(dataset: str, attempt: int = 1) -> Manifest:
    """A manifest with something to lose in every field."""
    identity = FileIdentity('/data/it\'s "ö".csv', 2**40, 1_700_000_000_000_000_001, 3, 2**64 - 1, "ab" * 32)
    stats = {"id": ColumnStats("1", "9", 0, 9, 80), 'a "b"': ColumnStats(None, None, 9, 9, 0)}
    return Manifest(
        dataset=dataset,
        attempt=attempt,
        base=7,
        changed=True,
        schema=Schema.of([("id", "BIGINT"), ('a "b"', "DECIMAL(12,2)")]),
        next_field_id=5,
        partition_by=("id", 'a "b"'),
        added=(DataFile(f"x/{dataset}/{attempt} it's.parquet", 9, 2**40, {"id": "1", 'a "b"': None}, stats, "ö.csv"),),
        removed=("y/1.parquet", "y/2.parquet"),
        fingerprint="f" * 64,
        inputs={"bronze.a": 3, "source:shop.orders": 7},
        as_of="2024-12-01",
        slices=(Slice("ö.csv", 4, identity, "2024-11-30", 2**62, 9),),
    )


def record(warehouse: Warehouse, handle: RunHandle, *manifests: Manifest) -> None:
    """Record manifests whose files have been written."""
    for file in (file for each in manifests for file in each.added):
        write(warehouse, file.path)
    warehouse.record(handle, *manifests)


def write(warehouse: Warehouse, path: str) -> None:
    """Write a file that is there, whatever it holds."""
    written = Path(warehouse.root, path)
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_bytes(b"rows")


def test_an_empty_warehouse_has_published_nothing_and_knows_no_run(warehouse: Warehouse) -> None:
    assert warehouse.state() == State({}, {}, {})
    assert warehouse.history(10) == []
    assert warehouse.manifests(1) == {}
    assert warehouse.look_up(1) is None


def test_a_warehouse_opened_again_holds_what_it_held(place: Place) -> None:
    run = place.run(a="select 1 as id")
    again = place.reopen()
    assert again.state() == place.warehouse.state()
    assert [past.id for past in again.history(10)] == [run]
    assert Path(again.root).is_relative_to(place.folder)


def test_run_numbers_grow_over_all_pipelines_and_tokens_within_each(place: Place) -> None:
    handles = []
    for pipeline in ("shop", "other", "shop", "other", "shop"):
        handles.append(place.begin(pipeline))
        place.warehouse.close_run(handles[-1], ended(handles[-1], pipeline, "failed"))
    numbers = [handle.id for handle in handles]
    assert numbers == sorted(set(numbers))
    assert handles[0].token < handles[2].token < handles[4].token
    assert handles[1].token < handles[3].token


def test_a_manifest_comes_back_as_it_was_recorded(place: Place) -> None:
    handle, recorded = place.begin(), manifest("bronze.a")
    record(place.warehouse, handle, recorded)
    assert place.reopen().manifests(handle.id) == {"bronze.a": recorded}


def test_manifests_are_found_by_run_and_by_dataset(place: Place) -> None:
    shop, other = place.begin("shop"), place.begin("other")
    record(place.warehouse, shop, manifest("bronze.a"), manifest("keys:bronze.a"))
    record(place.warehouse, shop, manifest("bronze.b"))
    record(place.warehouse, other, manifest("bronze.c"))
    found = place.warehouse.manifests
    assert set(found(shop.id)) == {"bronze.a", "keys:bronze.a", "bronze.b"}
    assert set(found(shop.id, ["bronze.b", "bronze.c"])) == {"bronze.b"}
    assert found(shop.id, []) == {}
    assert set(found(other.id)) == {"bronze.c"}


def test_the_first_attempt_counts_and_a_later_one_is_left_with_all_it_brought(place: Place) -> None:
    handle = place.begin()
    record(place.warehouse, handle, manifest("silver.a", attempt=1))
    record(place.warehouse, handle, manifest("silver.a", attempt=2), manifest("keys:silver.a", attempt=2))
    assert place.warehouse.manifests(handle.id) == {"silver.a": manifest("silver.a", attempt=1)}


def test_of_attempts_that_race_one_counts_with_everything_it_brought(place: Place) -> None:
    handle, together = place.begin(), threading.Barrier(8)

    def attempt(number: int) -> None:
        warehouse = place.reopen()
        together.wait()
        record(warehouse, handle, manifest("silver.a", number), manifest("keys:silver.a", number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(1, 9)))
    stands = place.warehouse.manifests(handle.id)
    assert stands["silver.a"] == manifest("silver.a", stands["silver.a"].attempt)
    assert stands["keys:silver.a"] == manifest("keys:silver.a", stands["silver.a"].attempt)


def test_many_threads_record_at_once_and_none_is_lost(place: Place) -> None:
    handle, names = place.begin(), [f"bronze.t{n}" for n in range(60)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda name: record(place.warehouse, handle, manifest(name)), names))
    assert place.warehouse.manifests(handle.id) == {name: manifest(name) for name in names}


def test_what_nodes_did_can_be_recorded_from_many_threads_and_again(place: Place) -> None:
    handle = place.begin()
    failed = NodeRun("bronze_a", "failed", "new", error="it's broken", quarantine=("_q/1.parquet",))
    done = NodeRun("bronze_a", "written", "new", 3, Ledger({"orders": 3}, returned=3, written=3))
    write(place.warehouse, failed.quarantine[0])
    place.warehouse.record_node(handle, failed)
    place.warehouse.record_node(handle, done)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: place.warehouse.record_node(handle, replace(done, name=f"bronze_{n}")), range(20)))
    assert [past.state for past in place.warehouse.history(1)] == ["staged"]


def test_an_earlier_run_is_read_with_its_own_files_schema_and_slices(place: Place) -> None:
    first = place.run(a="select 1 as id", b="select 7 as id")
    failed = place.begin()
    place.warehouse.close_run(failed, ended(failed, state="failed", problems=["no"]))
    second = place.begin()
    columns = [("name", "VARCHAR"), ("id", "BIGINT")]
    place.stage(second, "bronze.a", "select 2 as id, 'x' as name", columns)
    place.publish(second)
    assert place.rows("bronze.a") == [("x", 2)]
    past = place.warehouse.state(at=first)
    assert {name: version.id for name, version in past.versions.items()} == {"bronze.a": first, "bronze.b": first}
    assert past.versions["bronze.a"].schema == Schema.of([("id", "BIGINT")])
    assert place.rows("bronze.a", past) == [(1,)]
    assert place.warehouse.state(at=second.id) == place.warehouse.state()
    now = place.warehouse.state().versions
    assert {name: version.id for name, version in now.items()} == {"bronze.a": second.id, "bronze.b": first}
    assert [(c.name, c.field_id) for c in now["bronze.a"].schema] == [("name", 2), ("id", 1)]
    assert now["bronze.a"].next_field_id == 3


@pytest.mark.parametrize("run", ["failed", "unknown"])
def test_the_state_after_a_run_that_published_nothing_is_refused_by_its_number(place: Place, run: str) -> None:
    place.run(a="select 1 as id")
    handle = place.begin()
    place.warehouse.close_run(handle, ended(handle, state="failed"))
    number = handle.id if run == "failed" else 99
    with pytest.raises(WarehouseError, match=f"Run {number} has published nothing"):
        place.warehouse.state(at=number)


def test_who_asks_for_a_state_that_cannot_be_read_holds_none(place: Place) -> None:
    place.run(customer="select 1 as id")
    with pytest.raises(WarehouseError, match="Run 7 has published nothing here"):
        place.warehouse.open(7)
    assert readers.held(Path(place.warehouse.root)) == frozenset()
    held = place.warehouse.open()
    assert len(readers.held(Path(place.warehouse.root))) == 1
    held.close()
    assert readers.held(Path(place.warehouse.root)) == frozenset()


def test_the_history_lists_the_newest_runs_first_with_what_became_of_them(place: Place) -> None:
    done = place.begin()
    place.stage(done, "bronze.a", "select 1 as id")
    tables = {
        "bronze_a": NodeRun("bronze_a", "written", "new", 1, Ledger(inserted=1, updated=2)),
        "bronze_b": NodeRun("bronze_b", "unchanged", "as it was", 9),
    }
    place.publish(done, result=ended(done, tables=tables))
    failed = place.begin()
    place.warehouse.close_run(failed, ended(failed, state="failed", problems=["a: it's wrong", "b: 'ö'"]))
    other = place.begin("other")
    history = place.warehouse.history(10)
    assert [(past.id, past.pipeline, past.state, past.published) for past in history] == [
        (other.id, "other", "staged", None),
        (failed.id, "shop", "failed", None),
        (done.id, "shop", "published", 1),
    ]
    assert [past.problems for past in history] == [(), ("a: it's wrong", "b: 'ö'"), ()]
    assert (history[2].tables, history[2].rows) == (("bronze_a",), 3)
    assert [past.ended_at is None for past in history] == [True, False, False]
    assert history[1].started_at < str(history[1].ended_at)
    assert {past.as_of for past in history} == {"2024-12-01"}
    assert [past.id for past in place.warehouse.history(2)] == [other.id, failed.id]


def test_a_run_is_looked_up_with_what_its_nodes_did_at_its_end_and_while_it_is_at_work(place: Place) -> None:
    done = place.begin()
    place.stage(done, "bronze.a", "select 1 as id")
    node = NodeRun("bronze_a", "written", "new", 1, Ledger({"orders": 1}, returned=1, written=1))
    place.publish(done, result=ended(done, tables={"bronze_a": node}))
    under_way = place.begin()
    place.warehouse.record_node(under_way, replace(node, name="orders", status="computed"))
    past, record = place.warehouse.look_up(done.id) or pytest.fail("the run is not found")
    assert [past] == place.warehouse.history(10)[1:]
    assert (record.tables, record.nodes["bronze_a"]) == (("bronze_a",), node.to_json())
    past, record = place.warehouse.look_up(under_way.id) or pytest.fail("the run is not found")
    assert (past.state, past.seconds, record.tables) == ("staged", None, ())
    assert record.nodes["orders"]["status"] == "computed"
    assert place.warehouse.look_up(99) is None


def test_temporary_files_go_with_their_run_and_all_others_stay(place: Place) -> None:
    handle, root = place.begin(), Path(place.warehouse.root)
    view = place.stage(handle, "view:prepared", "select 1 as id").added
    table = place.stage(handle, "bronze.a", "select 1 as id").added
    assert all((root / file.path).is_file() for file in (*view, *table))
    place.warehouse.discard(handle.id + 1)
    assert all((root / file.path).is_file() for file in view)
    place.warehouse.discard(handle.id)
    assert not any((root / file.path).exists() for file in view)
    assert all((root / file.path).is_file() for file in table)


def test_no_two_datasets_share_a_folder(warehouse: Warehouse) -> None:
    names = ["bronze.a", "keys:bronze.a", "source:shop.a", "source:bronze.a", "view:a", "bronze.view", "bronze.keys"]
    folders = [warehouse.folder(name, 1) for name in names] + [warehouse.quarantine_folder()]
    assert len(set(folders)) == len(names) + 1
    assert warehouse.folder("view:a", 1) != warehouse.folder("view:a", 2)
    assert warehouse.folder("bronze.a", 1) == warehouse.folder("bronze.a", 2)
    assert [folder for folder in folders if folder.startswith("/") or ".." in folder] == []
