"""What differs between two states: rows by key, or whole, columns and tables; applied to one it gives the other."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import narwhals as nw
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from narwhals import col

import assay
from assay.cli.app import assay as command
from assay.engines.duckdb.difference import compare
from assay.engines.duckdb.reader import connected
from assay.model.data import DataFile, Version
from assay.model.errors import UsageError, WarehouseError
from assay.model.schema import Schema
from tests.runtime.shop import Shop, define


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def tables() -> list[assay.Table]:
    return [
        define(lambda orders: orders, "bronze_order", write=assay.Append()),
        define(
            lambda bronze_order: bronze_order.select("id", "customer", "amount"),
            "silver_order",
            write=assay.Merge(stamps=True),
            key="id",
        ),
        define(
            lambda silver_order: silver_order.group_by("customer").agg(amount=col("amount").sum(), orders=nw.len()),
            "gold_customer",
            rows=assay.groups("customer", count="orders", total="amount"),
        ),
    ]


def counts(found: list[Any]) -> dict[str, tuple[int, int, int]]:
    return {table.table: (table.added, table.removed, table.changed) for table in found}


def test_rows_are_followed_by_key_and_stamps_alone_are_no_change(shop: Shop) -> None:
    shop.orders("1,ann,10", "2,bob,20", "3,cat,30")
    shop.run(*tables())
    shop.orders("1,ann,10", "2,bob,25", "4,ann,40")
    shop.run(*tables(), as_of=None)
    found = assay.diff(1, 2, shop.lake, table="gold_customer")
    assert [(table.key, table.fate) for table in found] == [(("customer",), "stayed")]
    assert [(row.kind, dict(row.key), dict(row.before), dict(row.after)) for row in found[0].rows] == [
        ("changed", {"customer": "ann"}, {"amount": 10, "orders": 1}, {"amount": 50, "orders": 2}),
        ("changed", {"customer": "bob"}, {"amount": 20}, {"amount": 25}),
        ("removed", {"customer": "cat"}, {"customer": "cat", "amount": 30, "orders": 1}, {}),
    ]
    # Without a key a row that changed is one that went and one that came.
    assert counts(assay.diff(1, 2, shop.lake)) == {
        "bronze_order": (2, 2, 0),
        "silver_order": (1, 1, 1),
        "gold_customer": (0, 1, 2),
    }
    ((changed,),) = [
        [row for row in table.rows if row.kind == "changed"]
        for table in assay.diff(1, 2, shop.lake, table="silver_order")
    ]
    assert (changed.before["amount"], changed.after["amount"]) == (20, 25)
    assert set(changed.before) == {"amount", "updated_at"}
    assert counts(assay.diff(2, 1, shop.lake)) == {
        "bronze_order": (2, 2, 0),
        "silver_order": (1, 1, 1),
        "gold_customer": (1, 0, 2),
    }
    assert assay.diff(2, 2, shop.lake) == []


def test_tables_and_columns_that_came_or_went_are_told(shop: Shop) -> None:
    shop.orders("1,ann,10")
    bronze = define(lambda orders: orders, write=assay.Append())
    shop.run(bronze, define(lambda bronze_order: bronze_order, "silver_order", key="id"))
    wider = define(
        lambda bronze_order: bronze_order.select("id", col("amount").cast(nw.String), double=col("amount") * 2),
        "silver_order",
        key="id",
    )
    shop.run(bronze, wider, define(lambda bronze_order: bronze_order.select("id"), "gold_id"))
    new, changed = sorted(assay.diff(1, 2, shop.lake), key=lambda table: table.table)
    assert (new.table, new.fate, new.rows_after, counts([new])) == ("gold_id", "came", 1, {"gold_id": (1, 0, 0)})
    assert (changed.columns_added, changed.columns_removed) == (("double",), ("customer",))
    assert changed.columns_retyped == ("amount: BIGINT -> VARCHAR",)
    # The value is the same in its new type.
    assert counts([changed]) == {"silver_order": (0, 0, 0)}
    assert [table.fate for table in assay.diff(2, 1, shop.lake) if table.table == "gold_id"] == ["went"]
    shop.undo(1)
    assert {table.fate for table in assay.diff(2, 3, shop.lake)} == {"went"}


def test_files_that_are_in_both_states_are_not_read(shop: Shop) -> None:
    shop.orders("1,ann,10", file="orders1.csv")
    bronze = define(lambda orders: orders, write=assay.Append())
    shop.run(bronze)
    (kept,) = (shop.lake / "bronze/order/data").glob("*.parquet")
    shop.orders("2,bob,20", file="orders2.csv")
    shop.run(bronze)
    shutil.move(kept, kept.with_suffix(".elsewhere"))
    assert counts(assay.diff(1, 2, shop.lake)) == {"bronze_order": (1, 0, 0)}


def test_what_cannot_be_compared_is_refused_by_name(shop: Shop) -> None:
    shop.orders("1,ann,10")
    shop.run(*tables())
    with pytest.raises(UsageError, match=r"no published table 'silver_ordr'\. Did you mean 'silver_order'"):
        assay.diff(1, 1, shop.lake, table="silver_ordr")
    with pytest.raises(WarehouseError, match="Run 9 has published nothing here"):
        assay.diff(1, 9, shop.lake)


def test_the_command_prints_a_table_and_its_rows(shop: Shop) -> None:
    shop.orders("1,ann,10", "2,bob,20")
    shop.run(*tables())
    shop.orders("1,ann,11", "3,cat,30")
    shop.run(*tables())
    place = ["--warehouse", str(shop.lake)]
    printed = CliRunner().invoke(command, ["diff", "1", "2", "--table", "gold_customer", *place]).output
    assert printed.splitlines() == [
        "table          rows  added  removed  changed",
        "gold_customer     2      1        1        1",
        "",
        "changed  customer=ann  amount: 10 -> 11",
        "removed  customer=bob  amount=20, orders=1",
        "added    customer=cat  amount=30, orders=1",
    ]
    assert CliRunner().invoke(command, ["diff", "2", "2", *place]).output == "Nothing differs.\n"
    document = json.loads(CliRunner().invoke(command, ["diff", "1", "2", "--json", *place]).output)
    assert [(t["table"], t["added"], t["removed"], t["changed"]) for t in document][-1] == ("gold_customer", 1, 1, 1)


SCHEMA = Schema.of([("id", "BIGINT"), ("name", "VARCHAR"), ("share", "DOUBLE")])
NAMES, SHARES = (st.one_of(st.none(), st.sampled_from(values)) for values in ("abc", [0.0, 1.5, -2.25]))
VALUES = st.tuples(NAMES, SHARES)
ROWS = st.lists(st.tuples(st.integers(0, 2), NAMES, SHARES), max_size=6)
INF, NAN = float("inf"), float("nan")
KEYED = st.dictionaries(st.integers(0, 6), VALUES, max_size=6)


def version(
    root: Path, run: int, rows: list[tuple[Any, ...]], kept: tuple[DataFile, ...], key: tuple[str, ...]
) -> Version:
    """Store rows as a file of a version that keeps others."""
    path = f"{run}.parquet"
    with connected() as duck:
        duck.execute("create table t (id bigint, name varchar, share double)")
        if rows:
            duck.executemany("insert into t values (?, ?, ?)", rows)
        duck.execute(f"copy t to '{root / path}' (format parquet)")
    files = (*kept, DataFile(path, len(rows), 0))
    return Version(run, "silver.thing", SCHEMA, 4, (), files, "", {}, key=key)


def applied(rows: list[tuple[Any, ...]], found: Any) -> Counter[tuple[Any, ...]]:
    """Apply a difference to rows: what went goes, what changed changes, what came comes."""
    names, after = SCHEMA.names, Counter(rows)
    for row in found.rows:
        old = tuple(row.before.get(name) for name in names)
        new = tuple(row.after.get(name) for name in names)
        if row.kind == "removed":
            after[old] -= row.count
        elif row.kind == "added":
            after[new] += row.count
        else:
            # Of rows that share a key, as they may where it was never checked, the one that was as it is told: of the
            # files that differ, which come last.
            known = {**row.key, **row.before}
            of_key = [each for each in reversed(after) if after[each]]
            was = next(each for each in of_key if known.items() <= dict(zip(names, each, strict=True)).items())
            after[was] -= 1
            after[tuple({**dict(zip(names, was, strict=True)), **row.after}[name] for name in names)] += 1
    return +after


@settings(max_examples=20, deadline=None)
@given(common=KEYED, one=KEYED, other=KEYED)
def test_a_difference_by_key_applied_to_one_state_gives_the_other(common: Any, one: Any, other: Any) -> None:
    parts = [[(k, *v) for k, v in rows.items() if k not in common or rows is common] for rows in (common, one, other)]
    check(parts, ("id",))


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (1e-10, 5e-10, 1),
        (2e-10, 2e-10 + 1e-25, 0),
        (0.0, 1e-12, 1),
        (0.1, 0.1 + 1e-17, 0),
        (1e300, 1.0000000001e300, 0),
        (1e300, 1.00001e300, 1),
        (INF, INF, 0),
        (INF, 1.5, 1),
        (NAN, NAN, 0),
        (1.5, NAN, 1),
        (None, None, 0),
        (None, 1.5, 1),
    ],
)
def test_a_double_differs_by_key_as_a_run_tells_it(
    tmp_path: Path, before: float | None, after: float | None, changed: int
) -> None:
    sides = [version(tmp_path, n, [(1, "a", share)], (), ("id",)) for n, share in ((1, before), (2, after))]
    with connected() as duck:
        found = compare(duck, str(tmp_path), *sides, rows=9)
    assert (found.added, found.removed, found.changed) == (0, 0, changed)


@settings(max_examples=20, deadline=None)
@given(parts=st.tuples(ROWS, ROWS, ROWS))
@example(parts=([(0, "a", None)], [(0, None, None)], [(0, None, 0.0)]))
def test_a_difference_of_whole_rows_applied_to_one_state_gives_the_other(parts: Any) -> None:
    check(parts, ())
    # A key that does not tell the rows apart is not believed.
    check(parts, ("id",))


def check(parts: list[list[tuple[Any, ...]]], key: tuple[str, ...]) -> None:
    common, one, other = parts
    with TemporaryDirectory() as folder, connected() as duck:
        root = Path(folder)
        kept = version(root, 1, common, (), key).files
        before, after = version(root, 2, one, kept, key), version(root, 3, other, kept, key)
        found = compare(duck, folder, before, after, rows=100)
        assert applied(common + one, found) == Counter(common + other)
        assert found.added == sum(row.count for row in found.rows if row.kind == "added")
        assert found.removed == sum(row.count for row in found.rows if row.kind == "removed")
        assert found.changed == sum(row.count for row in found.rows if row.kind == "changed")
        assert found.differs == (Counter(one) != Counter(other))
        assert compare(duck, folder, after, before, rows=0).added == found.removed
