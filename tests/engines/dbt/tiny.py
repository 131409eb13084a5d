"""A small dbt project over one table of a source, as a pipeline that runs from one database into another."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

import assay
from assay import Pipeline, RunResult, postgres, relation
from assay.settings import Settings

DBT = Path(__file__).parents[3] / "build/dbt-env/bin/dbt"
PROJECT = """
name: tiny
version: "1.0"
profile: tiny
models:
  tiny:
    staging: {+schema: staging, +materialized: view}
    marts: {+schema: marts, +materialized: table}
"""
FILES = {
    "dbt_project.yml": PROJECT,
    "models/sources.yml": "sources: [{name: raw, tables: [{name: orders}]}]",
    "models/staging/stg_orders.sql": "select id as order_id, customer_id, amount from {{ source('raw', 'orders') }}",
    "models/marts/revenue.sql": "select customer_id, sum(amount) as amount from {{ ref('stg_orders') }} group by 1",
}
KINDS = """
select n.nspname || '.' || relname, relkind::text from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind in ('r', 'v', 'm', 'p') and n.nspname not in ('assay', 'information_schema') and n.nspname !~ '^pg_'
"""
LEFT = "select nspname from pg_namespace where nspname like 'assay\\_%'"
MODULE = """
import assay
from assay import Pipeline, postgres, relation

columns = {"id": "BIGINT", "customer_id": "BIGINT", "amount": "DECIMAL(12,2)"}
orders = relation("orders", columns=columns, key="id", deletes=True, publish=True)
sources = postgres("env:TINY_SOURCE", mode="full", tables={"raw_orders": orders})
tiny = Pipeline("tiny", layers=("raw", "staging", "marts"), sources=sources, tables=[assay.dbt("project")])
"""
"""The same pipeline, for the command line."""


@dataclass
class Tiny:
    """The project, its source and its warehouse."""

    source: str
    url: str
    folder: Path
    project: Path = field(init=False)

    def __post_init__(self) -> None:
        self.project = self.folder / "project"
        self.write(FILES)
        (self.folder / "shop_tiny.py").write_text(MODULE)
        (self.folder / "assay.toml").write_text(f'dbt = "{DBT}"\nworkers = 2\n')
        self.change("create table orders (id bigint primary key, customer_id bigint, amount numeric(12,2))")
        self.change("insert into orders values (1, 101, 20), (2, 102, 35.5), (3, 101, 12)")
        assay.migrate(self.pipeline, warehouse=self.url)

    @property
    def pipeline(self) -> Pipeline:
        columns = {"id": "BIGINT", "customer_id": "BIGINT", "amount": "DECIMAL(12,2)"}
        orders = relation("orders", columns=columns, key="id", deletes=True, publish=True)
        sources = postgres(self.source, mode="full", tables={"raw_orders": orders})
        return Pipeline(
            "tiny", layers=("raw", "staging", "marts"), sources=sources, tables=[assay.dbt(str(self.project))]
        )

    def write(self, files: dict[str, str]) -> None:
        """Put files into the project."""
        for name, text in files.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def model(self, name: str, text: str) -> None:
        """Put a model into the marts."""
        self.write({f"models/marts/{name}.sql": text})

    def run(self, **arguments: Any) -> RunResult:
        """Run the pipeline."""
        settings = Settings(dbt=str(DBT), retries=0, workers=2)
        return assay.run(self.pipeline, warehouse=self.url, settings=settings, **arguments)

    def change(self, *statements: str) -> None:
        """Carry out statements in the source."""
        _execute(self.source, *statements)

    def execute(self, *statements: str) -> None:
        """Carry out statements in the warehouse."""
        _execute(self.url, *statements)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the answer of the warehouse to a query."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(query.encode()).fetchall()

    def kinds(self) -> dict[str, str]:
        """Return what stands in the warehouse, beside the raw table and the views and marts of the project."""
        return dict(self.rows(KINDS))


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
