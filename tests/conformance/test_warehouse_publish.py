"""A publish shows all datasets of a run at once, or changes nothing: what it read and wrote must not have moved."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from assay.model.errors import AssayError, ConflictError, WarehouseError
from assay.model.ledger import Ledger
from assay.model.published import State
from assay.model.run import NodeRun, RunHandle
from assay.model.source import FileIdentity, Slice
from tests.conformance.place import Place, ended

SOURCE = "source:shop.orders"


def part(name: str, number: int, sha256: str = "0" * 64) -> Slice:
    return Slice(name, number, FileIdentity(f"/in/{name}", 10, 20, 30, 2**64 - 1, sha256), "2024-12-01", 50, 1)


def deliver(place: Place, kept: tuple[Slice, ...], new: Mapping[Slice, str]) -> int:
    """Run and publish a source: some slices stay, others come with the rows of a query, all the rest leave."""
    handle = place.begin()
    drafts = {one: place.draft(handle, SOURCE, query) for one, query in new.items()}
    version = place.warehouse.state().versions.get(SOURCE)
    names = {one.name for one in kept}
    manifest = replace(
        next(iter(drafts.values())),
        added=tuple(replace(file, slice=one.name) for one, draft in drafts.items() for file in draft.added),
        removed=tuple(file.path for file in version.files if file.slice not in names) if version else (),
        slices=tuple(sorted((*kept, *new), key=lambda one: one.number)),
    )
    place.warehouse.record(handle, manifest)
    place.publish(handle)
    return handle.id


def refused(place: Place, error: type[AssayError], match: str, handle: RunHandle, **publication: object) -> None:
    """Check that the publish is refused, that nobody sees anything of it, and that the run can still be ended."""
    before = place.facts()
    with pytest.raises(error, match=match):
        place.publish(handle, **publication)  # type: ignore[arg-type]
    assert place.facts() == before
    place.warehouse.renew(handle)
    place.warehouse.close_run(handle, ended(handle, state="failed", problems=["refused"]))
    assert place.warehouse.state() == before[0]


def test_nothing_is_seen_before_the_publish_and_everything_after_it(place: Place) -> None:
    datasets = ["bronze.a", "silver.b", "gold.c", "keys:silver.b", SOURCE]
    handle, stranger = place.begin(), place.reopen()
    for number, dataset in enumerate(datasets):
        place.stage(handle, dataset, f"select {number} as id")
        assert stranger.state() == State({}, {}, {})
    manifests, planned = place.warehouse.manifests(handle.id), place.warehouse.state()
    place.warehouse.prepare(handle.id, manifests, planned)
    assert stranger.state() == State({}, {}, {})
    place.publish(handle)
    seen = stranger.state()
    assert {name: version.id for name, version in seen.versions.items()} == dict.fromkeys(datasets, handle.id)
    assert {name: place.rows(name, seen) for name in datasets} == {name: [(n,)] for n, name in enumerate(datasets)}
    assert seen.owners == dict.fromkeys(datasets, "shop")


def test_a_reader_never_sees_a_part_of_a_publish(place: Place) -> None:
    names = [f"t{n}" for n in range(6)]
    place.run(**dict.fromkeys(names, "select 0 as id"))
    done, seen = threading.Event(), set()

    def read() -> None:
        stranger = place.reopen()
        while not done.is_set():
            state = stranger.state()
            assert len(state.versions) == len(names)
            (run,) = {version.id for version in state.versions.values()}
            (value,) = {place.rows(name, state)[0] for name in state.versions}
            seen.add((run, value))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            runs = [place.run(**dict.fromkeys(names, f"select {turn} as id")) for turn in range(1, 7)]
        finally:
            done.set()
        reading.result()
    assert seen <= {(1, (0,)), *((run, (turn,)) for turn, run in enumerate(runs, 1))}
    assert len(seen) > 1


def test_a_new_version_has_the_files_added_and_those_not_removed(place: Place) -> None:
    first = place.run(a="select 1 as id")
    handle = place.begin()
    more = replace(place.draft(handle, "bronze.a", "select 2 as id"), removed=())
    place.warehouse.record(handle, more)
    place.publish(handle)
    assert place.rows("bronze.a") == [(1,), (2,)]
    version = place.warehouse.state().versions["bronze.a"]
    assert (version.rows, version.fingerprint, version.as_of) == (2, f"of run {handle.id}", "2024-12-01")
    place.run(a="select 3 as id")
    assert place.rows("bronze.a") == [(3,)]
    assert place.rows("bronze.a", place.warehouse.state(at=handle.id)) == [(1,), (2,)]
    assert place.rows("bronze.a", place.warehouse.state(at=first)) == [(1,)]


def test_a_table_may_be_published_empty_and_filled_again(place: Place) -> None:
    for rows in ([], [(1,)], [], [(2,)]):
        place.run(a=f"select * from (values ({rows[0][0]})) t(id)" if rows else "select 1 as id where false")
        assert place.rows("bronze.a") == rows


def test_a_publish_is_refused_where_what_it_replaces_has_moved(place: Place) -> None:
    place.run(a="select 1 as id", b="select 1 as id")
    planned, handle = place.warehouse.state(), place.begin("shop")
    place.stage(handle, "bronze.a", "select 2 as id", state=planned)
    other = place.begin("other")
    place.stage(other, "bronze.a", "select 3 as id")
    place.publish(other)  # it says it is of "shop", as an administrator's repair would
    refused(place, ConflictError, "bronze.a", handle, state=planned)
    assert place.rows("bronze.a") == [(3,)]


def test_a_publish_is_refused_where_what_it_only_read_has_moved(place: Place) -> None:
    place.run("left", a="select 1 as id")
    place.run("right", b="select 1 as id")
    planned = place.warehouse.state()
    left, right = place.begin("left"), place.begin("right")
    place.stage(left, "bronze.a", "select 2 as id", state=planned)
    place.stage(right, "bronze.b", "select 2 as id", state=planned)
    place.publish(left, pipeline="left", state=planned, reads=["bronze.b"])
    refused(place, ConflictError, "bronze.a", right, pipeline="right", state=planned, reads=["bronze.a"])
    assert (place.rows("bronze.a"), place.rows("bronze.b")) == ([(2,)], [(1,)])


@pytest.mark.parametrize("role", ["read", "written"])
def test_a_publish_is_refused_where_a_dataset_came_up_that_was_not_there(place: Place, role: str) -> None:
    planned, handle = place.warehouse.state(), place.begin()
    place.stage(handle, "bronze.b" if role == "read" else "bronze.a", "select 1 as id", state=planned)
    place.run("other", a="select 2 as id")
    refused(place, ConflictError, "bronze.a", handle, state=planned, reads=["bronze.a"])
    assert place.rows("bronze.a") == [(2,)]


def test_a_publish_of_several_datasets_is_refused_whole_where_one_has_moved(place: Place) -> None:
    place.run("shop", a="select 1 as id", c="select 1 as id")
    planned, handle = place.warehouse.state(), place.begin()
    for dataset in ("bronze.a", "bronze.b", "bronze.c", "bronze.z", "keys:bronze.a"):
        place.stage(handle, dataset, "select 2 as id", state=planned)
    place.run("other", z="select 3 as id")
    refused(place, ConflictError, "bronze.z", handle, state=planned)
    assert set(place.warehouse.state().versions) == {"bronze.a", "bronze.c", "bronze.z"}
    assert [place.rows(name) for name in ("bronze.a", "bronze.c", "bronze.z")] == [[(1,)], [(1,)], [(3,)]]


def test_a_dataset_of_another_pipeline_is_refused_by_the_name_of_its_owner(place: Place) -> None:
    place.run("other", a="select 1 as id")
    handle = place.begin()
    place.stage(handle, "bronze.a", "select 2 as id")
    place.stage(handle, "bronze.b", "select 2 as id")
    refused(place, WarehouseError, "bronze.a is written by the pipeline 'other'", handle)
    assert set(place.warehouse.state().versions) == {"bronze.a"}


def test_equal_content_made_in_another_way_changes_what_it_was_made_from_and_nothing_else(place: Place) -> None:
    first = place.run(a="select 1 as id", b="select 1 as id")
    before = place.warehouse.state()
    handle = place.begin()
    same = replace(
        place.draft(handle, "bronze.a"),
        changed=False,
        added=(),
        removed=(),
        fingerprint="another way",
        inputs={"bronze.b": first},
    )
    place.warehouse.record(handle, same)
    place.publish(handle, result=ended(handle, state="unchanged"))
    after = place.warehouse.state()
    noted = replace(before.versions["bronze.a"], fingerprint="another way", inputs={"bronze.b": first})
    assert after.versions == {"bronze.a": noted, "bronze.b": before.versions["bronze.b"]}
    newest = place.warehouse.history(1)[0]
    assert (newest.id, newest.state, newest.published) == (handle.id, "unchanged", None)
    assert place.begin(patience=0).id > handle.id


def test_slices_are_kept_replaced_and_removed_and_earlier_ones_stay_readable(place: Place) -> None:
    a, b, c = part("a.csv", 1), part("b.csv", 2), part("it's ö/c.csv", 3)
    first = deliver(place, (), {a: "select 1 as id", b: "select 2 as id"})
    newer = part("b.csv", 2, "f" * 64)
    second = deliver(place, (a,), {newer: "select 20 as id", c: "select 3 as id"})
    third = deliver(place, (c,), {part("d.csv", 4): "select 4 as id"})
    expected = {
        first: ((a, b), [(1,), (2,)]),
        second: ((a, newer, c), [(1,), (3,), (20,)]),
        third: ((c, part("d.csv", 4)), [(3,), (4,)]),
    }
    for run, (slices, rows) in expected.items():
        state = place.warehouse.state(at=run)
        assert state.slices == {SOURCE: slices}
        assert place.rows(SOURCE, state) == rows
        assert {file.slice for file in state.versions[SOURCE].files} == {one.name for one in slices}
    assert place.warehouse.state().slices == {SOURCE: expected[third][0]}


def test_a_ledger_with_every_kind_of_line_is_published_with_its_run(place: Place) -> None:
    ledger = Ledger({"orders": 9, "it's": 1}, {'no "id"': 2}, 8, 1, 3, 4, 1, 1, 1, 1)
    nodes = {"bronze_a": NodeRun("bronze_a", "written", "new", 4, ledger)}
    handle = place.begin()
    place.stage(handle, "bronze.a")
    place.publish(handle, result=ended(handle, tables=nodes))
    assert (place.warehouse.history(1)[0].tables, place.warehouse.history(1)[0].rows) == (("bronze_a",), 2)


@pytest.mark.row("000-36")
def test_pipelines_that_publish_side_by_side_lose_no_commit(place: Place) -> None:
    together = threading.Barrier(4)

    def publish(pipeline: str) -> list[int]:
        mine = replace(place, warehouse=place.reopen())
        together.wait()
        return [mine.run(pipeline, **{pipeline: f"select {turn} as id"}) for turn in range(5)]

    pipelines = ["p0", "p1", "p2", "p3"]
    with ThreadPoolExecutor(4) as pool:
        runs = dict(zip(pipelines, pool.map(publish, pipelines), strict=True))
    history = place.warehouse.history(100)
    assert sorted(past.id for past in history) == sorted(run for numbers in runs.values() for run in numbers)
    assert sorted(past.published or 0 for past in history) == list(range(1, 21))
    for pipeline, numbers in runs.items():
        for turn, run in enumerate(numbers):
            assert place.rows(f"bronze.{pipeline}", place.warehouse.state(at=run)) == [(turn,)]
