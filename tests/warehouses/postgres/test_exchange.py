"""Where some rows of a table differ, the others stay in the server as they are."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import psycopg
import pytest
from narwhals import LazyFrame

import assay
from assay import Merge, Pipeline, csv, latest, table

pytestmark = pytest.mark.usefixtures("copies_apart")
COLUMNS = {"shop": "INTEGER", "id": "BIGINT", "day": "DATE", "amount": "DECIMAL(12,2)", "seen": "INTEGER"}
HEAD = ",".join(COLUMNS)
Row = tuple[int, int, dt.date, int, int]


def sales(folder: Path, *partition_by: str) -> Pipeline:
    @table(write=Merge(), key=("shop", "id"), keep=latest("seen"), partition_by=partition_by)
    def silver_sale(sales: LazyFrame[Any]) -> LazyFrame[Any]:
        return sales

    return Pipeline("sales", tables=[silver_sale], sources={"sales": csv(f"{folder}/*.csv", columns=COLUMNS)})


def deliver(folder: Path, name: str, rows: list[Row]) -> None:
    folder.mkdir(exist_ok=True)
    text = "".join(f"{shop},{number},{day},{cents / 100:.2f},{seen}\n" for shop, number, day, cents, seen in rows)
    (folder / name).write_text(f"{HEAD}\n{text}")


def many(count: int, seen: int = 1) -> list[Row]:
    return [(n % 3, n, dt.date(2024, 1 + n % 12, 1), n * 7, seen) for n in range(count)]


def published(folder: Path, url: str, pipeline: Pipeline) -> None:
    result = assay.run(pipeline, warehouse=url, sources={"sales": f"{folder}/*.csv"})
    assert result.ok, result.problems


def stands(server: psycopg.Connection[Any]) -> dict[tuple[int, int], tuple[Any, ...]]:
    """Return each row by its key, with where it lies and which transaction wrote it."""
    found = server.execute("select shop, id, day, amount, seen, ctid::text, xmin::text from silver.sale").fetchall()
    return {(row[0], row[1]): row[2:] for row in found}


def in_files(url: str) -> list[tuple[Any, ...]]:
    with assay.connect(url) as warehouse:
        return warehouse.execute("select shop, id, day, amount, seen from silver.sale order by all").fetchall()


def assert_shown(server: psycopg.Connection[Any], url: str) -> None:
    """Assert that the server's rows are those of the files, each counted under its file."""
    rows = server.execute("select shop, id, day, amount, seen from silver.sale order by 1, 2, 3, 4, 5").fetchall()
    assert rows == in_files(url)
    assert assay.verify(url).damaged == ()


def test_rows_that_do_not_differ_are_left_alone(tmp_path: Path, url: str, server: psycopg.Connection[Any]) -> None:
    pipeline, data = sales(tmp_path), tmp_path / "in"
    deliver(data, "a.csv", many(1000))
    assay.migrate(pipeline, warehouse=url)
    published(data, url, pipeline)
    before = stands(server)
    changed = [(n % 3, n, dt.date(2025, 1, 1), 1, 2) for n in range(0, 1000, 100)]
    deliver(data, "b.csv", changed + [(5, n, dt.date(2025, 1, 1), 1, 2) for n in range(4)])
    published(data, url, pipeline)
    after = stands(server)
    touched = {(shop, number) for shop, number, *_ in changed} | {(5, n) for n in range(4)}
    assert {key: row for key, row in after.items() if key not in touched} == {
        key: row for key, row in before.items() if key not in touched
    }
    assert len(after) == 1004
    assert_shown(server, url)
    assay.undo(warehouse=url)
    assert {key: row[:3] for key, row in stands(server).items()} == {key: row[:3] for key, row in before.items()}
    assert_shown(server, url)


@pytest.mark.parametrize("partition_by", [(), ("day",)])
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_delivered_the_server_shows_the_files_that_stand(
    tmp_path: Path, url: str, server: psycopg.Connection[Any], seed: int, partition_by: tuple[str, ...]
) -> None:
    dice, pipeline, data = random.Random(seed), sales(tmp_path, *partition_by), tmp_path / "in"
    deliver(data, "0.csv", many(400))
    assay.migrate(pipeline, warehouse=url)
    published(data, url, pipeline)
    for step in range(1, 7):
        # A name that was delivered before has its rows replaced: those that it had and has not any more are gone.
        name = f"{dice.choice([step, step, dice.randrange(step)])}.csv"
        numbers = dice.sample(range(450), dice.choice([1, 20, 300]))
        deliver(
            data, name, [(n % 3, n, dt.date(2024, dice.randint(1, 12), 1), dice.randrange(9999), step) for n in numbers]
        )
        published(data, url, pipeline)
        assert_shown(server, url)
        if dice.random() < 0.3:
            assay.undo(warehouse=url)
            assert_shown(server, url)
            assay.run(pipeline, warehouse=url, sources={"sales": f"{data}/*.csv"}, redo=True)
            assert_shown(server, url)


def test_a_table_that_somebody_has_changed_is_written_anew(
    tmp_path: Path, url: str, server: psycopg.Connection[Any]
) -> None:
    pipeline, data = sales(tmp_path), tmp_path / "in"
    deliver(data, "a.csv", many(100))
    assay.migrate(pipeline, warehouse=url)
    published(data, url, pipeline)
    server.execute("delete from silver.sale where id in (7, 8)")
    deliver(data, "b.csv", [(1, 7, dt.date(2025, 1, 1), 1, 2)])
    published(data, url, pipeline)
    assert_shown(server, url)


def test_files_that_become_one_are_shown_as_one(tmp_path: Path, url: str, server: psycopg.Connection[Any]) -> None:
    pipeline, data = sales(tmp_path), tmp_path / "in"
    deliver(data, "a.csv", many(100))
    assay.migrate(pipeline, warehouse=url)
    published(data, url, pipeline)
    deliver(data, "b.csv", [(1, n, dt.date(2025, 1, 1), 1, 2) for n in range(200, 220)])
    published(data, url, pipeline)
    before, files = stands(server), "select distinct _assay_file from silver.sale"
    assert len(server.execute(files).fetchall()) == 2
    deliver(data, "c.csv", [(1, 1, dt.date(2025, 1, 1), 1, 3), (1, 200, dt.date(2025, 1, 1), 1, 3)])
    published(data, url, pipeline)
    assert len(server.execute(files).fetchall()) == 1
    assert [key for key, row in stands(server).items() if key[1] < 200 and row != before[key]] == [(1, 1)]
    assert_shown(server, url)


def test_partitions_come_and_go(tmp_path: Path, url: str, server: psycopg.Connection[Any]) -> None:
    january, april, may = (dt.date(2024, month, 1) for month in (1, 4, 5))
    pipeline, data = sales(tmp_path, "day"), tmp_path / "in"
    days = {**dict.fromkeys(range(20), january), **dict.fromkeys(range(20, 320), april), 320: may}
    deliver(data, "a.csv", [(1, n, day, 7, 1) for n, day in days.items()])
    assay.migrate(pipeline, warehouse=url)
    published(data, url, pipeline)
    before = stands(server)
    deliver(data, "b.csv", [(1, n, dt.date(2025, 1, 1), 7, 2) for n in range(20)] + [(1, 20, may, 7, 2)])
    published(data, url, pipeline)
    assert {key[1] for key, row in stands(server).items() if row != before[key]} == {*range(21)}
    assert_shown(server, url)


@pytest.mark.parametrize("temporary", [True, False])
def test_a_loader_exchanges_rows_and_without_temporary_tables_writes_all(
    tmp_path: Path, url: str, server: psycopg.Connection[Any], temporary: bool
) -> None:
    pipeline, data = sales(tmp_path), tmp_path / "in"
    deliver(data, "a.csv", many(100))
    assay.migrate(pipeline, warehouse=url)
    for statement in assay.migrate(pipeline, warehouse=url, roles=True):
        server.execute(statement.encode())
    ((database,),) = server.execute("select current_database()").fetchall()
    loader = f"loader_{database}"
    server.execute(f"create role {loader} login; grant assay_loader to {loader}".encode())
    if not temporary:
        server.execute(f"revoke temporary on database {database} from public".encode())
    try:
        place = url.replace("://assay@", f"://{loader}@")
        published(data, place, pipeline)
        before = stands(server)
        deliver(data, "b.csv", [(1, n, dt.date(2025, 1, 1), 1, 2) for n in range(200, 220)])
        published(data, place, pipeline)
        deliver(data, "c.csv", [(1, 7, dt.date(2025, 1, 1), 1, 2), (1, 200, dt.date(2025, 1, 1), 1, 3)])
        published(data, place, pipeline)
        after = stands(server)
        left = [key for key, row in before.items() if after[key] == row]
        assert len(left) == (99 if temporary else 0)
        assert_shown(server, url)
    finally:
        server.execute(f"drop owned by {loader}; drop role {loader}".encode())
