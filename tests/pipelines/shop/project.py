"""The shop's source, a copy of it as it is loaded, and its dbt project run over that."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from pipelines.shop import generate

ROOT = Path(__file__).parents[3]
DBT = ROOT / "build/dbt-env/bin/dbt"
PROJECT = ROOT / "pipelines/shop/dbt"
TABLES = ("customers", "products", "orders", "order_items")


@dataclass(frozen=True)
class Outcome:
    """What became of a command of dbt."""

    code: int
    output: str
    results: dict[str, dict[str, Any]]
    """By the name of a model or test: what run_results.json says of it."""

    def named(self, *statuses: str) -> set[str]:
        """Return the models and tests that ended so."""
        return {name for name, result in self.results.items() if result["status"] in statuses}


@dataclass(frozen=True)
class Shop:
    """A database that holds the shop's source in `public`, and what is loaded and made of it in other schemas."""

    url: str
    folder: Path

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection in autocommit."""
        return psycopg.connect(self.url, autocommit=True)

    def execute(self, *statements: str) -> None:
        """Carry out statements."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the answer to a query."""
        with self.connect() as connection:
            return connection.execute(query.encode()).fetchall()

    def load(self) -> None:
        """Copy the source into `raw`, as it is loaded: with every row, and without its constraints."""
        self.execute(
            "create schema if not exists raw",
            *(f"create table if not exists raw.{table} as table public.{table} with no data" for table in TABLES),
            *(f"truncate raw.{table}; insert into raw.{table} table public.{table}" for table in TABLES),
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables that name the database, keep what dbt writes out of the source tree, and tell nobody of it."""
        place = psycopg.conninfo.conninfo_to_dict(self.url)
        return {
            "PGHOST": str(place["host"]),
            "PGPORT": str(place["port"]),
            "PGUSER": str(place["user"]),
            "PGDATABASE": str(place["dbname"]),
            "DBT_ENV_SECRET_PGPASSWORD": "not-asked-for-on-a-socket",
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }

    def dbt(self, *arguments: str, project: Path = PROJECT) -> Outcome:
        """Run dbt, and read what it tells of itself."""
        results = self.folder / "target/run_results.json"
        results.unlink(missing_ok=True)
        command = [DBT, "--no-use-colors", *arguments, "--project-dir", project, "--profiles-dir", project]
        result = subprocess.run(
            command, env=os.environ | self.environment, cwd=self.folder, text=True, capture_output=True, check=False
        )
        told = json.loads(results.read_text())["results"] if results.is_file() else []
        return Outcome(
            result.returncode, result.stdout + result.stderr, {_name(each["unique_id"]): each for each in told}
        )

    def manifest(self) -> dict[str, Any]:
        """Return what dbt read of the project when it was run last."""
        manifest: dict[str, Any] = json.loads((self.folder / "target/manifest.json").read_text())
        return manifest


def _name(unique_id: str) -> str:
    """Return a model's or test's name: model.shop.fct_sales, test.shop.not_null_fct_sales_status.0a1b2c."""
    return unique_id.split(".")[2]


def opened(url: str, folder: Path) -> Shop:
    """Make the shop with its sample, and load it."""
    shop = Shop(url.replace("+psycopg", ""), folder)
    with shop.connect() as connection:
        generate.create(connection)
        generate.fill(connection)
    shop.load()
    return shop
