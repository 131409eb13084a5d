"""Values of every type of a database: what fits its column comes exactly, and the rest is told, row by row."""

from __future__ import annotations

import datetime as dt
import json
import math
import struct
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

import assay
from assay import Pipeline, SourceError, postgres, relation
from assay.queries import quarantine
from tests.sources.postgres.shop import Shop

Kind = tuple[str, str, st.SearchStrategy[str]]
"""Type of the server, declared type, values as PostgreSQL writes them."""

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "\\.", "\\N", "NULL", '"', '""', ",", "\n", "\r\n", "\r", "a\nb", "'", "\\", " ", "\t", "\ufeff"]
)
WHOLE = st.integers(-(2**15), 2**15 - 1)
ODD_TIMES = st.sampled_from(["infinity", "-infinity", "0044-03-15 12:00:00 BC", "10000-01-01 00:00:00"])
DAYS = st.dates(max_value=dt.date(9999, 12, 30), min_value=dt.date(1, 1, 2))
STAMPS = st.builds("{} {}".format, DAYS, st.times()) | ODD_TIMES
FLOATS = st.floats().map(repr) | st.sampled_from(["NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308"])
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=2).map(str)
KINDS: tuple[Kind, ...] = (
    ("boolean", "BOOLEAN", st.sampled_from(["t", "f"])),
    ("smallint", "INTEGER", WHOLE.map(str)),
    ("integer", "INTEGER", st.integers(-(2**31), 2**31 - 1).map(str)),
    ("bigint", "BIGINT", st.integers(-(2**63), 2**63 - 1).map(str)),
    ("bigint", "DECIMAL(10,0)", st.integers(-(10**12), 10**12).map(str)),
    ("numeric(12,2)", "DECIMAL(12,2)", NUMBERS),
    ("numeric", "DECIMAL(38,10)", NUMBERS | st.sampled_from(["NaN", "Infinity", "1e30", "0.00000000001", "-1.5"])),
    ("numeric", "VARCHAR", NUMBERS | st.sampled_from(["NaN", "Infinity", "1" * 60 + "." + "1" * 60])),
    ("real", "REAL", st.floats(width=32).map(repr)),
    ("double precision", "DOUBLE", FLOATS),
    ("date", "DATE", st.dates().map(str) | st.sampled_from(["infinity", "-infinity", "0044-03-15 BC", "10000-01-01"])),
    ("timestamp", "TIMESTAMP", STAMPS),
    ("timestamptz", "TIMESTAMPTZ", STAMPS),
    ("time", "TIME", st.times().map(str) | st.just("24:00:00")),
    ("text", "VARCHAR", TEXT),
    ("varchar(20)", "VARCHAR", TEXT),
    ("bytea", "BLOB", st.binary(max_size=9).map(lambda found: "\\x" + found.hex())),
    ("uuid", "UUID", st.uuids().map(str)),
    ("jsonb", "VARCHAR", TEXT.map(json.dumps).filter(lambda text: "\\u0000" not in text)),
    ("integer[]", "VARCHAR", st.lists(WHOLE, max_size=4).map(lambda found: "{" + ",".join(map(str, found)) + "}")),
    ("text[]", "VARCHAR", st.sampled_from(["{}", '{"a b",NULL,"NULL",""}', '{"\\"","\\\\"}'])),
    ("int4range", "VARCHAR", st.sampled_from(["empty", "[1,5)", "(,)"])),
    ("interval", "VARCHAR", st.sampled_from(["1 mon 2 days 03:04:05.6", "-1 sec", "0"])),
    ("inet", "VARCHAR", st.just("10.0.0.1/8")),
    ("money", "VARCHAR", st.sampled_from(["-1234.5", "0"])),
    ("bit(3)", "VARCHAR", st.sampled_from(["101", "000"])),
    ("timetz", "VARCHAR", st.sampled_from(["10:00:00+05", "24:00:00-12"])),
)
AS_TEXT = {"VARCHAR", "DECIMAL(10,0)", "DECIMAL(12,2)", "DECIMAL(38,10)", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"}


PYTHON: dict[str, Callable[[str], Any]] = {
    "BOOLEAN": "true".__eq__,
    "INTEGER": int,
    "BIGINT": int,
    "REAL": float,
    "DOUBLE": float,
    "DATE": dt.date.fromisoformat,
    "TIME": dt.time.fromisoformat,
    "TIMESTAMP": dt.datetime.fromisoformat,
    "TIMESTAMPTZ": dt.datetime.fromisoformat,
    "BLOB": lambda text: bytes.fromhex(text[2:]),
    "UUID": uuid.UUID,
    "VARCHAR": str,
}
"""What a lake has for a value that the server writes as a text."""


@st.composite
def filled(draw: st.DrawFn) -> tuple[list[Kind], list[tuple[str | None, ...]]]:
    """A table: some columns, and rows for them."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=6))
    row = st.tuples(*(st.none() | kind[2] for kind in kinds))
    return kinds, draw(st.lists(row, max_size=12))


def fits(kind: str, value: Any) -> bool:
    """Whether a value, as the driver or the server tells it, is one of a declared type."""
    if value is None or kind not in AS_TEXT or kind == "VARCHAR":
        return True
    if kind.startswith("DECIMAL"):
        digits, scale = (int(part) for part in kind[8:-1].split(","))
        number = Decimal(value)
        return number.is_finite() and abs(number) < 10 ** (digits - scale) and number == round(number, scale)
    return value[0].isdigit() and not value.endswith("BC") and not value.startswith(("10000-", "24:"))


def typed(kind: str, text: str | None) -> Any:
    """Return what a lake has for a value that the server writes so."""
    if text is None:
        return None
    value = PYTHON.get(kind, Decimal)(text)
    # The server writes the shortest text that stands for a REAL, and no other.
    return struct.unpack("f", struct.pack("f", value))[0] if kind == "REAL" else value


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or one == other
    return bool(one == other)


@pytest.mark.row("002-03")
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example((list(KINDS), [tuple(None for _ in KINDS)]))
@example(([KINDS[10], KINDS[11], KINDS[12]], [("infinity", "-infinity", "0044-03-15 12:00:00 BC"), (None, None, None)]))
@given(filled())
def test_what_fits_comes_exactly_and_what_does_not_is_in_the_quarantine(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory, table: tuple[list[Kind], list[tuple[str | None, ...]]]
) -> None:
    kinds, rows = table
    url, lake = postgres_url.replace("+psycopg", ""), tmp_path_factory.mktemp("lake")
    names = [f"c{n}" for n in range(len(kinds))]
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC -c intervalstyle=iso_8601") as connection:
        connection.execute("drop table if exists t")
        columns = ", ".join(f"{name} {kind[0]}" for name, kind in zip(names, kinds, strict=True))
        connection.execute(f"create table t (id int primary key, {columns})".encode())
        for number, row in enumerate(rows):
            values = sql.SQL(", ").join(sql.Literal(value) for value in row)
            connection.execute(sql.SQL("insert into t values ({}, {})").format(number, values))
        shown = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names)
        there = connection.execute(sql.SQL("select id, {} from t order by id").format(shown)).fetchall()
    declared = {name: kind[1] for name, kind in zip(names, kinds, strict=True)}
    found = mirrored(url, lake, {"id": "BIGINT", **declared})
    expected, bad = [], []
    for number, *texts in there:
        (expected if all(map(fits, declared.values(), texts)) else bad).append((number, texts))
    assert [row[0] for row in found] == [number for number, _ in expected]
    for (_, *values), (_, texts) in zip(found, expected, strict=True):
        wanted = [typed(kind, text) for kind, text in zip(declared.values(), texts, strict=True)]
        assert all(map(same, values, wanted)), (values, wanted)
    columns_of, rejected = quarantine(lake, limit=100)
    kept = {json.loads(row[columns_of.index("row")])["id"]: row[columns_of.index("row")] for row in rejected}
    assert sorted(kept) == [number for number, _ in bad]
    for number, texts in bad:
        row = json.loads(kept[number])
        for name, text in zip(names, texts, strict=True):
            assert fits(declared[name], text) or row[name] == text


def mirrored(url: str, lake: Path, columns: dict[str, str]) -> list[tuple[Any, ...]]:
    """Read a table, by mode full, and return what is published of it."""
    tables = {"raw_t": relation("t", key="id", columns=columns, publish=True)}
    sources = postgres(url, mode="full", tables=tables)
    pipeline = Pipeline("types", tables=[], layers=["raw"], sources=sources, rejected_share=1.0)
    result = assay.run(pipeline, warehouse=lake)
    assert result.problems == ()
    assert assay.run(pipeline, warehouse=lake).state == "unchanged"
    with assay.connect(lake) as connection:
        return connection.execute(
            "select * exclude (updated_at) from (select *, null as updated_at from raw.t) order by id"
        ).fetchall()


def test_long_values_and_types_of_ones_own_come_as_they_are(shop: Shop) -> None:
    shop.execute(
        "create type mood as enum ('sad', 'very, \"happy\"')",
        "create domain price as numeric(10,2) check (value > 0)",
        "create table t (id int primary key, m mood, p price, twice int generated always as (id * 2) stored, "
        "long text, many bytea)",
        "insert into t values (1, 'very, \"happy\"', 9.5, default, repeat(E'é\"\\n', 1000000), decode(repeat('00ff', "
        "1500000), 'hex'))",
    )
    columns = {"id": "BIGINT", "m": "VARCHAR", "p": "DECIMAL(10,2)", "twice": "INTEGER", "long": "VARCHAR"}
    ((number, mood, price, twice, long, many),) = mirrored(shop.url, shop.lake, {**columns, "many": "BLOB"})
    assert (number, mood, price, twice) == (1, 'very, "happy"', Decimal("9.50"), 2)
    assert long == 'é"\n' * 1_000_000
    assert many == b"\0\xff" * 1_500_000


@pytest.mark.parametrize(
    ("there", "declared", "told"),
    [
        ("bigint", "INTEGER", "v is bigint in the database, and declared INTEGER; declare it BIGINT."),
        ("timestamptz", "TIMESTAMP", "declare it TIMESTAMPTZ."),
        ("numeric(50,2)", "DOUBLE", "declare it VARCHAR."),
        ("jsonb", "BLOB", "declare it VARCHAR."),
    ],
)
def test_a_type_that_does_not_hold_what_is_there_is_refused_with_one_that_does(
    shop: Shop, there: str, declared: str, told: str
) -> None:
    shop.execute(f"create table t (id int primary key, v {there})")
    with pytest.raises(SourceError, match=told):
        mirrored(shop.url, shop.lake, {"id": "BIGINT", "v": declared})


@pytest.mark.parametrize("mode", ["full", "xmin"])
def test_a_row_that_is_mended_or_deleted_in_the_database_leaves_the_quarantine(shop: Shop, mode: str) -> None:
    shop.mode, shop.deletes = ("full" if mode == "full" else "xmin"), True
    shop.execute(
        "insert into orders (id, customer_id, amount) select n, 1, 1 from generate_series(10, 99) n",
        "alter table orders add due date default '2026-01-01'",
        "update orders set due = 'infinity' where id in (2, 12, 22)",
    )
    shop.more = {"due": "DATE"}

    def standing() -> list[int]:
        columns, rows = quarantine(shop.lake, limit=100)
        return sorted(json.loads(row[columns.index("row")])["id"] for row in rows)

    shop.run()
    assert (standing(), len(shop.here())) == ([2, 12, 22], 90)
    assert shop.run().state == "unchanged"
    shop.execute("update orders set note = 'touched' where id = 22")
    shop.run()
    assert standing() == [2, 12, 22]
    shop.execute("update orders set due = '2026-02-02' where id = 2", "delete from orders where id = 12")
    shop.run()
    assert (standing(), len(shop.here())) == ([22], 91)
    shop.execute("update orders set due = '-infinity' where id = 10")
    shop.run()
    assert (standing(), len(shop.here())) == ([10, 22], 90)


@pytest.mark.parametrize("columns", [{"one": "VARCHAR"}, {"one": "VARCHAR", "other": "BIGINT"}], ids=["one", "two"])
def test_rows_of_nothing_but_nulls_are_rows(shop: Shop, columns: dict[str, str]) -> None:
    shop.execute("create table hollow (one text, other bigint)", "insert into hollow values (null, null), (null, null)")
    shop.execute("insert into hollow values ('', null)")
    sources = postgres(shop.url, mode="full", tables={"raw_hollow": relation("hollow", columns=columns, publish=True)})
    pipeline = Pipeline("hollow", tables=[], layers=["raw"], sources=sources)
    for _ in range(2):
        result = assay.run(pipeline, warehouse=shop.lake)
        assert (result.ok, result.nodes["raw_hollow"].rows) == (True, 3)
    with assay.connect(shop.lake) as lake:
        assert sorted(lake.execute("select one is null, one from raw.hollow").fetchall(), key=str) == [
            (False, ""),
            (True, None),
            (True, None),
        ]
