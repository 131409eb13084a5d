"""The bytes of files, kept in the server: what a run has staged can be read wherever the server can be reached.

A file is kept once, under a name that no other ever has, and read from a copy in a folder of this machine.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import sql
from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, MetaData, String, Table, func, select

from assay.model.data import DataFile
from assay.model.errors import WarehouseError
from assay.warehouses.listed import listed
from assay.warehouses.postgres.database import SCHEMA

METADATA = MetaData()
CONTENT = Table(
    "assay_content",
    METADATA,
    Column("path", String, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("run", BigInteger),
    Column("bytes", LargeBinary, nullable=False),
)
"""`run` is set for a file that lives as long as its run."""
_PART_BYTES = 1 << 20
_PLACE = sql.Identifier(SCHEMA, CONTENT.name)


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """Return the driver's own connection, for what goes by COPY in the same transaction."""
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def keep(connection: Connection, root: str, runs: Mapping[str, int | None]) -> None:
    """Keep files of the folder, by path, each with the run that it lives as long as; those that are kept stay."""
    theirs = CONTENT.c.path.in_(listed(connection, runs)) & (CONTENT.c.part == 0)
    new = runs.keys() - set(connection.execute(select(CONTENT.c.path).where(theirs)).scalars())
    query = sql.SQL("copy {} (path, part, run, bytes) from stdin (format binary)").format(_PLACE)
    with driver(connection).cursor() as cursor, cursor.copy(query) as copy:
        copy.set_types(["text", "int4", "int8", "bytea"])
        for path in sorted(new):
            for part, piece in enumerate(_parts(Path(root, path))):
                copy.write_row((path, part, runs[path], piece))


def bring(connection: Connection, root: str, files: Iterable[DataFile]) -> None:
    """Write those files into the folder that are not there; raises WarehouseError for one that is not as it was."""
    for file in files:
        path = Path(root, file.path)
        if is_here(root, file):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two threads may bring one file: each writes its own, and the last name counts.
        written = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        try:
            if _write(connection, file.path, written) != file.sha256:
                raise WarehouseError(f"{file.path}: is not, byte for byte, as it was written. Restore the database.")
            written.replace(path)
        finally:
            written.unlink(missing_ok=True)


def bring_unnamed(connection: Connection, root: str, paths: Iterable[str]) -> None:
    """Write those files into the folder that are not there, of which no more is known than that they are kept."""
    for name in paths:
        path = Path(root, name)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            written = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
            _write(connection, name, written)
            written.replace(path)


def is_here(root: str, file: DataFile) -> bool:
    """Return whether the folder has a file, in its size: it was compared as it came."""
    try:
        return Path(root, file.path).stat().st_size == file.bytes
    except FileNotFoundError:
        return False


def sha256(connection: Connection, path: str) -> str:
    """Return the sum of a file as it is kept; that of no bytes where it is not there."""
    return _write(connection, path, Path(os.devnull))


def sizes(connection: Connection) -> dict[str, int]:
    """Return every file that is kept, by path, with its bytes."""
    query = select(CONTENT.c.path, func.sum(func.octet_length(CONTENT.c.bytes))).group_by(CONTENT.c.path)
    return {path: int(size) for path, size in connection.execute(query)}


def _parts(path: Path) -> Iterator[bytes]:
    """Return the bytes of a file, some at a time; one of no bytes has a part, too."""
    try:
        with path.open("rb") as file:
            piece = file.read(_PART_BYTES)
            yield piece
            while piece := file.read(_PART_BYTES):
                yield piece
    except OSError as error:
        raise WarehouseError(f"{path}: was written and cannot be read: {error.strerror}.") from None


def _write(connection: Connection, path: str, to: Path) -> str:
    """Write a file as it is kept, and return its sum."""
    query = sql.SQL("copy (select bytes from {} where path = {} order by part) to stdout (format binary)")
    found = hashlib.sha256()
    with driver(connection).cursor() as cursor, cursor.copy(query.format(_PLACE, sql.Literal(path))) as copy:
        copy.set_types(["bytea"])
        with to.open("wb") as file:
            for (piece,) in copy.rows():
                found.update(piece)
                file.write(piece)
    return found.hexdigest()
