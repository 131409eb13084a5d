"""Schemas of one run, in which others' SQL builds what readers do not see yet: tables stand there as they will."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from psycopg import sql
from sqlalchemy import Connection

from assay.model.data import DataFile
from assay.model.errors import WarehouseError
from assay.model.run import RunHandle
from assay.model.vacuum import Removed
from assay.model.workshop import BEGIN, Stood, Workspace, prefix_of
from assay.warehouses import lease
from assay.warehouses.postgres import tables
from assay.warehouses.postgres.content import driver
from assay.warehouses.postgres.database import Database

_NEW = "_assay_new"
_SCHEMAS = """
select nspname from pg_namespace
where nspname ~ %s and split_part(nspname, '_', 3)::bigint = any(%s)
"""
_END = """
select pg_terminate_backend(pid, %s) from pg_stat_activity
where datname = current_database() and usename = current_user
and application_name ~ %s and split_part(application_name, '_', 3)::bigint = any(%s)
"""
_SECONDS_TO_END = 10
_LEFT = """
select split_part(nspname, '_', 3)::bigint, count(distinct n.oid),
  coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
from pg_namespace n left join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'm')
where nspname ~ %s and pg_has_role(nspowner, 'usage')
group by 1
"""
_OURS = f"^{BEGIN}_[0-9]{{1,18}}_[0-9]{{1,18}}__"


class Workshop:
    """Where runs build in a database."""

    def __init__(self, database: Database, local: Callable[[Iterable[DataFile]], str]) -> None:
        """Take the database, and what gives the folder in which files can be read."""
        self._database = database
        self._local = local

    @property
    def address(self) -> str:
        """Of the database, as libpq takes it, with its password."""
        return self._database.address

    @contextmanager
    def opened(
        self, handle: RunHandle, layers: Collection[str], shown: Mapping[str, Stood], copied: Mapping[str, Stood]
    ) -> Iterator[Workspace]:
        """Make the schemas of a run, and drop them when the block ends; whoever takes it over has others.

        Raises LeaseError where the run was taken over.
        """
        prefix = prefix_of(handle.id, handle.token)
        root = self._local([file for stood in shown.values() for file in stood.added])
        with self._database.transaction() as connection:
            lease.check(connection, handle)
            drop(connection, {*left(connection), handle.id})
            for layer in layers:
                driver(connection).execute(sql.SQL("create schema {}").format(sql.Identifier(f"{prefix}{layer}")))
            for dataset, stood in shown.items():
                _show(connection, prefix, dataset, stood, root)
            for dataset, stood in copied.items():
                _copy(connection, prefix, dataset, stood)
        try:
            yield Workspace(self.address, prefix)
        finally:
            # Where the server is gone, the next run does it.
            with suppress(WarehouseError), self._database.transaction() as connection:
                drop(connection, [handle.id])


def left(connection: Connection) -> dict[int, Removed]:
    """Return the runs that have schemas and are not at work: how many, and how large."""
    there = driver(connection).execute(_LEFT, [_OURS]).fetchall()
    # Asked after that: a run has its lease before its schemas.
    at_work = lease.at_work(connection)
    return {run: Removed(schemas, size) for run, schemas, size in there if run not in at_work}


def drop(connection: Connection, runs: Collection[int]) -> None:
    """Drop the schemas of runs; who still builds there, for nobody, is ended: a schema in use would be waited for."""
    driver(connection).execute(_END, [_SECONDS_TO_END * 1000, _OURS, list(runs)])
    for (name,) in driver(connection).execute(_SCHEMAS, [_OURS, list(runs)]).fetchall():
        driver(connection).execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))


def _show(connection: Connection, prefix: str, dataset: str, stood: Stood, root: str) -> None:
    """Make a view of a table as it will stand; its new rows are copied, those that go are left out."""
    layer, _, entity = dataset.partition(".")
    columns = sql.SQL(", ").join(map(sql.Identifier, stood.columns))
    rows = sql.SQL("select {} from {}").format(columns, tables.relation(dataset))
    if gone := tables.numbers(connection, dataset, stood.removed):
        rows += sql.SQL(" where {} <> all({})").format(sql.Identifier(tables.FILE_COLUMN), sql.Literal(gone))
    if stood.added:
        new = sql.Identifier(f"{prefix}{layer}", f"{entity[:40]}{_NEW}")
        like = sql.SQL("create table {} (like {})").format(new, tables.relation(dataset))
        driver(connection).execute(like)
        for file in stood.added:
            path = Path(root, file.path)
            tables.copy_rows(connection, new, tables.Rows(dataset, path, file, stood.columns), 0)
        _index(connection, new, stood.key)
        rows += sql.SQL(" union all select {} from {}").format(columns, new)
    view = sql.Identifier(f"{prefix}{layer}", entity)
    driver(connection).execute(sql.SQL("create view {} as {}").format(view, rows))


def _copy(connection: Connection, prefix: str, dataset: str, stood: Stood) -> None:
    """Make a table with the rows that are published, for who changes it rather than builds it anew."""
    layer, _, entity = dataset.partition(".")
    own = sql.Identifier(f"{prefix}{layer}", entity)
    columns = sql.SQL(", ").join(map(sql.Identifier, stood.columns))
    rows = sql.SQL("create table {} as select {} from {}").format(own, columns, tables.relation(dataset))
    driver(connection).execute(rows)
    _index(connection, own, stood.key)


def _index(connection: Connection, table: sql.Identifier, key: tuple[str, ...]) -> None:
    """Let rows be found by their key, as in the table that they are for, and the server know how many there are."""
    if key:
        on = sql.SQL(", ").join(map(sql.Identifier, key))
        driver(connection).execute(sql.SQL("create index on {} ({})").format(table, on))
    driver(connection).execute(sql.SQL("analyze {}").format(table))
