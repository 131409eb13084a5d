"""What the pages tell, gathered from a warehouse: its pipelines, tables and runs, each a frozen record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from assay import assembly, queries
from assay.model.data import Version, dataset_of_rejects, is_table, name_of_table
from assay.model.errors import UsageError, near_miss
from assay.model.ledger import ControlTotal
from assay.model.outcome import UnitRun
from assay.model.past import PastRun
from assay.model.ports import Warehouse
from assay.model.published import State
from assay.model.run import NodeRun
from assay.model.schema import Column
from assay.model.secrets import address_without_secrets

CHARTED = 30
"""Runs that a chart shows."""
LISTED = 15
"""Runs that the status page lists; the page of runs has more."""


class NotThereError(UsageError):
    """A page was asked for of a run or table that is not there."""


@dataclass(frozen=True, slots=True)
class TableStatus:
    """A published table."""

    name: str
    dataset: str
    rows: int
    rejected: int
    """Rows that stand rejected of it."""
    run: int
    """The run that changed it last."""
    as_of: str | None
    pipeline: str


@dataclass(frozen=True, slots=True)
class RunPage:
    """A run with all that its record says."""

    run: PastRun
    steps: tuple[NodeRun, ...] = ()
    """Sources and views."""
    tables: tuple[NodeRun, ...] = ()
    reasons: Sequence[tuple[str, str, int]] = ()
    """Of the rejected rows: table or source, reason, rows."""
    units: tuple[UnitRun, ...] = ()
    """The steps of a workflow."""
    restored: tuple[tuple[str, int | None], ...] = ()
    """Of an undo: each table that came back, and its rows; None for one that was not there before."""

    @property
    def nodes(self) -> tuple[NodeRun, ...]:
        """Sources, views and tables."""
        return self.steps + self.tables

    @property
    def failed_checks(self) -> list[tuple[str, str, str, int, str]]:
        """Node, check, action, broken and detail of each check that something breaks, the blocking ones first."""
        found = [(n.name, v.check, v.action, v.broken, v.detail) for n in self.nodes for v in n.verdicts if v.broken]
        return sorted(found, key=lambda row: row[2] != "block")

    @property
    def kept_checks(self) -> int:
        """How many checks found nothing."""
        return sum(verdict.passed for node in self.nodes for verdict in node.verdicts)

    @property
    def totals(self) -> list[tuple[str, ControlTotal]]:
        """Table and control total, those first that do not reconcile."""
        found = [(node.name, total) for node in self.nodes for total in node.ledger.totals]
        return sorted(found, key=lambda row: row[1].agrees)

    @property
    def filtered(self) -> list[tuple[str, str, int]]:
        """Node, reason and rows of all that was filtered."""
        return [(n.name, why, rows) for n in self.nodes for why, rows in n.ledger.filtered.items() if rows]

    @property
    def rejected(self) -> int:
        """Rows that were moved to the quarantine."""
        return sum(node.ledger.rejected for node in self.nodes)

    @property
    def deduplicated(self) -> int:
        """Rows of a key beyond the one that was kept."""
        return sum(node.ledger.deduplicated for node in self.nodes)


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """A pipeline or workflow by its newest runs."""

    name: str
    newest: RunPage
    published: PastRun | None
    """The newest run that published, of those that are charted."""
    runs: tuple[PastRun, ...]
    """Newest first, as many as are charted."""


@dataclass(frozen=True, slots=True)
class Overview:
    """A warehouse as it stands."""

    place: str
    read_at: dt.datetime
    pipelines: tuple[PipelineStatus, ...]
    layers: Mapping[str, tuple[TableStatus, ...]]
    runs: tuple[PastRun, ...]

    @property
    def tables(self) -> int:
        """How many tables are published."""
        return sum(map(len, self.layers.values()))


@dataclass(frozen=True, slots=True)
class TablePage:
    """A published table, its columns and first rows."""

    status: TableStatus
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    names: list[str]
    rows: list[tuple[object, ...]]
    versions: list[tuple[int, int, str | None]]
    """Run, rows and as-of date of each version, oldest first."""


def place_of(warehouse: str | None) -> str:
    """Return where a warehouse is, as people may see it."""
    return address_without_secrets(assembly.located(assembly.current_settings(), warehouse))


def overview(stored: Warehouse, place: str, runs: int = LISTED) -> Overview:
    """Return what stands in a warehouse, which is shown to be at a place, and its newest runs."""
    state, history = stored.state(), stored.history(max(runs, 10 * CHARTED))
    by_pipeline: dict[str, list[PastRun]] = {}
    for run in history:
        by_pipeline.setdefault(run.pipeline, []).append(run)
    return Overview(
        place=place,
        read_at=dt.datetime.now(dt.UTC),
        pipelines=tuple(_pipelines(stored, by_pipeline)),
        layers=_layers(state),
        runs=tuple(history[:runs]),
    )


def run_page(number: int, stored: Warehouse) -> RunPage:
    """Return a run with its ledger, its checks and what it rejected; raises NotThereError where there is none."""
    page = _looked_up(stored, number)
    if page is None:
        raise NotThereError(f"There is no run {number} in this warehouse.")
    return with_reasons(page, stored)


def with_reasons(page: RunPage, stored: Warehouse) -> RunPage:
    """Return the page of a run that was looked up, with why it rejected rows."""
    reasons = queries.reasons(page.run.id, stored)[1] if page.rejected else []
    return replace(page, reasons=[(str(node), str(why), int(rows)) for node, why, rows in reasons])


def table_page(name: str, stored: Warehouse, at: int | dt.datetime | None, limit: int = 20) -> TablePage:
    """Return a table as it is published, or was; raises NotThereError with the near miss."""
    state = stored.state(at)
    tables = {each.name: each for each in _tables(state)}
    if name not in tables:
        raise NotThereError(f"There is no published table {name!r}.{near_miss(name, tables)}")
    status = tables[name]
    version = state.versions[status.dataset]
    columns = tuple(column for column in version.schema if not column.is_system)
    names, rows = queries.first_rows(name, stored, limit, at=at)
    versions = [(int(run), int(count), as_of) for run, count, as_of in queries.versions(status.dataset, stored)[1]]
    return TablePage(status, columns, version.key, names, rows, versions)


def columns(stored: Warehouse) -> dict[str, list[tuple[str, str]]]:
    """Return the names and types of the columns of each published table, by `layer.entity`."""
    versions = _published(stored.state())
    return {
        dataset: [(column.name, column.type) for column in versions[dataset].schema if not column.is_system]
        for dataset in queries.in_order(versions)
    }


def _pipelines(stored: Warehouse, by_pipeline: Mapping[str, list[PastRun]]) -> Iterator[PipelineStatus]:
    for name, runs in sorted(by_pipeline.items()):
        newest = _looked_up(stored, runs[0].id) or RunPage(runs[0])
        published = next((run for run in runs if run.state == "published"), None)
        yield PipelineStatus(name, newest, published, tuple(runs[:CHARTED]))


def _looked_up(stored: Warehouse, number: int) -> RunPage | None:
    found = stored.look_up(number)
    if found is None:
        return None
    run, record = found
    if run.undone:
        return RunPage(run, restored=tuple((name, body["rows"]) for name, body in record.nodes.items()))
    if any("kind" in body for body in record.nodes.values()):
        return RunPage(run, units=tuple(record.units.values()))
    nodes = [NodeRun.from_json(name, body) for name, body in record.nodes.items()]
    written = set(record.tables)
    return RunPage(
        run,
        tuple(node for node in nodes if node.name not in written),
        tuple(node for node in nodes if node.name in written),
    )


def _layers(state: State) -> dict[str, tuple[TableStatus, ...]]:
    layers: dict[str, list[TableStatus]] = {}
    for table in _tables(state):
        layers.setdefault(table.dataset.partition(".")[0], []).append(table)
    return {layer: tuple(tables) for layer, tables in layers.items()}


def _tables(state: State) -> Iterator[TableStatus]:
    """Yield the published tables, each behind those that it was made from."""
    versions = _published(state)
    for dataset in queries.in_order(versions):
        rejects = state.versions.get(dataset_of_rejects(dataset))
        yield TableStatus(
            name=name_of_table(dataset),
            dataset=dataset,
            rows=versions[dataset].rows,
            rejected=rejects.rows if rejects else 0,
            run=versions[dataset].id,
            as_of=versions[dataset].as_of,
            pipeline=state.owners.get(dataset, ""),
        )


def _published(state: State) -> dict[str, Version]:
    return {name: version for name, version in state.versions.items() if is_table(name)}
