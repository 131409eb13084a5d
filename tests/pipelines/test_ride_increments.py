"""The year in parts, one after another and one of them twice, ends in the tables of the whole year."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

import assay
from assay.model.errors import SourceError
from benchmarks.golden import TABLES
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.conformance.processes import AS_OF

REAL = Path(__file__).parents[3] / "shared" / "data" / "ncr_ride_bookings.csv.gz"
DIMENSIONS = ("vehicle_type", "location", "booking_status", "payment_method")
IDS = {
    "vehicle_type_id": "vehicle_type",
    "pickup_location_id": "location",
    "drop_location_id": "location",
    "location_id": "location",
    "booking_status_id": "booking_status",
    "payment_method_id": "payment_method",
}
"""Numbers that are compared by the names they stand for."""
NUMBERS = {"ride_id", "cancellation_id", "incompleted_id", "created_at", "updated_at", "source_file"}
"""What is left out: rows are numbered as they come, and each says which file brought it."""
Lines = Sequence[str]


def contents(lake: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return every table's content, its numbers through the names they stand for."""
    found = {}
    with assay.connect(lake) as connection:
        for table in TABLES:
            layer, _, entity = table.partition("_")
            own = {f"{entity}_id"} if layer == "silver" and entity in DIMENSIONS else set()
            columns = [c for c in connection.table(f"{layer}.{entity}").columns if c not in NUMBERS | own]
            wanted = ", ".join(_expression(column) for column in columns)
            found[table] = connection.execute(f"select {wanted} from {layer}.{entity} t order by all").fetchall()
    return found


def _expression(column: str) -> str:
    if column in IDS:
        name = IDS[column]
        return f"(select any_value({name}_name) from silver.{name} d where d.{name}_id = t.{column})"
    # A mean of doubles depends in its last digit on the order of adding.
    return f"round({column}, 6)" if column == "avg_booking_value" else column


class Year:
    """An inbox and a lake."""

    def __init__(self, folder: Path) -> None:
        self.inbox, self.lake = folder / "inbox", folder / "lake"
        self.inbox.mkdir(parents=True)

    def deliver(self, name: str, header: str, lines: Lines) -> None:
        text = "\n".join((header, *lines, ""))
        (self.inbox / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode(), compresslevel=1, mtime=0))

    def run(self, **arguments: object) -> assay.RunResult:
        sources = {"bookings": self.inbox / "*.csv.gz"}
        result = assay.run(
            ride_bookings, warehouse=self.lake, sources=sources, as_of=date.fromisoformat(AS_OF), **arguments
        )
        assert result.ok, result.problems
        return result


def read(file: Path) -> tuple[str, list[str]]:
    header, *lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    return header, lines


def parts(lines: Lines, count: int) -> dict[str, Lines]:
    size = -(-len(lines) // count)
    return {f"{n:02}": lines[n * size : (n + 1) * size] for n in range(count)}


def check_in_parts(file: Path, folder: Path, count: int) -> None:
    header, lines = read(file)
    whole, year = Year(folder / "whole"), Year(folder / "year")
    whole.deliver("00", header, lines)
    whole.run()
    delivered = parts(lines, count)
    for turn, (name, part) in enumerate(delivered.items()):
        year.deliver(name, header, part)
        result = year.run()
        assert result.nodes["bookings"].ledger.read == {f"{name}.csv.gz": len(part)}
        if turn == 1:
            year.deliver(name, header, part)
            assert year.run().run is None
            year.deliver("copy", header, part)
            with pytest.raises(SourceError, match="already has this content"):
                year.run()
            (year.inbox / "copy.csv.gz").unlink()
    expected, found = contents(whole.lake), contents(year.lake)
    assert {table for table in TABLES if found[table] != expected[table]} == set()
    assert min(map(len, found.values())) > 0
    assert year.run(full=True).state == "unchanged"


@pytest.mark.row("000-17")
def test_a_sample_in_three_parts_equals_the_whole(tmp_path: Path) -> None:
    check_in_parts(generate(tmp_path, rows=1_000)["bookings"], tmp_path, 3)


@pytest.mark.faults
@pytest.mark.row("000-17")
@pytest.mark.parametrize("count", [3, 12])
def test_the_year_in_parts_equals_the_whole(tmp_path: Path, count: int) -> None:
    check_in_parts(REAL if REAL.exists() else generate(tmp_path, rows=150_000)["bookings"], tmp_path, count)


@pytest.mark.row("000-17")
def test_new_content_under_a_known_name_replaces_its_rows_and_elects_the_winners_anew(tmp_path: Path) -> None:
    header, lines = read(generate(tmp_path, rows=500)["bookings"])
    year, once = Year(tmp_path / "year"), Year(tmp_path / "once")
    for name, part in parts(lines, 2).items():
        year.deliver(name, header, part)
    year.run()
    # The first part loses lines whose bookings the second has again, and gains some of its bookings.
    second = parts(lines, 2)["01"]
    replaced = [*(line.replace(",Auto,", ",Bike,") for line in second[:40]), *parts(lines, 2)["00"][:200]]
    for place in (year, once):
        place.deliver("00", header, replaced)
    once.deliver("01", header, second)
    result = year.run()
    assert (result.state, result.nodes["bookings"].reason) == ("published", "00.csv.gz has new content")
    once.run()
    expected, found = contents(once.lake), contents(year.lake)
    # A dimension that lost its last fact goes; all is as though the new content had been there from the start.
    assert {table for table in TABLES if found[table] != expected[table]} == set()
