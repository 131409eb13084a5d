"""A database whose changes are followed, and a copy of its tables that is kept up with them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from assay.sources.postgres import publication, replication, slot
from assay.sources.postgres.coalescing import Followed, Reading, TableChanges, coalesced

SLOT = PUBLICATION = "assay_test"
COPY = "copy"
"""The schema of the copies."""
SECONDS = 60
"""How long a test waits for what must come."""
OPTIONS = "-c timezone=UTC -c datestyle=ISO -c extra_float_digits=1 -c client_encoding=UTF8"


@contextmanager
def connected(url: str, **how: Any) -> Iterator[psycopg.Connection]:
    """Open a connection in autocommit whose texts are those that assay reads."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, options=OPTIONS, **how) as connection:
        yield connection


def until(connection: psycopg.Connection, query: str) -> None:
    """Wait until a query has a row."""
    end = time.monotonic() + SECONDS
    while not connection.execute(query).rowcount:
        assert time.monotonic() < end, query
        time.sleep(0.01)


@dataclass
class Follower:
    """Reads the changes of some tables of the schema public into copies of them."""

    connection: psycopg.Connection
    folder: Path
    slot: str = SLOT
    stored: int = 0
    tables: tuple[Followed, ...] = field(default=())

    def load(self, *names: str) -> None:
        """Make publication, slot and copies, in this order."""
        self.publish(*names)
        self.stored = self.slot_made()
        self.copy()

    def slot_made(self) -> int:
        """Make the slot anew; return its place."""
        return slot.make_slot(self.connection, self.slot)

    def publish(self, *names: str) -> None:
        """Have the changes of some tables told, whole."""
        wanted = {("public", name): self.columns("public", name) for name in names}
        self.tables = replication.followed(self.connection, wanted)
        publication.publish(self.connection, PUBLICATION, self.tables)

    def copy(self) -> None:
        """Copy the tables as they are now."""
        with self.connection.transaction():
            self.connection.execute("set transaction isolation level repeatable read")
            self.connection.execute(f"drop schema if exists {COPY} cascade; create schema {COPY}")
            for table in self.tables:
                self._do("create table {copy} (like {table} including comments)", table)
                self._do("insert into {copy} select * from {table}", table)

    def columns(self, schema: str, name: str) -> tuple[str, ...]:
        """All columns of a table, in its order."""
        query = "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped"
        relation = sql.Identifier(schema, name).as_string()
        return tuple(column for (column,) in self.connection.execute(f"{query} order by attnum", [relation]))

    def read(self) -> Reading:
        """Read what has changed since the place that is stored; the slot stays where it is."""
        slot.check_slot(self.connection, self.slot, self.stored)
        end = slot.end_of_log(self.connection)
        messages = slot.changes(self.connection, self.slot, PUBLICATION, upto=end)
        return coalesced(messages, self.tables, start=self.stored, end=end, folder=self.folder)

    def follow(self) -> dict[str, TableChanges]:
        """Apply what has changed; return it by the names of the tables."""
        reading = self.read()
        assert reading.unfollowed == ()
        self.apply(reading)
        self.advance()
        return {changes.table.name: changes for changes in reading.tables}

    def apply(self, reading: Reading) -> None:
        """Apply a reading to the copies, and store its place, in one transaction."""
        with self.connection.transaction():
            for changes in reading.tables:
                self._apply(changes)
        self.stored = reading.lsn

    def advance(self) -> None:
        """Let the server forget what is stored."""
        slot.advance(self.connection, self.slot, self.stored)

    def rows(self, name: str, schema: str = "public") -> list[tuple[Any, ...]]:
        """All rows as texts, in an order."""
        texts = ", ".join(f'"{column}"::text' for column in self.columns(schema, name))
        return sorted(self.connection.execute(f'select {texts} from {schema}."{name}"'), key=repr)

    def assert_same(self, name: str) -> None:
        """The copy is the table."""
        assert self.rows(name, COPY) == self.rows(name)

    def _apply(self, changes: TableChanges) -> None:
        table = changes.table
        if changes.truncated:
            self._do("delete from {copy}", table)
        key = sql.SQL(", ").join(sql.Identifier(name) for name in table.key)
        self._do("create temp table gone on commit drop as select {key} from {copy} where false", table, key=key)
        assert self._load("gone", changes.removals) == changes.removed
        self._do("delete from {copy} where ({key}) in (select {key} from gone)", table, key=key)
        self._do("create temp table new on commit drop as select *, null::text unchanged_ from {copy} limit 0", table)
        assert self._load("new", changes.upserts) == changes.upserted
        for name in table.columns:
            self._keep_unchanged(table, name)
        self._do("delete from {copy} where ({key}) in (select {key} from new)", table, key=key)
        self.connection.execute("alter table new drop unchanged_")
        self._do("insert into {copy} select * from new", table)
        self.connection.execute("drop table new, gone")

    def _keep_unchanged(self, table: Followed, name: str) -> None:
        same = sql.SQL(" and ").join(sql.SQL("o.{0} = new.{0}").format(sql.Identifier(key)) for key in table.key)
        query = "update new set {column} = o.{column} from {copy} o where {same} and unchanged_::jsonb ? {name}"
        self._do(query, table, column=sql.Identifier(name), same=same, name=sql.Literal(name))

    def _load(self, table: str, path: Path) -> int:
        with self.connection.cursor() as cursor:
            with cursor.copy(f"copy {table} from stdin (format csv)") as rows:
                rows.write(path.read_bytes())
            return cursor.rowcount

    def _do(self, statement: str, table: Followed, **more: sql.Composable) -> None:
        names = {"table": sql.Identifier(table.schema, table.name), "copy": sql.Identifier(COPY, table.name)}
        self.connection.execute(sql.SQL(statement).format(**names, **more))
