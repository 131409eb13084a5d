"""A database that cannot be entered, or read as declared, is refused in one sentence before anything is computed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

import assay
from assay import Pipeline, SourceError, UsageError, postgres, relation
from assay.model.database import Mode
from assay.model.errors import DeclarationError
from tests.sources.postgres.shop import Shop, silver_orders

WORD = "hunter" + "22"


def refused(shop: Shop, **options: object) -> str:
    with pytest.raises(UsageError) as error:
        shop.run(**options)
    assert not (shop.lake / "data").exists()
    return str(error.value)


def as_role(shop: Shop, *rights: str) -> Shop:
    """Return the shop as a role sees it that has no other rights."""
    name = f"reader_{re.sub('[^0-9]', '', shop.url.split('/')[3].split('?')[0])}"
    shop.execute(
        f"drop owned by {name}" if _is_there(shop, name) else f"create role {name} login",
        *(right.format(role=name) for right in rights),
    )
    return replace(shop, url=shop.url.replace("assay@", f"{name}@"))


def _is_there(shop: Shop, role: str) -> bool:
    with shop.connect() as connection:
        return bool(connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchall())


def test_a_server_that_does_not_answer(shop: Shop) -> None:
    shop.url = "postgresql://etl@127.0.0.1:1/shop"
    assert "postgresql://etl@127.0.0.1:1/shop: connection failed" in refused(shop)


def test_a_database_that_is_not_there(shop: Shop) -> None:
    shop.url = re.sub(r"/test_\d+", "/nothing", shop.url)
    assert 'database "nothing" does not exist' in refused(shop)


def test_a_variable_that_is_not_set(shop: Shop) -> None:
    shop.url, url = "env:SHOP_URL", shop.url
    with pytest.raises(SourceError, match="environment variable SHOP_URL is not set; it should hold postgresql://"):
        shop.run()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SHOP_URL", url)
        assert shop.run().state == "published"
        assert shop.run(sources={"orders": url}).state == "unchanged"


@pytest.mark.parametrize(
    "text",
    [f"etl:{WORD}" + "@db/shop", f"host=db passwort={WORD}", f"postgresql://etl:{WORD}@db:port/shop", f"'{WORD}"],
)
def test_a_variable_that_holds_no_address_is_told_without_what_it_holds(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SHOP_URL", text)
    shop.url = "env:SHOP_URL"
    told = refused(shop)
    assert told.startswith("env:SHOP_URL")
    assert WORD not in told


@pytest.mark.parametrize(
    "url", [f"postgresql://etl:{WORD}" + "@db/shop", f"postgresql://etl@db/shop?password={WORD}", f"etl:{WORD}"]
)
def test_a_password_in_an_address_is_refused_when_it_is_declared(url: str) -> None:
    with pytest.raises(DeclarationError) as error:
        postgres(url, tables={})
    if url.startswith("postgresql"):
        assert "password" in str(error.value)
        assert WORD not in str(error.value)


def test_a_table_that_the_role_may_not_read(shop: Shop) -> None:
    plain = as_role(shop, "grant pg_read_all_stats to {role}", "grant select on customers to {role}")
    assert "orders: the role may not read it: GRANT SELECT ON orders TO" in refused(plain)
    shop.execute(f"grant select on orders to {plain.url[13:].split('@')[0]}")
    assert plain.run().state == "published"


def test_a_role_that_does_not_see_the_transactions_of_others_is_refused_by_horizon_alone(shop: Shop) -> None:
    plain = as_role(shop, "grant select on customers, orders to {role}")
    assert "GRANT pg_read_all_stats" in refused(plain)
    plain.mode = "xmin"
    assert plain.run().state == "published"


def test_rows_that_a_policy_hides_are_refused_not_left_out(shop: Shop) -> None:
    shop.execute(
        "alter table orders enable row level security",
        "create policy few on orders using (id > 1)",
    )
    plain = as_role(shop, "grant select on customers, orders to {role}", "grant pg_read_all_stats to {role}")
    assert "orders: its policies would hide rows from the role" in refused(plain)


@pytest.mark.parametrize("mode", ["horizon", "xmin"])
def test_a_view_has_no_key_to_follow(shop: Shop, mode: Mode) -> None:
    shop.execute("alter table orders rename to all_orders", "create view orders as select * from all_orders")
    shop.mode = mode
    assert "orders: is a view, which has no primary key; read it by mode 'full', without key=." in refused(shop)


def test_settings_of_a_role_do_not_change_what_is_read(shop: Shop) -> None:
    shop.execute(
        "insert into orders select n, 1, 'open', 1, null, '2026-01-31 23:30:00+00' from generate_series(10, 100000) n"
    )
    plain = as_role(
        shop,
        "grant select on customers, orders to {role}",
        "grant pg_read_all_stats to {role}",
        "alter role {role} set timezone = 'Asia/Tokyo'",
        "alter role {role} set datestyle = 'German'",
        "alter role {role} set statement_timeout = 1",
        # PostgreSQL has this one from 17 on.
        "do $$ begin alter role {role} set transaction_timeout = 80; exception when undefined_object then null; end $$",
        "alter role {role} set idle_in_transaction_session_timeout = 1",
    )
    assert plain.run().state == "published"
    assert plain.here() == shop.there()


def test_views_odd_names_and_tables_without_a_key_are_read_whole(shop: Shop) -> None:
    shop.execute(
        "create view seen as select id, note from orders",
        "create materialized view kept as select id from orders",
        'create table "Order Items" ("Select" bigint primary key, "a""b" text)',
        """insert into "Order Items" values (1, 'x'), (2, null)""",
        "create table one (x text)",
        "insert into one values (null), (''), ('a'), (null), ('\\.')",
    )
    tables = {
        "raw_seen": relation("seen", columns={"id": "BIGINT", "note": "VARCHAR"}, publish=True),
        "raw_kept": relation("kept", columns={"id": "BIGINT"}, publish=True),
        "raw_items": relation(
            '"Order Items"', key="Select", columns={"Select": "BIGINT", 'a"b': "VARCHAR"}, publish=True
        ),
        "raw_one": relation("one", columns={"x": "VARCHAR"}, publish=True),
    }
    pipeline = Pipeline("odd", tables=[], layers=["raw"], sources=postgres(shop.url, mode="full", tables=tables))
    assert assay.run(pipeline, warehouse=shop.lake).state == "published"
    assert assay.run(pipeline, warehouse=shop.lake).state == "unchanged"
    with assay.connect(shop.lake) as connection:
        found = {
            name: connection.execute(f"select * from raw.{name} order by all").fetchall()
            for name in ("seen", "kept", "items", "one")
        }
    assert found == {
        "seen": [(1, None), (2, None), (3, None)],
        "kept": [(1,), (2,), (3,)],
        "items": [(1, "x"), (2, None)],
        "one": [("",), ("\\.",), ("a",), (None,), (None,)],
    }


def test_options_of_libpq_are_handed_on(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address may name a service, a file of passwords and certificates, as with psql."""
    found = psycopg.conninfo.conninfo_to_dict(shop.url)
    (tmp_path / "services").write_text("[shop]\n" + "".join(f"{name}={value}\n" for name, value in found.items()))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    shop.url = f"postgresql://?service=shop&passfile={tmp_path}/passwords&sslmode=prefer"
    assert shop.run().state == "published"
    shop.url = "postgresql://etl@127.0.0.1:1/shop?sslmode=verify-full&sslrootcert=/nowhere.pem"
    with pytest.raises(SourceError):
        shop.run()
    assert silver_orders.key == ("id",)
