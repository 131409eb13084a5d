"""In a lake, each model is a table with the SELECT of its file; its content is that of the models that dbt builds."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

import assay
from assay.settings import Settings
from pipelines.shop import SOURCES, generate, shop, shop_lake
from pipelines.shop.lake import MODELS, select
from tests.pipelines.shop.project import DBT, ROOT, Shop

RELATIONS = [f"{path.parent.name}.{path.stem}" for path in MODELS.rglob("*.sql")]
FIFTH = "select total_items, total_quantity, order_total, avg_item_price from marts.fct_orders where order_id = 5"
COLUMNS = "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 order by attnum"


@pytest.fixture
def source(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = Shop(postgres_url.replace("+psycopg", ""), tmp_path)
    with found.connect() as connection:
        generate.create(connection)
        generate.fill(connection)
    return found


def into_lake(source: Shop) -> Path:
    lake = source.folder / "lake"
    result = assay.run(
        shop_lake.reading(dict.fromkeys(SOURCES, source.url)), warehouse=lake, settings=Settings(workers=2)
    )
    assert result.ok, result.problems
    return lake


def test_every_model_is_a_table_of_the_lake_and_nothing_of_dbt_is_left_in_its_select() -> None:
    assert {f"{table.layer}.{table.entity}" for table in shop_lake.tables.values()} == set(RELATIONS)
    assert len(RELATIONS) == 11
    for relation in RELATIONS:
        assert not {"{", "}", "#"} & set(select(relation.partition(".")[2]))


def test_the_sample_comes_to_what_can_be_added_by_hand(source: Shop) -> None:
    with assay.connect(into_lake(source)) as lake:
        assert lake.sql("select count(*), sum(line_total) from marts.fct_sales").fetchall() == [
            (15, Decimal("5164.82"))
        ]
        # 12 notebooks at 6.25, 2 pens at 24.90 and 3 bottles at 18.75.
        assert lake.sql(FIFTH).fetchall() == [(3, 17, Decimal("181.05"), Decimal("16.63"))]


@pytest.mark.dbt
@pytest.mark.row("002-11")
def test_lake_and_database_have_equal_content_also_when_orders_have_changed(source: Shop, empty_url: str) -> None:
    url = empty_url.replace("+psycopg", "")
    settings = Settings(dbt=str(DBT), folder=str(ROOT), workers=2)
    marts = shop.reading(dict.fromkeys(SOURCES, source.url))
    assay.migrate(marts, warehouse=url, settings=settings)
    with source.connect() as connection:
        generate.grow(connection, customers=300, products=40, orders=2000, seed=3)
    assert assay.run(marts, warehouse=url, settings=settings).ok
    into_lake(source)
    with source.connect() as connection:
        generate.change(connection, rows=100, seed=4)
    assert assay.run(marts, warehouse=url, settings=settings).state == "published"
    with assay.connect(into_lake(source)) as here, psycopg.connect(url) as there:
        for relation in RELATIONS:
            names = [name for (name,) in there.execute(COLUMNS, [relation]).fetchall() if not name.startswith("_assay")]
            query = f"select {', '.join(names)} from {relation}"
            mine, theirs = here.sql(query).fetchall(), there.execute(query.encode()).fetchall()
            assert len(mine) > 40, relation
            assert sorted(map(_plain, mine)) == sorted(map(_plain, theirs)), relation


def _plain(row: tuple[Any, ...]) -> tuple[str, ...]:
    """Return a row as texts, times in one zone: nulls of any type sort and compare."""
    return tuple(str(value.astimezone(None)) if hasattr(value, "astimezone") else str(value) for value in row)
