"""Files that are torn, or have one bit turned: each is found by its name, and never makes a run or a resume wrong."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

import assay
from tests.conformance.processes import rows_of, seen
from tests.conformance.project import ROWS
from tests.faults.disk import Disk


def turn_a_bit(path: Path, dice: Random) -> None:
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def tear(path: Path, dice: Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: dice.randrange(len(data))])


def lose(path: Path, dice: Random) -> None:
    path.unlink()


@pytest.fixture
def lake(folder: Path, disk: Disk) -> Path:
    """A project's lake with one published run, and a second delivery that waits."""
    assert disk.call("run", "orders", cwd=folder).code == 0
    (folder / "data/a.csv").write_text(ROWS.replace("5.00", "6.00"))
    return folder / "lake"


@pytest.mark.parametrize("damage", [turn_a_bit, tear, lose])
def test_any_damage_to_any_published_file_is_found_by_its_name(lake: Path, damage: object) -> None:
    assert callable(damage)
    dice, files = Random(1), sorted(lake.glob("**/*.parquet"))
    whole = assay.verify(lake)
    assert (whole.files, whole.damaged) == (len(files), ())
    assert whole.bytes == sum(file.stat().st_size for file in files)
    for turn in range(40):
        file = files[turn % len(files)]
        kept = file.read_bytes()
        damage(file, dice)
        (found, *_) = assay.verify(lake).damaged
        assert found.startswith(file.relative_to(lake).as_posix())
        file.write_bytes(kept)
    assert assay.verify(lake).damaged == ()


def test_the_command_names_what_is_damaged_and_ends_with_1(lake: Path, disk: Disk) -> None:
    end = disk.call("verify", cwd=lake.parent)
    assert (end.code, end.out) == (0, "4 files: all are as they were written\n")
    (file,) = lake.glob("silver/order/data/*.parquet")
    turn_a_bit(file, Random(2))
    end = disk.call("verify", cwd=lake.parent)
    name = file.relative_to(lake).as_posix()
    assert (end.code, end.out) == (1, f"damaged: {name}\n4 files: 1 damaged\n")
    found = json.loads(disk.call("verify", "--json", cwd=lake.parent).out)
    assert (found["files"], found["damaged"]) == (4, [name])


def test_a_resume_uses_no_staged_file_that_has_changed_since(folder: Path, disk: Disk) -> None:
    end = disk.call("run", "blocked", cwd=folder)
    assert end.code == 1
    (file,) = (folder / "lake").glob("silver/order/data/*.parquet")
    for turn in range(3):
        turn_a_bit(file, Random(turn))
    module = folder / "shop_orders.py"
    module.write_text(module.read_text().replace("row_count(min=100", "row_count(min=1"))
    end = disk.call("resume", "blocked", "--json", cwd=folder)
    assert end.code == 0, end
    assert json.loads(end.out)["tables"]["silver_order"]["attempts"] == 1
    assert assay.verify(folder / "lake").damaged == ()
    with assay.connect(folder / "lake") as reader:
        assert reader.sql("select sum(amount)::varchar from silver.order").fetchall() == [("15.30",)]


@pytest.mark.parametrize("pattern", ["gold/*/metadata/*.metadata.json", "gold/*/metadata/*.avro"])
@pytest.mark.parametrize("damage", [tear, lose])
def test_damaged_metadata_is_named_and_nothing_is_published_on_top_of_it(
    lake: Path, disk: Disk, pattern: str, damage: object
) -> None:
    assert callable(damage)
    before = seen(lake)
    for file in lake.glob(pattern):
        damage(file, Random(3))
    end = disk.call("run", "orders", "--log", "none", cwd=lake.parent)
    assert (end.code in (1, 2), "Traceback" in end.err) == (True, False), end
    assert "gold" in end.err
    assert "/metadata" in end.err
    assert seen(lake) == before
    with assay.connect(lake) as reader:
        assert reader.sql("select count(*) from meta.run where state = 'published'").fetchall() == [(1,)]


@pytest.mark.parametrize("turn", range(4))
def test_a_catalog_that_is_torn_is_named(lake: Path, disk: Disk, turn: int) -> None:
    kept = lake.parent / "kept.db"
    shutil.copy(lake / "catalog.db", kept)
    data = kept.read_bytes()
    (lake / "catalog.db").write_bytes(data[: len(data) * (turn + 1) // 5])
    for command in (("run", "orders"), ("show", "gold_revenue"), ("verify",)):
        end = disk.call(*command, cwd=lake.parent)
        assert (end.code, end.out, "catalog.db" in end.err) == (2, "", True), (command, end)
    shutil.copy(kept, lake / "catalog.db")
    assert disk.call("run", "orders", cwd=lake.parent).code == 0


def test_a_manifest_whose_record_is_no_json_ends_the_run_that_needs_it(folder: Path, disk: Disk) -> None:
    assert disk.call("run", "blocked", cwd=folder).code == 1
    with closing(sqlite3.connect(folder / "lake/catalog.db")) as catalog, catalog:
        catalog.execute("update assay_manifest set body = substr(body, 1, 40) where dataset = 'silver.order'")
    end = disk.call("resume", "blocked", cwd=folder)
    assert (end.code, "Traceback" in end.err) == (2, False), end
    assert "catalog.db" in end.err
    assert rows_of(folder / "lake", "select name from assay_dataset") == []
    assert disk.call("run", "orders", cwd=folder).code == 0


@pytest.mark.faults
def test_what_a_reader_makes_of_one_bit_in_the_catalog_is_an_error_or_the_truth(lake: Path) -> None:
    truth, data, dice = seen(lake), (lake / "catalog.db").read_bytes(), Random(5)
    wrong = told = 0
    for _ in range(400):
        turn_a_bit(lake / "catalog.db", dice)
        try:
            wrong += seen(lake) not in (truth, {})
        except Exception:
            told += 1
        (lake / "catalog.db").write_bytes(data)
    # Values of the catalog have no sums: see the page of threats.
    assert wrong <= 8, (wrong, told)
