"""The key of a table whose keys have numbers gets another type: the numbers stay."""

from __future__ import annotations

from typing import Any

import pytest

import assay
from tests.runtime.shop import SETTINGS, Shop, define


@pytest.fixture(params=["lake", "postgres"])
def warehouse(request: pytest.FixtureRequest, shop: Shop) -> str:
    """Where the tables are."""
    if request.param == "lake":
        return str(shop.lake)
    return str(request.getfixturevalue("postgres_url")).replace("+psycopg", "")


def codes(kind: str) -> assay.Pipeline:
    """Each code of the files once, numbered."""
    write = assay.Merge(surrogate="number")
    table = define(lambda codes: codes, "silver_code", write=write, key="code", keep=assay.latest("file"))
    source = assay.csv("codes*.csv", columns={"code": kind, "file": "BIGINT"})
    return assay.Pipeline("codes", tables=[table], sources={"codes": source})


def run(shop: Shop, warehouse: str, kind: str, **arguments: Any) -> assay.RunResult:
    if warehouse.startswith("postgres"):
        assay.migrate(codes(kind), warehouse=warehouse)
    sources = {"codes": shop.inbox / "codes*.csv"}
    return assay.run(codes(kind), warehouse=warehouse, sources=sources, settings=SETTINGS, **arguments)


def deliver(shop: Shop, file: int, *found: str) -> None:
    shop.deliver(f"codes{file}.csv", "code,file", *(f"{code},{file}" for code in found))


def numbers(warehouse: str) -> dict[str, int]:
    with assay.connect(warehouse) as tables:
        found = tables.sql("select code, number from silver.code").fetchall()
    return {str(code).removesuffix(" 00:00:00"): number for code, number in found}


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("INTEGER", "BIGINT", "{0}"),
        ("BIGINT", "VARCHAR", "{0}"),
        ("DATE", "TIMESTAMP", "2024-01-0{0}"),
    ],
)
def test_numbers_stay_where_their_key_gets_another_type(
    shop: Shop, warehouse: str, before: str, after: str, text: str
) -> None:
    one, two, three, four = (text.format(n) for n in range(1, 5))
    deliver(shop, 1, two, one)
    assert run(shop, warehouse, before).ok
    expected = numbers(warehouse)
    assert set(expected) == {one, two}
    deliver(shop, 2, three)
    assert run(shop, warehouse, after).problems == ()
    assert numbers(warehouse) == expected | {three: 3}
    assert run(shop, warehouse, after, full=True).state == "unchanged"
    deliver(shop, 3, four)
    assert run(shop, warehouse, after).ok
    assert numbers(warehouse) == expected | {three: 3, four: 4}


def test_of_keys_that_become_one_the_smallest_number_stays_and_no_other_key_gets_theirs(shop: Shop) -> None:
    """In a lake: the table of a database has to be changed by hand where a value may be none of the new type."""
    warehouse = str(shop.lake)
    deliver(shop, 1, "01", "1", "7")
    assert run(shop, warehouse, "VARCHAR").ok
    assert numbers(warehouse) == {"01": 1, "1": 2, "7": 3}
    deliver(shop, 2, "007")
    assert run(shop, warehouse, "VARCHAR").ok
    assert numbers(warehouse)["007"] == 4
    assert run(shop, warehouse, "BIGINT").problems == ()
    assert numbers(warehouse) == {"1": 1, "7": 3}
    deliver(shop, 3, "9")
    assert run(shop, warehouse, "BIGINT").ok
    assert numbers(warehouse) == {"1": 1, "7": 3, "9": 5}
    assert run(shop, warehouse, "VARCHAR").problems == ()
    assert numbers(warehouse) == {"1": 1, "7": 3, "9": 5, "01": 6, "007": 7}


def test_a_key_that_is_no_value_of_the_new_type_is_named_with_what_can_be_done(shop: Shop) -> None:
    warehouse = str(shop.lake)
    deliver(shop, 1, "1", "abc")
    assert run(shop, warehouse, "VARCHAR").ok
    deliver(shop, 1, "1", "2")
    (problem,) = run(shop, warehouse, "BIGINT").problems
    assert "silver_code: its key code was VARCHAR and is BIGINT, which cannot hold 'abc'" in problem
    assert "Give code a type that holds it, or another name" in problem
    deliver(shop, 1, "1", "abc")
    assert run(shop, warehouse, "VARCHAR").ok
    assert numbers(warehouse)["abc"] == 2
