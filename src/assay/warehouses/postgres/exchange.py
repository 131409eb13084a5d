"""Exchanging rows: where files were written anew for the sake of some of their rows, the others stay as they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import Connection, delete, update

from assay.model.data import DataFile, Manifest, Version, rows_in
from assay.warehouses.listed import listed
from assay.warehouses.postgres.content import driver
from assay.warehouses.postgres.tables import FILE_COLUMN, SHOWN, Rows, copy_rows, hide, relation, show

_MOST = 0.5
"""The share of rows that differ, beyond which all are written anew in less time."""
_GONE = sql.Identifier("pg_temp", "assay_gone")
_Partition = tuple[tuple[str, str | None], ...]


class _DifferenceError(Exception):
    """The table has not the rows that its files say."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What becomes of the files of one partition."""

    old: tuple[DataFile, ...]
    new: DataFile
    came: tuple[DataFile, ...]


def exchange(connection: Connection, root: str, manifest: Manifest, base: Version | None) -> None:
    """Have a table show the files that were added instead of those that were removed, which lie in the folder.

    Where just some rows of the removed files differ, by a key, only those are deleted and inserted.
    """
    columns = [column.name for column in manifest.schema if not column.is_system]
    parts = list(_parts(manifest, base)) if base and _is_worthwhile(manifest) else []
    if not _is_exchanged(connection, root, manifest, columns, parts):
        parts = []
    done = {file.path for part in parts for file in (*part.old, part.new)}
    hide(connection, manifest.dataset, [path for path in manifest.removed if path not in done])
    show(connection, root, manifest.dataset, columns, [file for file in manifest.added if file.path not in done])


def _is_worthwhile(manifest: Manifest) -> bool:
    """Return whether the rows that differ are known by a key, and few."""
    return bool(manifest.key and manifest.gone) and rows_in(manifest.came) <= _MOST * rows_in(manifest.added)


def _parts(manifest: Manifest, base: Version) -> Iterator[_Part]:
    """Yield the partitions that one file stands for now, and others before; no other has rows that are carried over."""
    removed = set(manifest.removed)
    left = [file for file in base.files if file.path in removed]
    carried = rows_in(left) - rows_in(manifest.gone)
    if base.partition_by != manifest.partition_by or carried + rows_in(manifest.came) != rows_in(manifest.added):
        return
    old = _by_partition(left)
    new, came = _by_partition(manifest.added), _by_partition(manifest.came)
    if all(len(new[partition]) == 1 for partition in old if partition in new):
        for partition, files in old.items():
            if partition in new:
                yield _Part(tuple(files), new[partition][0], tuple(came.get(partition, ())))


def _by_partition(files: Iterable[DataFile]) -> Mapping[_Partition, list[DataFile]]:
    found: dict[_Partition, list[DataFile]] = defaultdict(list)
    for file in files:
        found[tuple(sorted(file.partition.items()))].append(file)
    return dict(found)


def _is_exchanged(
    connection: Connection, root: str, manifest: Manifest, columns: Sequence[str], parts: Sequence[_Part]
) -> bool:
    """Return whether the rows that differ were exchanged; if not, nothing was."""
    if not parts:
        return False
    try:
        with connection.begin_nested():
            _delete_gone(connection, root, manifest)
            for part in parts:
                number = _renumber(connection, manifest.dataset, columns, part)
                for file in part.came:
                    rows = Rows(manifest.dataset, Path(root, file.path), file, tuple(columns))
                    copy_rows(connection, relation(manifest.dataset), rows, number)
    except (_DifferenceError, psycopg.errors.InsufficientPrivilege):
        return False
    return True


def _delete_gone(connection: Connection, root: str, manifest: Manifest) -> None:
    """Delete the rows that give way, by their keys; raises _DifferenceError where the table has not just those."""
    own, table = driver(connection), relation(manifest.dataset)
    names = sql.SQL(", ").join(map(sql.Identifier, (*manifest.key, FILE_COLUMN)))
    own.execute(sql.SQL("create temporary table {} as select {} from {} with no data").format(_GONE, names, table))
    for file in manifest.gone:
        copy_rows(connection, _GONE, Rows(manifest.dataset, Path(root, file.path), file, manifest.key), 0)
    own.execute(sql.SQL("analyze {}").format(_GONE))
    same = sql.SQL(" and ").join(
        sql.SQL("one.{0} = gone.{0}").format(sql.Identifier(column)) for column in manifest.key
    )
    query = sql.SQL("delete from {} one using {} gone where {}").format(table, _GONE, same)
    deleted = own.execute(query).rowcount
    own.execute(sql.SQL("drop table {}").format(_GONE))
    if deleted != rows_in(manifest.gone):
        raise _DifferenceError


def _renumber(connection: Connection, dataset: str, columns: Sequence[str], part: _Part) -> int:
    """Have the rows that stay be those of the new file, and return its number: that of most of them."""
    most, *others = sorted(part.old, key=lambda file: file.rows, reverse=True)
    mine = SHOWN.c.dataset == dataset
    renamed = update(SHOWN).where(mine, SHOWN.c.path == most.path).values(path=part.new.path).returning(SHOWN.c.file)
    number = connection.execute(renamed).scalar_one_or_none()
    if number is None:
        raise _DifferenceError
    if others:
        theirs = mine & SHOWN.c.path.in_(listed(connection, [file.path for file in others]))
        left = delete(SHOWN).where(theirs).returning(SHOWN.c.file)
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        # Loaders may delete and insert, and nothing else.
        query = sql.SQL(
            "with moved as (delete from {table} where {file} = any(%s::bigint[]) returning {names}) "
            "insert into {table} ({names}, {file}) select {names}, %s from moved"
        ).format(table=relation(dataset), file=sql.Identifier(FILE_COLUMN), names=names)
        driver(connection).execute(query, [list(connection.execute(left).scalars()), number])
    return int(number)
