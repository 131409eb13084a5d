"""The sample of ride bookings has the shape of the real delivery, and every trap of it however small it is."""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.ride_bookings.generate import LOCATIONS, generate

Line = dict[str, str]

HEADER = (
    "Date,Time,Booking ID,Booking Status,Customer ID,Vehicle Type,Pickup Location,Drop Location,Avg VTAT,Avg CTAT,"
    "Cancelled Rides by Customer,Reason for cancelling by Customer,"
    "Cancelled Rides by Driver,Driver Cancellation Reason,Incomplete Rides,Incomplete Rides Reason,"
    "Booking Value,Ride Distance,Driver Ratings,Customer Rating,Payment Method"
)
ALWAYS = (
    "Date",
    "Time",
    "Booking ID",
    "Booking Status",
    "Customer ID",
    "Vehicle Type",
    "Pickup Location",
    "Drop Location",
)
# Which other columns each status knows, and its share, both as in the real file.
KNOWN = {
    "Completed": (
        *("Avg VTAT", "Avg CTAT", "Booking Value", "Ride Distance"),
        *("Driver Ratings", "Customer Rating", "Payment Method"),
    ),
    "Cancelled by Driver": ("Avg VTAT", "Cancelled Rides by Driver", "Driver Cancellation Reason"),
    "No Driver Found": (),
    "Cancelled by Customer": ("Avg VTAT", "Cancelled Rides by Customer", "Reason for cancelling by Customer"),
    "Incomplete": (
        *("Avg VTAT", "Avg CTAT", "Incomplete Rides", "Incomplete Rides Reason"),
        *("Booking Value", "Ride Distance", "Payment Method"),
    ),
}
SHARES = {
    "Completed": 0.62,
    "Cancelled by Driver": 0.18,
    "No Driver Found": 0.07,
    "Cancelled by Customer": 0.07,
    "Incomplete": 0.06,
}
SHAPES = {
    "Date": r"2024-\d\d-\d\d",
    "Time": r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d",
    "Booking ID": r'"CNR\d{7}"',
    "Customer ID": r'"CID\d{7}"',
    "Avg VTAT": r"\d{1,2}\.\d",
    "Avg CTAT": r"\d\d\.\d",
    "Cancelled Rides by Customer": "1",
    "Cancelled Rides by Driver": "1",
    "Incomplete Rides": "1",
    "Booking Value": r"\d{2,4}",
    "Ride Distance": r"\d{1,2}\.\d{1,2}",
    "Driver Ratings": r"[345]\.\d",
    "Customer Rating": r"[345]\.\d",
}


def read(path: Path) -> list[Line]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def month(line: Line) -> str:
    return line["Date"][:7]


def copies(lines: list[Line]) -> list[list[Line]]:
    """The lines of each booking that comes more than once in a month, in file order."""
    groups = defaultdict(list)
    for line in lines:
        groups[line["Booking ID"], month(line)].append(line)
    return [group for group in groups.values() if len(group) > 1]


def revenue(lines: list[Line], choose: Callable[[list[Line]], Line]) -> int:
    values = [choose(group)["Booking Value"] for group in copies(lines)]
    return sum(int(value) for value in values if value != "null")


@pytest.fixture(scope="module", params=[500, 3_000])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    lines = read(generate(tmp_path_factory.mktemp("small"), rows=request.param)["bookings"])
    assert len(lines) == request.param
    return lines


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    return read(generate(tmp_path_factory.mktemp("large"), rows=20_000)["bookings"])


def test_equal_seed_and_rows_give_equal_bytes_in_any_folder(tmp_path: Path) -> None:
    first, second = (generate(tmp_path / name, rows=500, seed=7)["bookings"] for name in ("a", "b"))
    assert first == tmp_path / "a" / "bookings.csv.gz"
    assert first.read_bytes() == second.read_bytes()


def test_another_seed_gives_other_rows(tmp_path: Path) -> None:
    first, second = (generate(tmp_path / str(seed), rows=500, seed=seed)["bookings"] for seed in (1, 2))
    assert not {line["Booking ID"] for line in read(first)} & {line["Booking ID"] for line in read(second)}


def test_the_lines_look_as_in_the_real_file(tmp_path: Path) -> None:
    lines = gzip.decompress(generate(tmp_path, rows=500)["bookings"].read_bytes()).decode("ascii").split("\n")
    assert lines[0] == HEADER
    assert lines[-1] == ""
    assert len(lines) == 502
    for line in lines[1:-1]:
        assert re.fullmatch(r'[\d-]+,[\d:]+,"""CNR\d{7}""",[A-Z][A-Za-z ]+,"""CID\d{7}""",[A-Za-z]+.*', line)


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 40])
def test_a_tiny_sample_is_a_sample_too(tmp_path: Path, rows: int) -> None:
    assert len(read(generate(tmp_path, rows=rows)["bookings"])) == rows


def test_each_status_knows_the_columns_that_it_knows_in_the_real_file(large: list[Line]) -> None:
    for line in large:
        known = {name for name, value in line.items() if value != "null"}
        assert known == {*ALWAYS, *KNOWN[line["Booking Status"]]}


@pytest.mark.parametrize(("column", "shape"), SHAPES.items())
def test_every_value_has_the_shape_of_the_real_ones(large: list[Line], column: str, shape: str) -> None:
    values = {line[column] for line in large} - {"null"}
    assert values
    assert [value for value in values if not re.fullmatch(shape, value)] == []


def test_the_rates_are_those_of_the_real_file(large: list[Line]) -> None:
    statuses = Counter(line["Booking Status"] for line in large)
    assert {status: count / len(large) for status, count in statuses.items()} == pytest.approx(SHARES, abs=0.01)
    assert sum(line["Payment Method"] == "null" for line in large) / len(large) == pytest.approx(0.32, abs=0.01)
    values = [int(line["Booking Value"]) for line in large if line["Booking Value"] != "null"]
    assert sum(values) / len(values) == pytest.approx(508, rel=0.03)
    assert 50 <= min(values) < max(values) <= 4277


def test_there_are_7_vehicle_types_176_places_and_a_year_of_days(large: list[Line]) -> None:
    vehicles = {"Auto", "Go Mini", "Go Sedan", "Bike", "Premier Sedan", "eBike", "Uber XL"}
    assert {line["Vehicle Type"] for line in large} == vehicles
    payments = {"UPI", "Cash", "Uber Wallet", "Credit Card", "Debit Card", "null"}
    assert {line["Payment Method"] for line in large} == payments
    assert len(set(LOCATIONS)) == 176
    for end in ("Pickup Location", "Drop Location"):
        assert {line[end] for line in large} == set(LOCATIONS)
    assert all(line["Pickup Location"] != line["Drop Location"] for line in large)
    days = {line["Date"] for line in large}
    assert (len(days), min(days), max(days)) == (365, "2024-01-01", "2024-12-30")


@pytest.mark.parametrize(
    ("rows", "same_month", "other_month", "twice", "thrice"),
    [(500, 16, 9, 21, 2), (3_000, 16, 24, 36, 2), (150_000, 115, 1_118, 1_213, 10)],
)
def test_bookings_repeat_within_and_across_months_at_the_real_rates_but_at_least_some_times(
    tmp_path: Path, rows: int, same_month: int, other_month: int, twice: int, thrice: int
) -> None:
    lines = read(generate(tmp_path, rows=rows)["bookings"])
    months = {(line["Booking ID"], month(line)) for line in lines}
    times = Counter(line["Booking ID"] for line in lines)
    assert len(lines) - len(months) == same_month
    assert len(months) - len(times) == other_month
    assert Counter(times.values()) == {1: rows - 2 * twice - 3 * thrice, 2: twice, 3: thrice}


def test_copies_within_a_month_differ_so_that_the_choice_of_one_matters(small: list[Line]) -> None:
    assert all(first != second for first, second in copies(small))
    chosen = {
        "first in the file": revenue(small, lambda group: group[0]),
        "last in the file": revenue(small, lambda group: group[-1]),
        "earliest": revenue(small, lambda group: min(group, key=lambda line: (line["Date"], line["Time"]))),
        "latest": revenue(small, lambda group: max(group, key=lambda line: (line["Date"], line["Time"]))),
    }
    assert len(set(chosen.values())) == 4, chosen


def test_the_first_copy_in_the_file_is_the_newer_one_half_of_the_time(small: list[Line]) -> None:
    apart = [group for group in copies(small) if group[0]["Date"] != group[1]["Date"]]
    newer_first = [group for group in apart if group[0]["Date"] > group[1]["Date"]]
    assert (len(newer_first), len(apart)) == (7, 14)


def test_two_copies_tie_in_date_and_time_and_differ_only_in_what_was_measured(small: list[Line]) -> None:
    ties = [group for group in copies(small) if all(len({line[name] for line in group}) == 1 for name in ALWAYS)]
    assert len(ties) == 2
    assert all(first["Booking Value"] != second["Booking Value"] for first, second in ties)


def test_other_bookings_tie_in_date_and_time(small: list[Line]) -> None:
    moments = Counter((line["Date"], line["Time"]) for line in small)
    assert len(small) - len(moments) >= 8


@pytest.mark.parametrize(
    "column", ["Customer ID", "Vehicle Type", "Pickup Location", "Drop Location", "Booking Status", "Payment Method"]
)
def test_each_dimension_repeats_within_a_booking_and_month(small: list[Line], column: str) -> None:
    known = [(line[column], line["Booking ID"], month(line)) for line in small if line[column] != "null"]
    assert len(known) - len(set(known)) >= 2


@pytest.mark.parametrize("column", ["Driver Ratings", "Cancelled Rides by Driver", "Incomplete Rides"])
def test_each_kind_of_ride_repeats_within_a_month(small: list[Line], column: str) -> None:
    assert sum(all(line[column] != "null" for line in group) for group in copies(small)) >= 2


def test_the_first_two_rows_come_again_so_that_the_first_appearance_of_their_names_hangs_on_keep_first(
    small: list[Line],
) -> None:
    for column in ("Vehicle Type", "Pickup Location", "Booking Status", "Payment Method"):
        known = [(line[column], line["Booking ID"], month(line)) for line in small if line[column] != "null"]
        first = dict.fromkeys(name for name, *_ in dict.fromkeys(known))
        last = dict.fromkeys(name for name, *_ in reversed(dict.fromkeys(reversed(known))))
        assert first.keys() == last.keys()
        assert list(first) != list(last)
    newest, oldest = (next(group for group in copies(small) if group[0] is small[row]) for row in (0, 1))
    assert newest[0]["Date"] > newest[1]["Date"]
    assert oldest[0]["Date"] < oldest[1]["Date"]


def test_customers_come_again_with_other_bookings_one_of_them_twice_more(small: list[Line]) -> None:
    bookings = defaultdict(set)
    for line in small:
        bookings[line["Customer ID"]].add(line["Booking ID"])
    times = Counter(map(len, bookings.values()))
    assert times[2] >= 5
    assert times[3] == 1
