"""What stands in the database beside rows for the models of a project: made in the transaction that publishes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import Connection

from assay.model.data import DataFile
from assay.model.definition import Definition
from assay.model.errors import WarehouseError
from assay.model.published import TableShape
from assay.warehouses.postgres import migrations
from assay.warehouses.postgres.content import driver
from assay.warehouses.postgres.partitions import new_partitions
from assay.warehouses.postgres.tables import relation

_Grants = Collection[tuple[str, str]]
"""Privileges and roles."""
_KINDS = {"v": "view", "m": "materialized view"}
_KIND = "select relkind::text from pg_class where oid = to_regclass(%s)"
_INDEXED = """
select (select array_agg(a.attname::text order by k.n) from unnest(i.indkey::smallint[]) with ordinality k(attnum, n)
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum), i.indisunique
from pg_index i where i.indrelid = to_regclass(%s)
"""
_GRANTED = """
select lower(a.privilege_type), r.rolname
from pg_class c, aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee
where c.oid = to_regclass(%s) and a.grantee <> c.relowner
"""


def read(root: str, files: Iterable[DataFile]) -> list[Definition]:
    """Return the definitions that files of the folder hold."""
    import pyarrow.parquet

    paths = [Path(root, file.path) for file in files]
    return [Definition.from_row(row) for path in paths for row in pyarrow.parquet.read_table(path).to_pylist()]


@contextmanager
def brought_about(connection: Connection, wanted: Sequence[Definition], before: Sequence[Definition]) -> Iterator[None]:
    """Make what is wanted, if it is not as before: tables before their rows are put into them, and views after that.

    Values that have come up get partitions of their own.
    """
    granted = {each.dataset: _granted(connection, each.dataset) for each in (*before, *wanted)}
    if wanted != before:
        _drop_changed(connection, wanted, before)
        _make_tables(connection, wanted, before, granted)
    yield
    for shape in _shapes(wanted):
        for statement in new_partitions(connection, shape):
            driver(connection).execute(statement)
    if wanted != before:
        make_views(connection, wanted, before, granted)


def _drop_changed(connection: Connection, wanted: Sequence[Definition], before: Sequence[Definition]) -> None:
    """Drop the views that become tables, and those that stand on them, which are made again."""
    tables = {each.dataset for each in wanted if each.kind == "table"}
    views = [each.dataset for each in before if each.kind != "table"]
    if tables & {*views}:
        for view in reversed(views):
            _drop(connection, view)


def _make_tables(
    connection: Connection, wanted: Sequence[Definition], before: Sequence[Definition], granted: Mapping[str, _Grants]
) -> None:
    """Make the tables and columns that are missing, before their rows come; a view in the way is dropped for now."""
    there = {row[0] for row in driver(connection).execute("select nspname from pg_namespace").fetchall()}
    for layer in dict.fromkeys(each.dataset.partition(".")[0] for each in wanted):
        if layer not in there:
            _do(connection, f"create schema {sql.Identifier(layer).as_string()}")
    statements = migrations.missing(connection, _shapes(wanted))
    try:
        with driver(connection).transaction():
            migrations.carry_out(connection, statements)
    except psycopg.errors.FeatureNotSupported:
        # A column that a view shows cannot be widened.
        for view in reversed([each.dataset for each in before if each.kind != "table"]):
            _drop(connection, view)
        migrations.carry_out(connection, statements)
    for each in wanted:
        if each.kind == "table":
            _furnish(connection, each, granted[each.dataset])


def _shapes(wanted: Sequence[Definition]) -> list[TableShape]:
    tables = [each for each in wanted if each.kind == "table"]
    return [TableShape(each.dataset, each.columns, each.key, each.partition_by) for each in tables]


def make_views(
    connection: Connection,
    wanted: Sequence[Definition],
    before: Sequence[Definition],
    granted: Mapping[str, _Grants] | None = None,
) -> None:
    """Make the views that are new, or others than before, and drop those that have gone; the tables are there.

    Of what is dropped to be made again, all that roles may do stays; it is `granted` where some were dropped already.
    Raises WarehouseError that names what depends on a view and is nobody's of these.
    """
    views = [each for each in wanted if each.kind != "table"]
    changed = [each for each in views if each not in before or _kind(connection, each.dataset) != each.kind]
    stood = [each for each in before if each.kind != "table" and _kind(connection, each.dataset) in _KINDS.values()]
    gone = {each.dataset for each in stood} - {each.dataset for each in views}
    if not (changed or gone):
        return
    kept = granted or {each.dataset: _granted(connection, each.dataset) for each in (*before, *views)}
    if not gone and _replaced(connection, changed, kept):
        return
    names = {each.dataset for each in (*stood, *views)}
    # As they were made before: what stands on others must go first.
    known = dict.fromkeys(each.dataset for each in (*before, *views) if each.dataset in names)
    for dataset in reversed(known):
        _drop(connection, dataset)
    for each in views:
        _create(connection, each)
        _furnish(connection, each, kept[each.dataset])


def _replaced(connection: Connection, views: Sequence[Definition], kept: Mapping[str, _Grants]) -> bool:
    """Put each view in the place of the one that stands, if they have the same columns: nobody need be asked."""
    if any(each.kind != "view" for each in views):
        return False
    try:
        with driver(connection).transaction():
            for each in views:
                _create(connection, each, "create or replace view")
                _furnish(connection, each, kept[each.dataset])
    except (psycopg.errors.InvalidTableDefinition, psycopg.errors.WrongObjectType):
        return False
    return True


def _create(connection: Connection, wanted: Definition, how: str = "") -> None:
    _do(connection, f"{how or f'create {wanted.kind}'} {_name(wanted.dataset)} as {wanted.sql}")


def _drop(connection: Connection, dataset: str) -> None:
    kind = _kind(connection, dataset)
    if kind is None:
        return
    rows = f"select exists (select from {_name(dataset)})"
    if kind == "table" and driver(connection).execute(rows.encode()).fetchone() == (True,):
        raise WarehouseError(
            f"{dataset}: is a table with rows in the database, and a view among the models; give the view another name."
        )
    try:
        with driver(connection).transaction():
            _do(connection, f"drop {kind} {_name(dataset)}")
    except psycopg.errors.DependentObjectsStillExist as error:
        others = "; ".join((error.diag.message_detail or "").splitlines())
        raise WarehouseError(
            f"{dataset}: its columns change, and it cannot be dropped, since others stand on it: {others}. Drop those, "
            "run again, and make them anew."
        ) from None


def _furnish(connection: Connection, wanted: Definition, kept: _Grants = ()) -> None:
    """Make the indexes that are missing, and grant what is to be granted, and what was."""
    there = driver(connection).execute(_INDEXED, [_name(wanted.dataset)]).fetchall()
    known = {(tuple(columns or ()), unique) for columns, unique in there}
    for columns, asked in wanted.indexes:
        # An index over all partitions can tell that a value is there once only where it tells the partition.
        unique = asked and {*wanted.partition_by[:1]} <= {*columns}
        if (columns, unique) not in known:
            names = sql.SQL(", ").join(map(sql.Identifier, columns)).as_string()
            _do(connection, f"create {'unique ' if unique else ''}index on {_name(wanted.dataset)} ({names})")
    for privilege, role in {*wanted.grants, *kept} - set(_granted(connection, wanted.dataset)):
        _grant(connection, wanted.dataset, privilege, role)


def _granted(connection: Connection, dataset: str) -> list[tuple[str, str]]:
    return driver(connection).execute(_GRANTED, [_name(dataset)]).fetchall()


def _grant(connection: Connection, dataset: str, privilege: str, role: str) -> None:
    if not privilege.replace(" ", "").isalpha():
        raise WarehouseError(f"{dataset}: {privilege!r} is nothing that can be granted.")
    _do(connection, f"grant {privilege} on {_name(dataset)} to {sql.Identifier(role).as_string()}")


def _kind(connection: Connection, dataset: str) -> str | None:
    found = driver(connection).execute(_KIND, [_name(dataset)]).fetchone()
    return None if found is None else _KINDS.get(found[0], "table")


def _do(connection: Connection, statement: str) -> None:
    driver(connection).execute(statement.encode())


def _name(dataset: str) -> str:
    return relation(dataset).as_string()
