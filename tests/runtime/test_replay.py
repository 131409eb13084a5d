"""Replay: what was rejected comes back exactly once, after its rule or itself is mended, however often it is asked."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.mending import Replayed
from assay.model.errors import SourceError, UsageError
from tests.conformance.processes import Moment, call, finished, has_metadata, has_run, has_staged, started, stop_at
from tests.conformance.project import make
from tests.runtime.shop import ORDERS, SETTINGS, Shop, define

LENIENT = replace(SETTINGS, rejected_share=1)


def tables(largest: int = 100) -> list[assay.Table]:
    return [
        define(lambda orders: orders, write=assay.Append()),
        define(
            lambda bronze_order: bronze_order,
            "silver_order",
            write=assay.Merge(),
            key="id",
            keep=assay.latest("amount"),
            checks=[assay.between("amount", 0, largest, action="reject")],
        ),
    ]


def silver(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.rows("select id, amount from silver.order order by id")


def quarantine(shop: Shop) -> list[tuple[Any, ...]]:
    """The lines of the source that any run could not read, whether they stand, and the run that replayed them."""
    query = "select source_file, line, stands, replayed_by from meta.quarantine where node = 'orders' order by all"
    return shop.rows(query)


def replay(shop: Shop, file: Path | None = None, *declared: assay.Table) -> Replayed:
    return shop.replay(*(declared or tables()), mended=file, settings=LENIENT)


def mend(file: Path, **words: str) -> None:
    """Put right what a person finds wrong in an exported file."""
    text = file.read_text()
    for wrong, right in words.items():
        text = text.replace(wrong, right)
    file.write_text(text)


@pytest.fixture
def delivered(shop: Shop) -> Shop:
    """A shop with three bad lines, in two files."""
    shop.orders("1,ann,1", "two,bob,2", "3,cat", file="orders1.csv")
    shop.orders("4,dan,4", "five,eve,5", file="orders2.csv")
    assert shop.run(*tables(), settings=LENIENT).ok
    return shop


def test_a_mended_rule_gives_the_rows_back_once(shop: Shop) -> None:
    shop.orders("1,ann,10", "2,bob,500")
    shop.run(*tables(), settings=LENIENT)
    done = replay(shop, None, *tables(1000))
    assert (done.back, done.stand, done.result and done.result.state) == (1, 0, "published")
    assert silver(shop) == [(1, 10), (2, 500)]
    done = replay(shop, None, *tables(1000))
    assert (done.back, done.stand, done.result and done.result.state) == (0, 0, "unchanged")
    assert silver(shop) == [(1, 10), (2, 500)]


def test_a_mended_declaration_reads_all_deliveries_again(delivered: Shop) -> None:
    sources = {"orders": replace(ORDERS, columns={**ORDERS.columns, "id": "VARCHAR"})}
    pipeline = delivered.pipeline(*tables(), sources=sources)
    done = delivered.replay(pipeline, settings=LENIENT)
    assert (done.back, done.stand) == (2, 1)
    assert silver(delivered) == [("1", 1), ("4", 4), ("five", 5), ("two", 2)]


def test_mended_lines_are_loaded_once_and_those_that_are_still_bad_stay(delivered: Shop) -> None:
    file = delivered.export(*tables())
    header, *exported = file.read_text().splitlines()
    assert header == "_assay_line,id,customer,amount"
    assert [line.split(":")[:2] for line in exported] == [
        ["orders1.csv", "3"],
        ["orders1.csv", "4"],
        ["orders2.csv", "3"],
    ]
    assert [line.split(",", 1)[1] for line in exported] == ["two,bob,2", "3,cat", "five,eve,5"]
    mend(file, two="2", five="5")
    done = replay(delivered, file)
    assert (done.back, done.stand, done.again) == (2, 1, ())
    assert {mark.rpartition(":")[0]: reasons for mark, reasons in done.bad.items()} == {
        "orders1.csv:4": ("it has 3 fields, and the header has 4",)
    }
    assert silver(delivered) == [(1, 1), (2, 2), (4, 4), (5, 5)]
    assert quarantine(delivered) == [
        ("orders1.csv", 3, False, 2),
        ("orders1.csv", 4, True, None),
        ("orders2.csv", 3, False, 2),
    ]
    assert done.result is not None
    ledger = done.result.nodes["orders"].ledger
    assert (list(ledger.read.values()), ledger.rejected) == ([1, 1], 0)
    # Asked again, nothing is loaded again; what has been mended since is.
    assert replay(delivered, file).result is None
    mend(file, **{"3,cat": "3,cat,3"})
    again = replay(delivered, file)
    assert (again.back, again.stand, len(again.again)) == (1, 0, 2)
    assert silver(delivered) == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]
    assert {stands for _, _, stands, _ in quarantine(delivered)} == {False}
    assert len(delivered.rows("select * from bronze.order")) == 5


def test_what_was_replayed_stays_through_runs_that_read_all_again(delivered: Shop) -> None:
    file = delivered.export(*tables())
    mend(file, two="2", five="5", **{"3,cat": "3,cat,3"})
    replay(delivered, file)
    expected = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]
    assert delivered.run(*tables(), settings=LENIENT).nodes["orders"].reason == "its files are as they were"
    assert delivered.run(*tables(), settings=LENIENT, full=True).state == "unchanged"
    assert silver(delivered) == expected
    # By another declaration the lines would be rows where they first stood: those that were mended take their place.
    sources = {"orders": replace(ORDERS, columns={**ORDERS.columns, "id": "VARCHAR"})}
    assert delivered.run(delivered.pipeline(*tables(), sources=sources), settings=LENIENT).ok
    assert silver(delivered) == [(str(number), amount) for number, amount in expected]
    assert delivered.rows("select count(*) from meta.quarantine where stands") == [(0,)]


def test_an_undo_takes_replayed_lines_back_and_they_can_be_replayed_again(delivered: Shop) -> None:
    before = silver(delivered), quarantine(delivered)
    file = delivered.export(*tables())
    mend(file, two="2")
    assert replay(delivered, file).back == 1
    assert delivered.undo().undone == (2,)
    assert (silver(delivered), quarantine(delivered)) == before
    assert replay(delivered, file).back == 1
    assert silver(delivered) == [(1, 1), (2, 2), (4, 4)]
    assert [by for _, _, stands, by in quarantine(delivered) if not stands] == [4]


def test_a_file_that_comes_anew_takes_along_what_was_mended_of_it(delivered: Shop) -> None:
    file = delivered.export(*tables())
    mend(file, two="2", five="5")
    replay(delivered, file)
    delivered.orders("1,ann,1", "2,bob,20", file="orders1.csv")
    assert delivered.run(*tables(), settings=LENIENT).ok
    assert silver(delivered) == [(1, 1), (2, 20), (4, 4), (5, 5)]
    with pytest.raises(UsageError, match="stands for no line in the quarantine; export the lines again"):
        replay(delivered, file)


def test_a_source_that_mirrors_its_folder_keeps_what_was_mended_of_the_files_that_are_there(shop: Shop) -> None:
    sources = {"orders": replace(ORDERS, mirror=True)}
    pipeline = shop.pipeline(*tables(), sources=sources)
    shop.orders("1,ann,1", "two,bob,2", file="orders1.csv")
    shop.orders("3,cat,3", file="orders2.csv")
    shop.run(pipeline, settings=LENIENT)
    file = shop.export(pipeline)
    mend(file, two="2")
    shop.replay(pipeline, mended=file, settings=LENIENT)
    assert shop.run(pipeline, settings=LENIENT).state == "unchanged"
    assert silver(shop) == [(1, 1), (2, 2), (3, 3)]
    (shop.inbox / "orders1.csv").unlink()
    assert shop.run(pipeline, settings=LENIENT).state == "published"
    assert silver(shop) == [(3, 3)]


def test_a_replay_looks_at_no_other_file_and_at_none_that_is_gone(delivered: Shop) -> None:
    file = delivered.export(*tables())
    mend(file, two="2")
    for delivery in delivered.inbox.iterdir():
        delivery.unlink()
    delivered.orders("9,new,9", file="orders9.csv")
    assert replay(delivered, file).back == 1
    assert silver(delivered) == [(1, 1), (2, 2), (4, 4)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,customer,amount\n2,bob,2\n", "its first column is not _assay_line"),
        ("_assay_line,id,customer\n", "has no column 'amount'"),
        ("_assay_line,id,customer,amount\norders1.csv:3:00000000,2,b,2\n", "stands for no line in the quarantine"),
        ("", "its first column is not _assay_line"),
    ],
)
def test_a_file_that_mends_something_else_is_refused(delivered: Shop, content: str, message: str) -> None:
    file = delivered.inbox / "mended.csv"
    file.write_text(content)
    with pytest.raises((UsageError, SourceError), match=message):
        replay(delivered, file)
    assert len(assay.history(delivered.lake)) == 1


def test_a_line_is_mended_by_one_row(delivered: Shop) -> None:
    file = delivered.export(*tables())
    mend(file, two="2")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(UsageError, match=r"'orders1\.csv:3:\w{8}' is there twice"):
        replay(delivered, file)


@pytest.mark.parametrize(
    "encoding", ["latin-1", *(pytest.param(name, marks=pytest.mark.faults) for name in ("utf-16", "utf-8-sig"))]
)
def test_lines_are_exported_and_read_in_their_own_encoding(shop: Shop, encoding: str) -> None:
    sources = {"orders": replace(ORDERS, encoding=encoding, delimiter=";")}
    pipeline = shop.pipeline(*tables(), sources=sources)
    (shop.inbox / "orders1.csv").write_text("id;customer;amount\n1;Jörg;1\nzwei;Zoë;2\n", encoding=encoding)
    shop.run(pipeline, settings=LENIENT)
    file = shop.export(pipeline)
    text = file.read_text(encoding=encoding)
    assert text.splitlines()[1].endswith(";zwei;Zoë;2")
    file.write_text(text.replace("zwei", "2"), encoding=encoding)
    assert shop.replay(pipeline, mended=file, settings=LENIENT).back == 1
    assert shop.rows("select id, customer from silver.order order by id") == [(1, "Jörg"), (2, "Zoë")]


def test_files_with_other_columns_are_exported_one_by_one(shop: Shop) -> None:
    shop.orders("1,ann,1", "two,bob,2", file="orders1.csv")
    shop.deliver("orders2.csv", "customer,more,id,amount", "cat,x,three,3")
    shop.run(*tables(), settings=LENIENT)
    with pytest.raises(UsageError, match=r"orders1\.csv and orders2\.csv have different columns"):
        shop.export(*tables())
    file = shop.export(*tables(), delivery="orders2.csv")
    mend(file, three="3")
    assert replay(shop, file).back == 1
    assert silver(shop) == [(1, 1), (3, 3)]
    with pytest.raises(UsageError, match=r"No line of 'orders' stands in the quarantine for orders2\.csv"):
        shop.export(*tables(), delivery="orders2.csv")


STRANGE = "id,note,ordered_on,amount,changed_at\n" + "".join(
    f"{n},n{n},2024-11-03,{'x' if n < 24 else n},2024-11-03 08:00:00\n" for n in range(20, 30)
)
GIVEN = {"rejected_share": "1", "log": "none"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project, with four bad lines that are exported and mended."""
    folder = make(tmp_path / "project")
    (folder / "data/b.csv").write_text(STRANGE)
    assert call("run", "orders", cwd=folder, **GIVEN).returncode == 0
    assert call("quarantine", "export", "orders", "mended.csv", cwd=folder, **GIVEN).returncode == 0
    mend(folder / "mended.csv", **{",x,": ",7,"})
    return folder


def count(folder: Path) -> list[tuple[int, ...]]:
    with assay.connect(folder / "lake") as lake:
        return lake.sql(
            "select (select count(*) from bronze.order), (select count(*) from silver.order), "
            "(select count(*) from meta.quarantine where stands)"
        ).fetchall()


REPLAY = ("quarantine", "replay", "orders", "--with", "mended.csv", "--json")


def test_two_processes_replay_a_file_once(project: Path) -> None:
    assert count(project) == [(9, 9, 4)]
    with ExitStack() as stack:
        both = [stack.enter_context(started(*REPLAY, cwd=project, **GIVEN)) for _ in range(2)]
        ends = [finished(process) for process in both]
    assert [end.returncode for end in ends] == [0, 0], [end.stderr for end in ends]
    # The second comes too late for a run, or for its turn.
    states = [document["run"] and document["run"]["state"] for document in map(json.loads, (e.stdout for e in ends))]
    assert sorted(map(str, states)) in (["None", "published"], ["published", "unchanged"])
    assert count(project) == [(13, 13, 0)]


KILLED: dict[str, Moment] = {
    "the run has begun": has_run("staged"),
    "the source is staged": has_staged(1),
    "all metadata is written": has_metadata(6),
    "it is published": has_run("published", 2),
}


@pytest.mark.parametrize(
    "moment",
    [pytest.param(m, marks=[] if m == "the source is staged" else [pytest.mark.faults]) for m in KILLED],
)
def test_a_replay_that_is_killed_is_completed_by_the_next_or_by_a_resume(project: Path, moment: str) -> None:
    with started(*REPLAY, cwd=project, **GIVEN) as process:
        stop_at(KILLED[moment], project / "lake", process)
        process.wait()
    assert count(project) in ([(9, 9, 4)], [(13, 13, 0)])
    assert call(*REPLAY, cwd=project, **GIVEN).returncode == 0
    assert count(project) == [(13, 13, 0)]
    assert call("run", "orders", "--full", cwd=project, **GIVEN).returncode == 0
    assert count(project) == [(13, 13, 0)]


@pytest.mark.faults
def test_a_replay_that_is_killed_can_be_resumed(project: Path) -> None:
    with started(*REPLAY, cwd=project, **GIVEN) as process:
        stopped = stop_at(has_staged(1), project / "lake", process)
        process.wait()
    if stopped and count(project) == [(9, 9, 4)]:
        end = call("resume", "orders", cwd=project, **GIVEN)
        assert end.returncode == 0, end.stderr
    assert count(project) == [(13, 13, 0)]
