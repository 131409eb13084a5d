"""A run of the shop has dbt build out of sight, and publishes what passes all tests, or nothing."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

import assay
from assay import Pipeline, RunResult, UsageError
from assay.settings import Settings
from pipelines.shop import LAYERS, SOURCES, generate
from tests.pipelines.shop.project import DBT, PROJECT, Shop

pytestmark = pytest.mark.dbt

MARTS = ("dim_customers", "dim_products", "fct_orders", "fct_sales", "monthly_sales")
KINDS = """
select nspname || '.' || relname, relkind::text from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where relkind in ('r', 'v', 'm', 'p') and not relispartition and nspname in ('raw', 'staging', 'intermediate', 'marts')
"""
LEFT = "select nspname from pg_namespace where nspname like 'assay\\_run%'"
COLUMNS = (
    "select string_agg(attname, ',' order by attnum) from pg_attribute where attrelid = %s::regclass and attnum > 0"
)
VIEWS = {
    **dict.fromkeys(("stg_customers", "stg_order_items", "stg_orders", "stg_products"), "staging"),
    **dict.fromkeys(("int_order_items_enriched", "int_orders_enriched"), "intermediate"),
}


@dataclass
class Run:
    """The shop as it is run: source and warehouse are two databases."""

    source: Shop
    url: str
    folder: Path
    project: Path = field(init=False)

    def __post_init__(self) -> None:
        self.project = self.folder / "project"
        shutil.copytree(PROJECT, self.project)
        self.migrated = False

    @property
    def pipeline(self) -> Pipeline:
        declared = Pipeline("shop", layers=LAYERS, sources=SOURCES, tables=[assay.dbt(str(self.project))])
        return declared.reading(dict.fromkeys(SOURCES, self.source.url))

    def settings(self, **own: Any) -> Settings:
        return Settings(dbt=str(DBT), retries=0, workers=2, **own)

    def __call__(self, **arguments: Any) -> RunResult:
        if not self.migrated:
            assay.migrate(self.pipeline, warehouse=self.url)
            self.migrated = True
        return assay.run(self.pipeline, warehouse=self.url, settings=self.settings(), **arguments)

    def rows(self, query: str, *given: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query.encode(), given or None).fetchall()

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def marts(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every mart as a client of the server reads it."""
        found = {}
        for name in MARTS:
            ((columns,),) = self.rows(COLUMNS, f"marts.{name}")
            own = ", ".join(column for column in columns.split(",") if not column.startswith("_assay"))
            found[name] = sorted(self.rows(f"select {own} from marts.{name}"), key=repr)
        return found

    def edit(self, model: str, old: str, new: str) -> None:
        """Change the text of a model."""
        (path,) = self.project.rglob(model)
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))


@pytest.fixture
def run(postgres_url: str, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shop = Shop(postgres_url.replace("+psycopg", ""), tmp_path)
    with shop.connect() as connection:
        generate.create(connection)
        generate.fill(connection)
    return Run(shop, empty_url.replace("+psycopg", ""), tmp_path)


@pytest.mark.row("002-11", "002-12", "002-17", "002-23")
def test_a_run_publishes_raw_tables_views_and_marts_with_their_tests_as_checks(run: Run) -> None:
    result = run()
    assert (result.state, result.problems) == ("published", ())
    assert dict(run.rows(KINDS)) == {
        **{f"raw.{name}": "r" for name in ("customers", "products", "orders", "order_items")},
        **{f"{layer}.{name}": "v" for name, layer in VIEWS.items()},
        **{f"marts.{name}": "r" for name in ("dim_customers", "dim_products", "fct_orders")},
        "marts.fct_sales": "p",
        "marts.monthly_sales": "m",
    }
    assert run.rows("select count(*), sum(line_total) from marts.fct_sales") == [(15, Decimal("5164.82"))]
    # What assay keeps beside rows is no column of a view.
    assert run.rows(COLUMNS, "staging.stg_products") == [
        ("product_id,product_name,category,price,created_at,updated_at",)
    ]
    checks = [verdict for node in result.nodes.values() for verdict in node.verdicts]
    assert (len(checks), [verdict for verdict in checks if verdict.broken]) == (120, [])
    sales = result.nodes["marts_fct_sales"]
    assert (sales.status, sales.rows, sales.ledger.inserted) == ("written", 15, 15)
    assert 0 < sales.seconds < result.nodes["dbt"].seconds
    assert run.rows(LEFT) == []

    ((months,),) = run.rows("select count(distinct order_month) from marts.fct_sales")
    ((plan,),) = run.rows("explain (format json) select * from marts.fct_sales where order_month = '2025-02-01'")
    scanned = [each["Relation Name"] for each in _scans(plan[0]["Plan"])]
    assert (months, len(scanned)) == (3, 1), scanned

    again = run()
    assert (again.state, again.nodes["dbt"].status, again.nodes["dbt"].seconds < 1) == ("unchanged", "unchanged", True)
    assert len(assay.history(run.url)) == 2


def _scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Relation Name" in plan:
        yield plan
    for part in plan.get("Plans", ()):
        yield from _scans(part)


@pytest.mark.row("002-11")
def test_marts_follow_the_source_and_equal_a_run_of_the_whole(run: Run) -> None:
    assert run().ok
    run.source.execute(
        "update orders set status = 'completed' where id = 6",
        "insert into order_items (order_id, product_id, quantity, unit_price) values (1, 7, 2, 45.50)",
        "delete from order_items where id = 8",
        "update products set category = 'Office' where id = 6",
        "update orders set order_date = '2025-04-01' where id = 3",
    )
    followed = run()
    sales = followed.nodes["marts_fct_sales"].ledger
    # The new item; the desk's, the two of order 3 and that of order 6; the lamp's.
    assert (sales.inserted, sales.updated, sales.deleted) == (1, 4, 1)
    assert followed.nodes["marts_dim_customers"].attempts == 0, "it reads nothing that has changed"
    marts = run.marts()
    assert run(full=True).state == "unchanged"
    assert run.marts() == marts
    with assay.connect(run.url) as lake:
        assert lake.sql("select count(*) from marts.fct_sales").fetchall() == [(len(marts["fct_sales"]),)]


def test_what_fails_a_test_is_not_published_and_a_resume_publishes_it_once_that_is_mended(run: Run) -> None:
    assert run().ok
    before, orders = run.marts(), run.rows("select * from raw.orders order by id")
    run.source.execute(
        "alter table orders drop constraint orders_status_check", "update orders set status = 'lost' where id in (1, 2)"
    )
    failed = run()
    assert failed.state == "failed"
    (problem,) = failed.problems
    statuses = "pending__processing__shipped__completed__cancelled"
    assert (
        problem == f"dbt failed: staging_stg_orders: test accepted_values_stg_orders_status__{statuses} fails (1 found)"
    )
    ended = {name: node.status for name, node in failed.nodes.items()}
    assert (ended["staging_stg_orders"], ended["marts_fct_sales"]) == ("computed", "blocked")
    assert (run.marts(), run.rows("select * from raw.orders order by id")) == (before, orders)
    assert run.rows(LEFT) == []

    for text, by in (("'cancelled'", "'cancelled', 'lost'"), ("cancelled]", "cancelled, lost]")):
        for path in run.project.rglob("*.yml"):
            path.write_text(path.read_text().replace(text, by))
    resumed = assay.resume(run.pipeline, warehouse=run.url, settings=run.settings())
    assert resumed.state == "published", resumed.problems
    assert run.rows("select status from marts.fct_orders where order_id in (1, 2)") == [("lost",), ("lost",)]


def test_a_model_that_the_server_refuses_is_named_with_what_it_said(run: Run) -> None:
    run.edit("fct_orders.sql", "orders.country,", "orders.planet,")
    failed = run()
    problem, *others = (text for text in failed.problems if not text.startswith("dbt failed: "))
    assert (others, failed.nodes["dbt"].error) == ([], "marts_fct_orders fails")
    assert problem.startswith("marts_fct_orders failed: ")
    assert "column orders.planet does not exist" in problem
    assert "assay_run_" not in problem
    assert (run.rows(LEFT), [kind for name, kind in run.rows(KINDS) if not name.startswith("raw.")]) == ([], [])


def test_a_project_that_cannot_be_read_is_told_before_anything_is_read(run: Run) -> None:
    run.edit("stg_orders.sql", "source('raw', 'orders')", "source('raw', 'order')")
    with pytest.raises(UsageError, match=r"dbt cannot read the project.*stg_orders"):
        run()
    assert assay.history(run.url) == []


def test_an_undo_brings_back_rows_and_views(run: Run) -> None:
    assert run().ok
    before = run.marts()
    text = run.rows("select pg_get_viewdef('staging.stg_customers')")
    run.edit("stg_customers.sql", "    country,\n", "    upper(country) as country,\n")
    run.source.execute("delete from order_items where id = 1")
    assert run().state == "published"
    assert run.rows("select count(*) from staging.stg_customers where country = upper(country)") == [(5,)]
    assert run.marts() != before
    assay.undo(warehouse=run.url)
    assert run.marts() == before
    assert run.rows("select pg_get_viewdef('staging.stg_customers')") == text


def test_who_may_read_a_view_may_so_when_it_has_other_columns(run: Run) -> None:
    assert run().ok
    role = "reader_of_" + run.url.partition("?")[0].rpartition("/")[2]
    run.execute(f"create role {role}", f"grant select on staging.stg_customers, marts.dim_customers to {role}")
    try:
        run.edit(
            "stg_customers.sql", "    first_name,\n", "    first_name || ' ' || last_name as name,\n    first_name,\n"
        )
        assert run().state == "published"
        for name in ("staging.stg_customers", "marts.dim_customers"):
            assert run.rows("select has_table_privilege(%s, %s, 'select')", role, name) == [(True,)]
        assert run.rows("select name from staging.stg_customers order by customer_id limit 1") != []
    finally:
        run.execute(f"drop owned by {role}", f"drop role {role}")


def test_what_others_have_made_over_a_view_stops_the_publish_by_name(run: Run) -> None:
    assert run().ok
    run.execute("create schema own", "create view own.mine as select first_name from staging.stg_customers")
    before = run.marts()
    run.edit("stg_customers.sql", "    first_name,\n", "    first_name as given_name,\n")
    run.edit("int_orders_enriched.sql", "customers.first_name,", "customers.given_name as first_name,")
    run.edit("dim_customers.sql", "    first_name,\n", "    given_name as first_name,\n")
    run.source.execute("delete from order_items where id = 1")
    with pytest.raises(assay.AssayError, match=r"staging\.stg_customers: .*view own\.mine depends on") as refused:
        run()
    assert "Drop those" in str(refused.value)
    assert run.marts() == before
    run.execute("drop view own.mine")
    assert run().state == "published"


def test_two_rows_of_one_key_are_refused_although_no_test_looks(run: Run) -> None:
    (run.project / "models/marts/marts.yml").unlink()
    run.edit("fct_sales.sql", '        indexes=[{"columns": ["order_item_id"], "unique": true}],\n', "")
    run.edit("fct_sales.sql", "as orders on orders.", "as orders on true join (values (1), (2)) as two (n) on orders.")
    failed = run()
    (problem,) = failed.problems
    assert problem.removeprefix("dbt failed: marts.fct_sales: ") == (
        "its key order_item_id does not tell its rows apart: Key (order_item_id)=(1) is duplicated."
    )
    assert [name for name, _ in run.rows(KINDS) if name.startswith("marts.")] == []


def test_a_lake_and_a_missing_dbt_are_refused_with_a_remedy(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"builds in a database, and .* is a lake; name a database by --warehouse"):
        assay.run(run.pipeline, warehouse=tmp_path / "lake", settings=run.settings())
    with pytest.raises(UsageError, match=r"there is no such program.*setting dbt"):
        assay.run(run.pipeline, warehouse=run.url, settings=Settings(dbt="no-dbt-here"))


def test_a_plan_tells_why_each_model_is_built(run: Run) -> None:
    assert run().ok
    run.edit("dim_products.sql", "    category,\n", "    lower(category) as category,\n")
    plan = assay.plan(run.pipeline, warehouse=run.url, settings=run.settings())
    reasons = {name: (step.action, step.reason) for name, step in plan.steps.items()}
    assert reasons["dbt"] == ("run", "marts_dim_products: its code, configuration or tests have changed")
    assert reasons["marts_dim_products"][0] == "run"
    assert reasons["marts_dim_customers"] == ("maybe", "raw_customers may change")
    result = run(as_of=dt.date(2025, 5, 1))
    assert {name for name, node in result.tables.items() if node.status == "written"} == {"marts_dim_products"}
