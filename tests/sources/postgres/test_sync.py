"""A database is mirrored without a pipeline: tables, columns and keys are found in it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

import assay
from assay import SourceError, UsageError, WarehouseError
from assay.model.database import Mode
from assay.warehouses.postgres.server.embedded import embedded
from tests.sources.postgres.shop import DAY, Shop

ODD = (
    'create schema sales; create table sales."Order Items" (id int primary key, "Größe" numeric, tags text[])',
    """insert into sales."Order Items" values (1, 1.23456789012345678901234567890, '{a,"b,c"}'), (2, 'NaN', null)""",
    "create table notes (text text)",
    "insert into notes values (''), (null), ('x')",
)


@pytest.mark.parametrize("where", ["lake", "database"])
@pytest.mark.parametrize("mode", ["xmin", "horizon", "full"])
def test_all_tables_are_mirrored_and_followed(shop: Shop, tmp_path: Path, where: str, mode: Mode) -> None:
    shop.execute(*ODD)
    place = str(tmp_path / "lake") if where == "lake" else f"postgresql:{tmp_path / 'server'}"
    first = assay.sync(shop.url, warehouse=place, mode=mode, as_of=DAY)
    assert first.problems == ()
    assert sorted(first.tables) == ["raw_customers", "raw_notes", "raw_orders", "raw_sales_order_items"]
    assert assay.sync(shop.url, warehouse=place, mode=mode, as_of=DAY).state == "unchanged"
    shop.execute(
        "delete from orders where id = 1",
        "update customers set name = 'other', updated_at = now() where id = 2",
        "insert into notes values ('y')",
    )
    assert assay.sync(shop.url, warehouse=place, mode=mode, as_of=DAY).state == "published"
    with assay.connect(place) as connection:
        assert connection.execute(
            "select id, amount::decimal(12,2) from raw.orders order by id"
        ).fetchall() == shop.there("id, amount")
        assert connection.execute("select name from raw.customers where id = 2").fetchall() == [("other",)]
        assert sorted(str(row[0]) for row in connection.execute("select text from raw.notes").fetchall()) == [
            *("", "None", "x", "y")
        ]
        odd = connection.execute('select "Größe", tags from raw.sales_order_items order by id').fetchall()
    assert odd == [("1.23456789012345678901234567890", '{a,"b,c"}'), ("NaN", None)]


def test_tables_are_chosen_by_name_or_pattern(shop: Shop) -> None:
    shop.execute(*ODD)
    found = assay.sync(shop.url, warehouse=shop.lake, tables=["orders", "sales.*"], as_of=DAY)
    assert list(found.tables) == ["raw_orders", "raw_sales_order_items"]
    with pytest.raises(SourceError, match=r"no table 'ordes' for this role. Did you mean 'orders'\?"):
        assay.sync(shop.url, warehouse=shop.lake, tables=["ordes"])


def test_a_password_in_the_address_is_refused_and_not_shown(shop: Shop) -> None:
    with pytest.raises(UsageError, match="has a password in it") as refused:
        assay.sync("postgresql://etl:" + "s3cret" + "@localhost/shop", warehouse=shop.lake)
    assert "s3cret" not in str(refused.value)


TYPES = """
create type mood as enum ('sad', 'happy');
create domain short as varchar(3);
create table types (id int primary key, huge numeric, money numeric(12,2), day date, at timestamptz, local timestamp(3),
    hour time, body jsonb, tags text[], span int4range, raw bytea, code uuid, name varchar(9), fixed char(4), mood mood,
    short short, net inet, pause interval, flag bool, small int2, double float8, bits bit(3));
insert into types values
    (1, 12345678901234567890.123456789012345678901234567890, 'NaN', 'infinity', '-infinity', '2026-01-02 03:04:05.678',
     '24:00:00', '{"a": [1, null, "x"]}', '{a,"b,c",NULL}', '[1,5)', '\\x00ff22', gen_random_uuid(), '', 'ab', 'sad',
     'abc', '10.0.0.1/8', '1 year 2 days 03:04:05', true, -32768, 'NaN', '101'),
    (2, 'NaN', 9999999999.99, '0044-03-15 BC', '2026-01-02 03:04:05.678901+00', 'infinity', '00:00:00.000001', 'null',
     '{}', 'empty', '', null, 'a"b,c', 'x', 'happy', '', '::1', '-1 mon', false, 1, '-Infinity', '000');
insert into types (id, huge) values (3, 1.10);
comment on table types is 'All kinds; of ''values''.';
comment on column types.huge is 'More digits than most have.';
"""


@pytest.mark.parametrize("mode", ["xmin", "cdc"])
def test_a_database_gets_every_value_in_its_type_with_key_and_comments(shop: Shop, tmp_path: Path, mode: Mode) -> None:
    shop.execute(*TYPES.strip().split(";\n"))
    place = f"postgresql:{tmp_path / 'server'}"
    first = assay.sync(shop.url, warehouse=place, mode=mode, tables=["types"], as_of=DAY)
    assert (first.problems, first.tables["raw_types"].ledger.rejected) == ((), 0)
    shop.execute(
        "update types set huge = huge + 1, double = '0.1', day = day where id = 1",
        "insert into types (id, huge, tags) values (4, 'Infinity', '{{1,2},{3,4}}')",
    )
    assay.sync(shop.url, warehouse=place, mode=mode, tables=["types"], as_of=DAY)
    with embedded(tmp_path / "server") as url, psycopg.connect(url.replace("+psycopg", "")) as there:
        columns = [name for name in columns_of(shop.url) if name not in ("mood", "short")]
        texts = ", ".join(f'"{name}"::text, pg_typeof("{name}")::text' for name in columns)
        mine = there.execute(f"select {texts}, mood, short from raw.types order by id").fetchall()
        with shop.connect() as here:
            assert mine == here.execute(f"select {texts}, mood::text, short::text from types order by id").fetchall()
        said = "select obj_description('raw.types'::regclass), col_description('raw.types'::regclass, 2)"
        assert there.execute(said).fetchone() == ("All kinds; of 'values'.", "More digits than most have.")
        unique = "select indexdef from pg_indexes where schemaname = 'raw' and indexdef like 'CREATE UNIQUE%%(id)'"
        assert len(there.execute(unique).fetchall()) == 1


def test_values_do_not_depend_on_the_settings_of_the_database_they_get_to(
    shop: Shop, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = postgres_url.replace("+psycopg", "", 1)
    with psycopg.connect(place, autocommit=True) as connection:
        name = connection.info.dbname
        for setting in ("array_nulls=off", "datestyle='SQL, DMY'", "intervalstyle=sql_standard"):
            connection.execute(f"alter database {name} set {setting}".encode())
    columns = ("parts text[]", "numbers int[]", "day date", "pause interval", "price money")
    shop.execute(
        f"create table odd (id int primary key, {', '.join(columns)})",
        """insert into odd values (1, '{a,NULL,"NULL"}', '{1,NULL}', '2026-02-03', '-1 day +2 hours', 1.5)""",
    )
    found = assay.sync(shop.url, warehouse=place, tables=["odd"], migrate=True, as_of=DAY)
    assert found.problems == ()
    texts = "select parts::text, numbers::text, day - '2026-01-01', extract(epoch from pause), price::numeric"
    with psycopg.connect(place) as there, shop.connect() as here:
        assert there.execute(f"{texts} from raw.odd").fetchall() == here.execute(f"{texts} from odd").fetchall()


def test_names_of_what_another_database_has_not_get_there_as_texts(
    shop: Shop, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = postgres_url.replace("+psycopg", "", 1)
    kinds = ("regclass", "regtype", "regnamespace", "aclitem", "regclass[]", "aclitem[]", "oid")
    shop.execute(
        "create schema mine",
        f"create table odd (id int primary key, {', '.join(f'c{n} {kind}' for n, kind in enumerate(kinds))})",
        "insert into odd values (1, 'public.orders', 'odd', 'mine', null, '{orders}', '{}', 7)",
    )
    found = assay.sync(shop.url, warehouse=place, tables=["odd"], migrate=True, as_of=DAY)
    assert found.problems == ()
    with psycopg.connect(place) as there:
        row = there.execute(
            "select c0, c1, c2, c4, c6, pg_typeof(c3)::text, pg_typeof(c5)::text from raw.odd"
        ).fetchone()
    assert row == ("public.orders", "public.odd", "mine", "{public.orders}", 7, "text", "text")


KEYS = {
    "alter table t drop constraint t_pkey, add primary key (region, id); insert into t values (1, 'b')": "region, id",
    "alter table t drop constraint t_pkey; insert into t values (1, 'b')": None,
    "delete from t; alter table t add primary key (region); insert into t values (1, 'b')": "region",
}


def test_a_table_gets_another_primary_key_none_and_one_again(
    shop: Shop, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = postgres_url.replace("+psycopg", "", 1)
    shop.execute("create table t (id int primary key, region text not null)", "insert into t values (1, 'a'), (2, 'a')")
    assay.sync(shop.url, warehouse=place, tables=["t"], migrate=True, as_of=DAY)
    with psycopg.connect(place, autocommit=True) as there, shop.connect() as here:
        there.execute("create unique index by_people on raw.t (id, region, _assay_file)")
        for change, key in KEYS.items():
            here.execute(change.encode())
            if key != "region":
                with pytest.raises(UsageError, match="or has the index of an earlier key"):
                    assay.sync(shop.url, warehouse=place, tables=["t"], as_of=DAY)
            if key is None:
                there.execute("drop index raw.by_people")
            for _ in range(2):
                found = assay.sync(shop.url, warehouse=place, tables=["t"], migrate=True, as_of=DAY)
                assert found.problems == ()
            mine = there.execute("select id, region from raw.t order by 1, 2").fetchall()
            assert mine == here.execute("select id, region from t order by 1, 2").fetchall()
            unique = "select indexdef from pg_indexes where schemaname = 'raw' and indexdef like 'CREATE UNIQUE%'"
            said = [text.partition("btree ")[2] for (text,) in there.execute(unique).fetchall()]
            assert [text for text in said if "_assay_file" not in text] == ([f"({key})"] if key else [])


def test_a_row_that_an_index_of_people_refuses_is_told_with_its_table(
    shop: Shop, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = postgres_url.replace("+psycopg", "", 1)
    assay.sync(shop.url, warehouse=place, tables=["orders"], migrate=True, as_of=DAY)
    with psycopg.connect(place, autocommit=True) as there:
        there.execute("create unique index by_people on raw.orders (customer_id)")
    shop.execute("insert into orders select 4, 1, 'open', 1")
    with pytest.raises(WarehouseError, match=r"^raw.orders: the server does not take a row: .* \"by_people\"\. Where"):
        assay.sync(shop.url, warehouse=place, tables=["orders"], migrate=True, as_of=DAY)


@pytest.mark.parametrize(("mode", "rejected"), [("xmin", 0), ("cdc", 0), ("horizon", 1)])
def test_a_stamp_that_nobody_compares_gets_to_a_database_whatever_it_is(
    shop: Shop, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode, rejected: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = postgres_url.replace("+psycopg", "", 1)
    shop.execute(
        "insert into orders select n, 1, 'open', 1 from generate_series(10, 29) n",
        "update orders set updated_at = 'infinity' where id = 3",
    )
    found = assay.sync(shop.url, warehouse=place, tables=["orders"], mode=mode, migrate=True, as_of=DAY)
    assert (found.state, found.tables["raw_orders"].ledger.rejected) == ("published", rejected)
    with psycopg.connect(place) as connection:
        stamps = connection.execute("select updated_at::text from raw.orders where id = 3").fetchall()
    assert stamps == [("infinity",)] * (1 - rejected)


def columns_of(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [column.name for column in connection.execute("select * from types limit 0").description or ()]


@pytest.mark.parametrize("where", ["lake", "database"])
def test_columns_that_come_go_and_grow_are_followed(shop: Shop, tmp_path: Path, where: str) -> None:
    place = str(tmp_path / "lake") if where == "lake" else f"postgresql:{tmp_path / 'server'}"
    shop.execute("create table items (id int primary key, old text, size int)", "insert into items values (1, 'a', 1)")
    assay.sync(shop.url, warehouse=place, tables=["items"], as_of=DAY)
    shop.execute(
        "alter table items add column new text default 'given'",
        "alter table items drop column old",
        "alter table items alter column size type bigint",
        "insert into items values (2, 5000000000, 'own')",
    )
    assert assay.sync(shop.url, warehouse=place, tables=["items"], as_of=DAY).problems == ()
    shop.execute("alter table items rename column new to newest")
    assert assay.sync(shop.url, warehouse=place, tables=["items"], as_of=DAY).problems == ()
    query = 'select id, size, newest, "new", old from raw.items order by id'
    if where == "database":
        with embedded(tmp_path / "server") as url, psycopg.connect(url.replace("+psycopg", "")) as there:
            found = there.execute(query).fetchall()
    else:
        with assay.connect(place) as connection:
            found = connection.execute(query).fetchall()
    # What a column held that is gone, nobody can read again; where nothing else of a row was read, it stays.
    assert [row[:3] for row in found] == [(1, 1, "given"), (2, 5_000_000_000, "own")]
    assert assay.sync(shop.url, warehouse=place, tables=["items"], as_of=DAY).state == "unchanged"


def test_a_type_that_cannot_become_the_new_one_is_refused_by_a_database(shop: Shop, tmp_path: Path) -> None:
    place = f"postgresql:{tmp_path / 'server'}"
    shop.execute("create table items (id int primary key, size bigint)", "insert into items values (1, 1)")
    assay.sync(shop.url, warehouse=place, tables=["items"], as_of=DAY)
    shop.execute("alter table items alter column size type int4range using int4range(size::int, null)")
    with pytest.raises(UsageError, match="column size is bigint in the database and int4range in the pipeline"):
        assay.sync(shop.url, warehouse=place, tables=["items"], as_of=DAY)
