"""The rows of published tables: what every client of the server reads, of the files that stand and no others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from sqlalchemy import BigInteger, Column, Connection, Identity, String, Table, delete, insert, select

from assay.model.data import DataFile
from assay.model.errors import WarehouseError
from assay.warehouses.listed import listed
from assay.warehouses.postgres.content import METADATA, driver

if TYPE_CHECKING:
    from assay.warehouses.postgres.sending import Sent

FILE_COLUMN = "_assay_file"
"""The column that tells which file a row is of."""
_TYPES = """
select attname, format_type(atttypid, atttypmod) from pg_attribute
where attrelid = %s::regclass and attnum > 0 and not attisdropped
"""
SHOWN = Table(
    "assay_shown",
    METADATA,
    Column("file", BigInteger, Identity(always=True), primary_key=True),
    Column("path", String, nullable=False, unique=True),
    Column("dataset", String, nullable=False, index=True),
)
"""The files whose rows stand in tables, each with its number there."""


def relation(dataset: str) -> sql.Identifier:
    """Return the table of a dataset, quoted."""
    layer, _, entity = dataset.partition(".")
    return sql.Identifier(layer, entity)


def hide(connection: Connection, dataset: str, paths: Sequence[str]) -> None:
    """Delete the rows of files."""
    mine = (SHOWN.c.dataset == dataset) & SHOWN.c.path.in_(listed(connection, paths))
    gone = list(connection.execute(delete(SHOWN).where(mine).returning(SHOWN.c.file)).scalars())
    if not gone:
        return
    if connection.execute(select(SHOWN.c.file).where(SHOWN.c.dataset == dataset)).first() is None:
        query = sql.SQL("delete from {}").format(relation(dataset))
        driver(connection).execute(query)
        return
    # Numbers of the column's own type are looked up by a hash; each row would be compared with all others.
    query = sql.SQL("delete from {} where {} = any(%s::bigint[])").format(
        relation(dataset), sql.Identifier(FILE_COLUMN)
    )
    driver(connection).execute(query, [gone])


def show(connection: Connection, root: str, dataset: str, columns: Sequence[str], files: Iterable[DataFile]) -> None:
    """Insert the rows of files that lie in the folder; raises WarehouseError where the server does not take one."""
    for file in files:
        made = insert(SHOWN).values(path=file.path, dataset=dataset).returning(SHOWN.c.file)
        number = connection.execute(made).scalar_one()
        copy_rows(connection, relation(dataset), Rows(dataset, Path(root, file.path), file, tuple(columns)), number)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a file of a dataset."""

    dataset: str
    path: Path
    file: DataFile
    columns: tuple[str, ...]


def copy_rows(connection: Connection, to: sql.Identifier, rows: Rows, number: int) -> None:
    """Copy the rows of a file into a table, with the number of the file; raises WarehouseError as `show` does."""
    from assay.warehouses.postgres.forms import FormlessError
    from assay.warehouses.postgres.sending import rows_of

    own = driver(connection)
    known = dict(own.execute(_TYPES, [to.as_string(own)]).fetchall())
    types = {name: known[name] for name in rows.columns}
    try:
        with connection.begin_nested():
            _copy(connection, to, rows, rows_of(rows.path, types, number))
    except FormlessError:
        _copy(connection, to, rows, rows_of(rows.path, types, number, as_texts=True))


def _copy(connection: Connection, to: sql.Identifier, rows: Rows, sent: Sent) -> None:
    names = sql.SQL(", ").join(sql.Identifier(name) for name in (*rows.columns, FILE_COLUMN))
    with driver(connection).cursor() as cursor:
        query = sql.SQL("copy {} ({}) from stdin (format {})").format(to, names, sql.SQL(sent.form))
        with _named(rows.dataset), cursor.copy(query) as copy:
            for piece in sent.pieces:
                copy.write(piece)
        count = cursor.rowcount
    if count != rows.file.rows:
        raise WarehouseError(
            f"{rows.dataset}: the server took {count:,} of {rows.file.rows:,} rows of {rows.file.path}."
        )


@contextmanager
def _named(dataset: str) -> Iterator[None]:
    """Name the table of a value that the server does not take."""
    try:
        yield
    except ValueError as error:
        raise WarehouseError(f"{dataset}: the server does not take a value: {error}.") from None
    except psycopg.DataError as error:
        hint = " PostgreSQL keeps no text with the character NUL." if "0x00" in str(error) else ""
        why = f"the server does not take a value: {error.diag.message_primary}.{hint}"
        raise WarehouseError(f"{dataset}: {why}") from None
    except psycopg.IntegrityError as error:
        raise WarehouseError(
            f"{dataset}: the server does not take a row: {error.diag.message_primary}. Where this is the index of an "
            "earlier key, `assay migrate PIPELINE` or `assay sync --migrate` replaces it; drop any other by hand."
        ) from None


def shown(connection: Connection, dataset: str) -> set[str]:
    """Return the files whose rows stand in a table."""
    return set(connection.execute(select(SHOWN.c.path).where(SHOWN.c.dataset == dataset)).scalars())


def numbers(connection: Connection, dataset: str, paths: Sequence[str]) -> list[int]:
    """Return the numbers of files in a table."""
    mine = (SHOWN.c.dataset == dataset) & SHOWN.c.path.in_(listed(connection, paths))
    return list(connection.execute(select(SHOWN.c.file).where(mine)).scalars())


def counts(connection: Connection, dataset: str) -> dict[str, int]:
    """Return how many rows of each file a table has; those of no file under the name ""."""
    query = sql.SQL("select {file}, count(*) from {table} group by 1").format(
        file=sql.Identifier(FILE_COLUMN), table=relation(dataset)
    )
    paths = {row.file: row.path for row in connection.execute(select(SHOWN).where(SHOWN.c.dataset == dataset))}
    found: dict[str, int] = {}
    for number, count in driver(connection).execute(query).fetchall():
        path = paths.get(number, "")
        found[path] = found.get(path, 0) + int(count)
    return found
