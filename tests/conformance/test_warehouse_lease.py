"""A warehouse lets one run of a pipeline work at a time, and a run that was taken over publishes nothing."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from assay.model.errors import ConflictError, LeaseError
from assay.model.run import NodeRun, RunHandle
from tests.conformance.place import Place, ended


def until_it_is_a_zombie(pid: int) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, f"process {pid} has not died"
        time.sleep(0.005)


def taken_over(place: Place) -> tuple[RunHandle, RunHandle]:
    """Return a run whose process died with a table staged, and the one that has taken over."""
    with place.stranger() as (process, lost):
        place.stage(lost, "bronze.a", "select 666 as id")
        process.kill()
        process.wait()
        return lost, place.begin()


def test_a_second_run_without_patience_is_told_which_run_is_at_work(place: Place) -> None:
    first = place.begin()
    with pytest.raises(LeaseError, match=rf"Run {first.id} of shop is still at work"):
        place.begin()
    with pytest.raises(LeaseError, match=rf"Run {first.id} of shop is still at work"):
        place.reopen().begin("shop", {"as_of": "2024-12-02"}, patience=0)
    assert [past.id for past in place.warehouse.history(10)] == [first.id]


def test_a_living_process_is_not_taken_over_by_another(place: Place) -> None:
    with place.stranger() as (process, first):
        with pytest.raises(LeaseError, match=rf"Run {first.id} of shop is still at work"):
            place.begin()
        assert process.poll() is None


def test_patience_runs_out_where_the_first_run_does_not_end(place: Place) -> None:
    place.begin()
    began = time.monotonic()
    with pytest.raises(LeaseError):
        place.begin(patience=0.5)
    assert 0.5 <= time.monotonic() - began < 10


def test_a_patient_run_begins_when_the_first_has_ended(place: Place) -> None:
    first = place.begin()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(lambda: (place.reopen().begin("shop", {"as_of": "x"}, patience=60), time.monotonic()))
        # Long enough for a run that does not wait to be seen.
        with pytest.raises(TimeoutError):
            second.result(timeout=0.5)
        released = time.monotonic()
        place.warehouse.close_run(first, ended(first, state="failed"))
        handle, begun = second.result(timeout=60)
    assert handle.id > first.id
    assert handle.token > first.token
    assert begun >= released


def test_two_pipelines_work_at_once(place: Place) -> None:
    shop, other = place.begin("shop"), place.begin("other")
    place.warehouse.renew(shop)
    place.warehouse.renew(other)
    assert [past.state for past in place.warehouse.history(10)] == ["staged", "staged"]


def test_of_many_that_begin_at_once_one_begins(place: Place) -> None:
    together = threading.Barrier(8)

    def begin(_: int) -> RunHandle | None:
        warehouse = place.reopen()
        together.wait()
        try:
            return warehouse.begin("shop", {"as_of": "2024-12-01"}, patience=0)
        except LeaseError:
            return None

    with ThreadPoolExecutor(8) as pool:
        begun = [handle for handle in pool.map(begin, range(8)) if handle]
    assert [past.id for past in place.warehouse.history(10)] == [handle.id for handle in begun]
    assert len(begun) == 1


@pytest.mark.parametrize("reaped", [True, False], ids=["gone", "a zombie"])
def test_a_killed_owner_is_taken_over_at_once_and_its_run_is_marked_failed(place: Place, reaped: bool) -> None:
    with place.stranger() as (process, first):
        process.kill()
        process.wait() if reaped else until_it_is_a_zombie(process.pid)
        second = place.begin(patience=0)
    assert second.token > first.token
    newest, oldest = place.warehouse.history(10)
    assert (newest.id, newest.state, newest.problems) == (second.id, "staged", ())
    assert (oldest.id, oldest.state, oldest.published) == (first.id, "failed", None)
    assert oldest.ended_at is not None
    assert [problem for problem in oldest.problems if "ended before it could publish" in problem] != []


def test_an_owner_that_went_away_without_a_word_is_taken_over_too(place: Place) -> None:
    with place.stranger() as (process, first):
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=60) == 0
        assert place.begin(patience=0).id > first.id


def test_a_run_that_was_taken_over_publishes_nothing(place: Place) -> None:
    published = place.run(a="select 1 as id")
    lost, _ = taken_over(place)
    before = place.facts()
    with pytest.raises(LeaseError, match=rf"Run {lost.id} was taken over"):
        place.publish(lost)
    assert place.facts() == before
    assert place.rows("bronze.a") == [(1,)]
    assert place.warehouse.state().versions["bronze.a"].id == published


def test_a_run_that_was_taken_over_can_neither_renew_nor_end_and_leaves_the_other_its_lease(place: Place) -> None:
    lost, second = taken_over(place)
    before = place.facts()
    with pytest.raises(LeaseError, match=rf"Run {lost.id} was taken over"):
        place.warehouse.renew(lost)
    with pytest.raises(LeaseError, match=rf"Run {lost.id} was taken over"):
        place.warehouse.close_run(lost, ended(lost, state="failed", problems=["late"]))
    assert place.facts() == before
    place.warehouse.renew(second)
    with pytest.raises(LeaseError, match=rf"Run {second.id} of shop"):
        place.begin()


def test_a_run_that_another_process_goes_on_with_is_out_of_the_hands_of_the_first(place: Place) -> None:
    with place.stranger() as (process, lost):
        process.kill()
        process.wait()
    mine = place.warehouse.reopen("shop", lost.id, (), patience=0)
    assert (mine.id, mine.token > lost.token) == (lost.id, True)
    theirs = place.draft(lost, "bronze.a", "select 666 as id")
    for record in (
        lambda: place.warehouse.record(lost, theirs),
        lambda: place.warehouse.record_node(lost, NodeRun("bronze_a", "written", "late")),
        lambda: place.warehouse.record_plan(lost, {"as_of": "late"}),
        lambda: place.warehouse.renew(lost),
        lambda: place.publish(lost),
    ):
        with pytest.raises(LeaseError, match=f"Run {lost.id} was taken over"):
            record()
    place.stage(mine, "bronze.a", "select 1 as id")
    place.publish(mine)
    assert place.rows("bronze.a") == [(1,)]


def test_what_a_lost_run_recorded_is_no_part_of_the_next(place: Place) -> None:
    lost, second = taken_over(place)
    place.stage(second, "bronze.b", "select 2 as id")
    place.publish(second)
    assert set(place.warehouse.state().versions) == {"bronze.b"}
    assert set(place.warehouse.manifests(lost.id)) == {"bronze.a"}


def test_a_failed_run_gives_its_lease_back_and_keeps_its_problems(place: Place) -> None:
    first = place.begin()
    place.stage(first, "bronze.a")
    place.warehouse.close_run(first, ended(first, state="failed", problems=["a: 3 lost", "b: it's late"]))
    assert place.warehouse.state().versions == {}
    second = place.begin(patience=0)
    history = place.warehouse.history(10)
    assert [(past.id, past.state) for past in history] == [(second.id, "staged"), (first.id, "failed")]
    assert history[1].problems == ("a: 3 lost", "b: it's late")
    with pytest.raises(LeaseError):
        place.warehouse.renew(first)


def test_a_published_run_gives_its_lease_back_and_cannot_publish_again(place: Place) -> None:
    handle = place.begin()
    place.stage(handle, "bronze.a")
    state = place.warehouse.state()
    place.publish(handle, state=state)
    before = place.facts()
    with pytest.raises((ConflictError, LeaseError)):
        place.publish(handle, state=state)
    assert place.facts() == before
    assert place.begin(patience=0).id > handle.id
