"""A database is mirrored without a pipeline: tables, columns and keys are found in it."""

from __future__ import annotations

from pathlib import Path

import pytest

import assay
from assay import SourceError, UsageError
from assay.model.database import Mode
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
        assert connection.execute("select id, amount from raw.orders order by id").fetchall() == shop.there(
            "id, amount"
        )
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
