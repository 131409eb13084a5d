"""What fails because a connection broke, or could not be made yet, is told from what another try would not mend."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, literal_column, select, text

from assay.model.errors import WarehouseError
from assay.warehouses.postgres import database
from assay.warehouses.postgres.content import driver
from assay.warehouses.postgres.database import ConnectionLostError, Database

Server = psycopg.Connection[Any]
Statement = Callable[[Connection], object]


def copied(connection: Connection) -> None:
    with driver(connection).cursor() as cursor, cursor.copy("copy (select 1) to stdout") as copy:
        list(copy.rows())


def nested(connection: Connection) -> None:
    with connection.begin_nested():
        driver(connection).execute("select 1")


def told(url: str, statement: Statement = lambda _: None) -> WarehouseError:
    """Return the error of a transaction."""
    with closing(Database(url)) as base, pytest.raises(WarehouseError) as error, base.transaction() as connection:
        statement(connection)
    return error.value


@pytest.mark.parametrize(
    "statement",
    [
        lambda connection: connection.execute(text("select 1")),
        lambda connection: driver(connection).execute("select 1"),
        copied,
        nested,
        lambda _: None,
    ],
    ids=["SQLAlchemy's", "the driver's", "a COPY", "behind a savepoint", "the commit"],
)
def test_a_connection_that_broke_is_lost_whoever_notices(url: str, server: Server, statement: Statement) -> None:
    def end_and_go_on(connection: Connection) -> None:
        connection.execute(text("select 1"))
        server.execute("select pg_terminate_backend(%s, 60000)", [driver(connection).info.backend_pid])
        statement(connection)

    assert type(told(url, end_and_go_on)) is ConnectionLostError


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (lambda c: c.execute(select(literal_column("1").in_(range(66_000)))), "parameters"),
        (lambda c: driver(c).execute("select %s", ["\0"]), "NUL"),
        (lambda c: driver(c).execute("select 1/0"), "division by zero"),
    ],
    ids=["too many parameters", "NUL", "a division by zero"],
)
def test_a_statement_that_fails_on_a_connection_that_stands_is_not_tried_again(
    url: str, statement: Statement, why: str
) -> None:
    error = told(url, statement)
    assert (type(error), why in str(error)) == (WarehouseError, True), error


def test_a_server_that_cannot_be_reached_may_come_back(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(database, "_CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        here = f"postgresql://assay@127.0.0.1:{silent.getsockname()[1]}/assay"
        assert type(told(here)) is ConnectionLostError, "it is starting"
    assert type(told(here)) is ConnectionLostError, "it refuses"
    assert type(told(url.partition("?")[0] + "?host=/tmp/no-such-folder")) is ConnectionLostError, "it has no socket"


def test_who_is_not_let_in_is_told_at_once(url: str, server: Server) -> None:
    name = url.partition("?")[0].rpartition("/")[2]
    addresses = {
        'role "nobody_knows" does not exist': url.replace("assay@", "nobody_knows@"),
        f'database "no_{name}" does not exist': url.replace(f"/{name}?", f"/no_{name}?"),
        'role "pg_monitor" is not permitted to log in': url.replace("assay@", "pg_monitor@"),
        f'permission denied for database "{name}"': url.replace("assay@", "let_out@"),
    }
    server.execute(f"create role let_out login; revoke connect on database {name} from public".encode())
    try:
        for why, address in addresses.items():
            error = told(address)
            assert (type(error), why in str(error)) == (WarehouseError, True), error
    finally:
        server.execute("drop role let_out")
