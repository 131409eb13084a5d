"""Tables of a PostgreSQL database as sources: which ones, and how each reading finds what has changed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self, get_args

from assay.model.errors import DeclarationError, near_miss
from assay.model.files import Parquet
from assay.model.given import check_flags, listed
from assay.model.schema import Schema
from assay.model.secrets import address_without_secrets
from assay.model.source import Slice, columns_in, with_system_columns

Mode = Literal["full", "horizon", "xmin", "cdc"]
"""full: all rows, each time. horizon: rows whose stamp is not older than any transaction that the last reading could
not see. xmin: rows that were written by such transactions, whatever their stamps. cdc: the changes themselves."""

_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_IDENTIFIER = re.compile(r'(?:"(?:[^"\0]|"")+"|[A-Za-z_][A-Za-z0-9_$]*)')


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL database of which a pipeline reads tables."""

    url: str
    """`env:NAME`, or an address without a password."""
    mode: Mode
    together: bool = True
    """Whether its tables are read in one snapshot, and so fail together; or each by itself."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table of a database, as it is declared before it is known of which."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    updated: str | None
    deletes: bool
    mode: Mode | None
    publish: bool


@dataclass(frozen=True, slots=True)
class PostgresTable:
    """The rows of a table of a PostgreSQL database, as it is now: the source follows it by its primary key."""

    database: Database
    relation: str
    """As SQL writes it: `orders`, `sales.orders`, `"Sales"."Orders"`."""
    columns: Mapping[str, str]
    """Name in the table -> SQL type. Other columns are left out."""
    key: tuple[str, ...] = ()
    updated: str | None = None
    """The column that every insert and update sets to the time of its transaction, for mode `horizon`."""
    deletes: bool = False
    """Whether each reading looks for rows that are gone, by their keys."""
    mode: Mode = "full"
    publish: bool = False
    """Whether readers see the rows as a table, under the source's name; if not, only other tables see them."""
    mirror: bool = False
    kinds: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Column -> type that a database has it in where it is published, if not by its declared type."""
    comments: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What is said of columns; of the table, under an empty name."""

    @property
    def path(self) -> str:
        """What the source is called where others have a path."""
        return self.database.url

    def at(self, path: str) -> Self | Parquet:
        """Return the source, read from another database, or from Parquet files with its rows."""
        if not is_address(path):
            return Parquet(path, self.columns, repeats=True)
        check_address(f"{self.relation}", path)
        return replace(self, database=replace(self.database, url=path))

    @property
    def schema(self) -> Schema:
        """The declared columns, and then those that assay adds to every row."""
        return with_system_columns(self.columns)


@dataclass(frozen=True, slots=True)
class Spooled:
    """Rows of a database in a file, as its COPY writes them."""

    path: str
    columns: tuple[str, ...]
    bare: bool
    """Whether nothing stands behind the columns; or else the names of those that the row does not bring."""
    part: Slice
    """The slice that they are of."""
    numbered: int
    """How many rows of the slice have been given a number before."""
    longest: int
    """Bytes of the longest row."""
    rows: int


def relation(
    name: str,
    *,
    columns: Mapping[str, str],
    key: str | Sequence[str] = (),
    updated: str | None = None,
    deletes: bool = False,
    mode: Mode | None = None,
    publish: bool = False,
) -> Relation:
    """Declare a table of a PostgreSQL database, for `postgres(url, tables={...})`.

    Args:
        name: as SQL writes it, with its schema where it is not `public`: `sales.orders`.
        columns: name -> SQL type: "VARCHAR", "BIGINT", "DECIMAL(12,2)", "TIMESTAMPTZ", ...
        key: the columns of its primary key; every mode but `full` needs it.
        updated: for mode `horizon`, the column that each insert and update sets to the time of its transaction.
        deletes: whether each reading looks for rows that are gone: all keys are read, and no more.
        mode: how this table is read, where not by the database's mode; among tables of mode `cdc`, `full` alone.
        publish: whether readers see the rows as a table: the source's name is `<layer>_<entity>` then.

    Raises DeclarationError for what contradicts itself.
    """
    place = f"relation({name!r})"
    _check_relation(place, name)
    if not columns:
        raise DeclarationError(f"{place} declares no columns: those of a database change without notice.")
    if mode not in (None, "full", "horizon", "xmin"):
        raise DeclarationError(f"{place}: mode= is 'full', 'horizon' or 'xmin'; left out, it is the database's.")
    typed = columns_in(place, columns)
    check_flags(place, deletes=deletes, publish=publish)
    keys = (key,) if isinstance(key, str) else listed(place, "key", key)
    for column in (*keys, *([updated] if updated else [])):
        if column not in columns:
            raise DeclarationError(f"{place}: {column!r} is none of its columns.{near_miss(column, columns)}")
    if deletes and not keys:
        raise DeclarationError(f"{place}: rows that are gone are found by their keys, so deletes= needs key=.")
    return Relation(name, typed, keys, updated, deletes, mode, publish)


def postgres(
    url: str, *, tables: Mapping[str, Relation], mode: Mode = "horizon", together: bool = True
) -> dict[str, PostgresTable]:
    """Declare tables of a PostgreSQL database as sources, by parameter name.

    Args:
        url: `env:NAME` for the address in an environment variable; or the address itself, without a password, which
            libpq finds in ~/.pgpass, PGPASSWORD or a service file.
        tables: parameter name -> relation(...).
        mode: how a reading finds what has changed since the last: "full", "horizon", "xmin" or "cdc".
        together: whether all are read in one snapshot, so that they are of one moment, and begun again together where
            one fails. If not, each is read by itself, with retries of its own: for tables that do not refer to each
            other.

    Raises DeclarationError for a mode that a table cannot be read in, or a password in the address.
    """
    place = f"postgres({address_without_secrets(url)!r})"
    if mode not in get_args(Mode):
        raise DeclarationError(f"{place}: {mode!r} is no mode: {', '.join(get_args(Mode))}.")
    check_address(place, url)
    check_flags(place, together=together)
    if mode == "cdc" and not together:
        raise DeclarationError(f"{place}: mode 'cdc' reads one log for all tables; together=False is for other modes.")
    database = Database(url, mode, together)
    for name, each in tables.items():
        _check_mode(f"{place}: {name}", each, each.mode or mode, mode)
    return {
        name: PostgresTable(
            database, each.name, each.columns, each.key, each.updated, each.deletes, each.mode or mode, each.publish
        )
        for name, each in tables.items()
    }


def parts_of(relation: str) -> tuple[str, str]:
    """Return schema and table as the server knows them: without quotes, in lower case where there were none."""
    found = [
        part[1:-1].replace('""', '"') if part[0] == '"' else part.lower() for part in _IDENTIFIER.findall(relation)
    ]
    return (found[0], found[1]) if len(found) > 1 else ("public", found[0])


def quoted(*parts: str) -> str:
    """Return names as SQL writes them, in quotes whatever they are: what `parts_of` takes apart."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _check_relation(place: str, name: str) -> None:
    if not re.fullmatch(rf"{_IDENTIFIER.pattern}(?:\.{_IDENTIFIER.pattern})?", name):
        raise DeclarationError(f'{place} is no table: write orders, sales.orders or "Sales"."Orders".')


def is_address(text: str) -> bool:
    """Return whether a text is meant as the address of a database, and not as the path of a file."""
    return "://" in text or bool(_VARIABLE.fullmatch(text))


def check_address(place: str, url: str) -> None:
    """Raise DeclarationError for what is no address, or has a password in it."""
    if _VARIABLE.fullmatch(url):
        return
    if not url.startswith(("postgresql://", "postgres://")):
        raise DeclarationError(f"{place}: write env:NAME, or postgresql://user@host/database.")
    if address_without_secrets(url) != url:
        raise DeclarationError(
            f"{place}: has a password in it; put the address into an environment variable and write env:NAME, or keep "
            "the password in ~/.pgpass."
        )


def _check_mode(place: str, each: Relation, mode: Mode, database: Mode) -> None:
    if database == "cdc" and mode not in ("cdc", "full"):
        raise DeclarationError(f"{place}: beside tables of mode 'cdc', one of mode {mode!r} cannot be read.")
    if mode != "full" and not each.key:
        raise DeclarationError(f"{place}: mode {mode!r} follows rows by their key; give key=, or mode='full'.")
    if mode == "horizon" and each.updated is None:
        raise DeclarationError(
            f"{place}: mode 'horizon' needs updated=, the column that each insert and update stamps; without one, use "
            "mode 'xmin', 'cdc' or 'full'."
        )
    if mode == "horizon" and not each.columns[str(each.updated)].startswith("TIMESTAMP"):
        raise DeclarationError(f"{place}: updated={each.updated!r} is no TIMESTAMPTZ or TIMESTAMP.")
