"""A tiny shop for tests: CSV files in an inbox, a lake beside it, and runs whose every row is accounted for."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from narwhals import LazyFrame

import assay
from assay.mending import Replayed
from assay.settings import Settings

Frame = LazyFrame[Any]
DAY = dt.date(2024, 12, 1)
LATER = dt.date(2024, 12, 2)
SETTINGS = Settings(retry_seconds=0, workers=2)
ORDERS = assay.csv("orders*.csv", columns={"id": "BIGINT", "customer": "VARCHAR", "amount": "BIGINT"})
CUSTOMERS = assay.csv("customers*.csv", columns={"name": "VARCHAR", "city": "VARCHAR"})


def define(function: Callable[..., Any], name: str = "bronze_order", **declaration: Any) -> assay.Table:
    """Make a function or lambda the table of that name."""
    named = assay.table(**declaration)(function)
    return named.named(name)


def bronze_order(**declaration: Any) -> assay.Table:
    """The orders as delivered, under whatever declaration a test is about."""
    return define(lambda orders: orders, **declaration)


def keyed_and_plain(function: Callable[[Frame], Frame]) -> list[assay.Table]:
    """The same silver table twice, merged by its key and without one."""
    return [define(function, "silver_keyed", write=assay.Merge(), key="id"), define(function, "silver_plain")]


class Shop:
    """An inbox and a lake; `run` runs a pipeline of the given tables and checks the account of each."""

    def __init__(self, folder: Path) -> None:
        self.lake, self.inbox = folder / "lake", folder / "inbox"
        self.inbox.mkdir()
        self._kept = folder.with_name(f"{folder.name}-kept")
        self._stored: dict[str, int] = {}
        self._stored_then: dict[str, int] = {}

    def keep(self) -> None:
        """Keep all as it is now, for `restore`."""
        shutil.copytree(self.lake.parent, self._kept)
        self._stored_then = self._stored

    def restore(self) -> Shop:
        """Make all as it was kept: in its own place, as Iceberg's metadata tells files by their whole paths."""
        shutil.rmtree(self.lake.parent)
        shutil.copytree(self._kept, self.lake.parent)
        self._stored = self._stored_then
        return self

    def orders(self, *lines: str, file: str = "orders.csv") -> Path:
        """Deliver a file of orders, each line an id, a customer and an amount."""
        return self.deliver(file, "id,customer,amount", *lines)

    def deliver(self, file: str, *lines: str) -> Path:
        path = self.inbox / file
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def pipeline(self, *tables: Any, name: str = "shop", sources: dict[str, Any] | None = None) -> assay.Pipeline:
        """A pipeline that reads `orders*.csv` and, where a table asks for it, `customers*.csv` of the inbox."""
        known = sources or {"orders": ORDERS, "customers": CUSTOMERS}
        needed = {read for table in tables for read in table.upstream}
        return assay.Pipeline(name, tables=tables, sources={n: known[n] for n in known if n in needed})

    def run(self, *tables: Any, **arguments: Any) -> assay.RunResult:
        pipeline, arguments = self._arguments(tables, arguments)
        return self._accounted(assay.run(pipeline, **arguments))

    def resume(self, *tables: Any, settings: Settings = SETTINGS, observers: Sequence[Any] = ()) -> assay.RunResult:
        """Go on with the newest run, whose sources and dates are its own."""
        pipeline, _ = self._arguments(tables, {})
        return self._accounted(assay.resume(pipeline, warehouse=self.lake, settings=settings, observers=observers))

    def replay(self, *tables: Any, mended: Path | None = None, settings: Settings = SETTINGS) -> Replayed:
        """Bring back what is mended."""
        pipeline, given = self._arguments(tables, {})
        pipeline = pipeline.reading({name: str(path) for name, path in given["sources"].items()})
        done = assay.replay(pipeline, mended=mended, warehouse=self.lake, settings=settings)
        if done.result is not None:
            self._accounted(done.result)
        return done

    def export(self, *tables: Any, delivery: str | None = None) -> Path:
        """Write the bad lines of orders to a file beside the inbox."""
        file = self.lake.with_name("mended.csv")
        assay.export(self._arguments(tables, {})[0], file, source="orders", delivery=delivery, warehouse=self.lake)
        return file

    def undo(self, run: int | None = None) -> Any:
        """Undo a run, and know how many rows stand from then on."""
        done = assay.undo(run, warehouse=self.lake)
        self._stored = {name: count or 0 for name, count in {**self._stored, **done.tables}.items()}
        return done

    def _accounted(self, result: assay.RunResult) -> assay.RunResult:
        before = self._stored
        assert_accounted(result)
        with assay.connect(self.lake) as lake:
            found = lake.execute("select schema_name, view_name from duckdb_views() where not internal").fetchall()
            stored = {f"{a}_{b}": lake.table(f"{a}.{b}").shape[0] for a, b in found if a != "meta"}
        self._stored = stored
        for name, node in result.tables.items():
            # What stands is what stood, and what the ledger says of it; a run that failed has changed nothing.
            moved = node.ledger.inserted - node.ledger.deleted if result.ok else 0
            assert stored.get(name, 0) == before.get(name, 0) + moved, name
            assert not result.ok or name not in stored or stored[name] == node.rows, name
        return result

    def plan(self, *tables: Any, **arguments: Any) -> dict[str, tuple[str, str]]:
        """What each table would do, and why."""
        pipeline, arguments = self._arguments(tables, arguments)
        return {name: (step.action, step.reason) for name, step in assay.plan(pipeline, **arguments).steps.items()}

    def rows(self, query: str, *, at: int | None = None) -> list[tuple[Any, ...]]:
        with assay.connect(self.lake, at=at) as lake:
            return lake.sql(query).fetchall()

    def columns(self, table: str) -> list[tuple[str, str]]:
        with assay.connect(self.lake) as lake:
            found = lake.table(table)
            return [(name, str(kind)) for name, kind in zip(found.columns, found.types, strict=True)]

    def files(self) -> set[str]:
        """Every file of the lake but the catalog's own."""
        found = (path.relative_to(self.lake) for path in self.lake.rglob("*") if path.is_file())
        return {str(path) for path in found if not path.name.startswith("catalog.db")}

    def catalog(self) -> list[str]:
        """Everything the catalog holds, as SQL."""
        with closing(sqlite3.connect(self.lake / "catalog.db")) as connection:
            return list(connection.iterdump())

    def pointers(self) -> dict[str, str]:
        """The Iceberg metadata that each table stands at."""
        query = "select table_namespace || '_' || table_name, metadata_location from iceberg_tables"
        with closing(sqlite3.connect(self.lake / "catalog.db")) as connection:
            return dict(connection.execute(query).fetchall())

    def _arguments(self, tables: tuple[Any, ...], arguments: dict[str, Any]) -> tuple[assay.Pipeline, dict[str, Any]]:
        pipeline = tables[0] if isinstance(tables[0], assay.Pipeline) else self.pipeline(*tables)
        paths = {name: self.inbox / source.path for name, source in pipeline.sources.items()}
        given = {"warehouse": self.lake, "sources": paths, "as_of": DAY, "settings": SETTINGS}
        return pipeline, given | arguments


def statuses(result: assay.RunResult) -> dict[str, str]:
    return {name: node.status for name, node in result.tables.items()}


def assert_accounted(result: assay.RunResult) -> None:
    """Of all that was computed: returned = written + rejected + deduplicated, and all that is written has one fate."""
    document = json.loads(json.dumps(result.to_json()))
    for name, node in result.nodes.items():
        ledger, shown = node.ledger, (document["tables"] | document["steps"])[name]
        assert ledger.read or node.status != "written", name
        assert (shown["read"], shown["returned"]) == (ledger.read, ledger.returned)
        assert ledger.returned == ledger.written + ledger.rejected + ledger.deduplicated, name
        if name in result.tables:
            assert ledger.written == ledger.inserted + ledger.updated + ledger.unchanged, name
