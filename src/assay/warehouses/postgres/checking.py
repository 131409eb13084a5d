"""What is published and not there, or otherwise than it was written: files as they are kept, rows as they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from assay.model.data import DataFile, is_table
from assay.model.published import State, Verified
from assay.warehouses.postgres import content, tables


def missing(connection: Connection, state: State) -> tuple[str, ...]:
    """Return what a published state refers to and is not there: files, in their size, and their rows in tables."""
    return tuple(_missing(connection, state))


def damaged(connection: Connection, files: Iterable[DataFile]) -> tuple[str, ...]:
    """Return those files that are not there, or not byte for byte as they were written; all of them are read."""
    return tuple(file.path for file in files if content.sha256(connection, file.path) != file.sha256)


def verified(connection: Connection, state: State) -> Verified:
    """Return what reading every file of a published state finds, and counting the rows of its tables."""
    files = [file for version in state.versions.values() for file in version.files]
    lost = missing(connection, state)
    told = {text.partition(" (")[0] for text in lost}
    changed = (path for path in damaged(connection, files) if path not in told)
    return Verified(len(files), sum(file.bytes for file in files), (*lost, *changed, *miscounted(connection, state)))


def _missing(connection: Connection, state: State) -> Iterator[str]:
    sizes = content.sizes(connection)
    for name, version in state.versions.items():
        shown = tables.shown(connection, name) if is_table(name) else frozenset()
        for file in version.files:
            if file.path not in sizes:
                yield file.path
            elif sizes[file.path] != file.bytes:
                yield f"{file.path} (of {file.bytes:,} bytes, {sizes[file.path]:,})"
            elif is_table(name) and file.path not in shown:
                yield f"{file.path} (its rows are not in {name})"


def miscounted(connection: Connection, state: State) -> Iterator[str]:
    """Yield what tables have otherwise than the files that stand, by their counts of rows."""
    for name, version in state.versions.items():
        if is_table(name):
            found = tables.counts(connection, name)
            for file in version.files:
                if found.get(file.path, 0) != file.rows:
                    yield f"{name} (has {found.get(file.path, 0):,} rows of {file.path}, which has {file.rows:,})"
            others = sum(found.values()) - sum(found.get(file.path, 0) for file in version.files)
            if others:
                yield f"{name} (has {others:,} rows that assay has not published)"
