"""What a database lacks for its changes to be followed is told with the SQL that gives it."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from assay.model.errors import SourceError
from assay.sources.postgres import replication
from assay.warehouses.postgres.server.account import Account
from assay.warehouses.postgres.server.binaries import find_binaries
from assay.warehouses.postgres.server.embedded import embedded
from assay.warehouses.postgres.server.home import Home
from tests.sources.postgres.following import Follower, connected


def refusal(follower: Follower, table: str, *columns: str) -> str:
    with pytest.raises(SourceError) as caught:
        replication.followed(follower.connection, {("public", table): columns or ("id",)})
    return str(caught.value)


def test_a_server_whose_log_tells_no_rows_is_refused(postgres_url: str) -> None:
    with connected(postgres_url) as connection, pytest.raises(SourceError) as caught:
        replication.check_server(connection)
    assert str(caught.value) == (
        "The source's log does not tell rows. Have an administrator set it, and restart the server:\n"
        "ALTER SYSTEM SET wal_level = 'logical';"
    )


def test_a_role_that_may_not_read_changes_is_refused_until_it_may(follower: Follower) -> None:
    replication.check_server(follower.connection)
    follower.connection.execute('create role "Rea""der"; create role rds_replication')
    try:
        follower.connection.execute('set role "Rea""der"')
        with pytest.raises(SourceError) as caught:
            replication.check_server(follower.connection)
        remedy = 'ALTER ROLE "Rea""der" REPLICATION;'
        assert str(caught.value) == f'The role Rea"der may not read changes. Have it allowed:\n{remedy}'
        for right in (remedy, 'alter role "Rea""der" noreplication; grant rds_replication to "Rea""der"'):
            follower.connection.execute(f'reset role; {right}; set role "Rea""der"')
            replication.check_server(follower.connection)
    finally:
        follower.connection.execute('reset role; drop role "Rea""der"; drop role rds_replication')


def test_a_replica_is_refused(tmp_path: Path) -> None:
    with embedded(tmp_path / "server"):
        pass
    with standby(tmp_path / "server") as connection, pytest.raises(SourceError) as caught:
        replication.check_server(connection)
    assert str(caught.value) == (
        "The source is a replica, and changes are read from its primary: give the address of that."
    )


@contextmanager
def standby(folder: Path) -> Iterator[psycopg.Connection]:
    """Start a server that has ended as one that waits for another's log, and can be read meanwhile."""
    home = Home(folder)
    account = Account.of(home)
    home.sockets.mkdir()
    account.owns(home.sockets)
    try:
        (home.data / "standby.signal").touch()
        account.owns(home.data / "standby.signal")
        with account.reaching(home.data) as (data, keep), (folder / "standby.log").open("wb") as log:
            program = find_binaries(account, home.programs, major=home.major).postgres
            options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={home.sockets}"]
            server = account.started([program, "-D", data, *options], keep=keep, output=log.fileno())
        try:
            with patiently_connected(home.url) as connection:
                yield connection
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
    finally:
        shutil.rmtree(home.sockets)


@contextmanager
def patiently_connected(url: str) -> Iterator[psycopg.Connection]:
    end = time.monotonic() + 60
    while True:
        try:
            with connected(url) as connection:
                yield connection
            return
        except psycopg.OperationalError:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_tables_are_found_with_their_numbers_and_the_columns_of_their_keys_in_order(follower: Follower) -> None:
    follower.connection.execute(
        'create schema "Shop"; create table "Shop"."Or""der" (a int, "B b" int, c int);'
        'alter table "Shop"."Or""der" add primary key ("B b", a) include (c);'
        "create table note (id int primary key, text text); alter table note replica identity full"
    )
    wanted = {("Shop", 'Or"der'): ("c", "a", "B b"), ("public", "note"): ("id",)}
    order, note = replication.followed(follower.connection, wanted)
    assert (order.key, order.columns) == (("B b", "a"), ("c", "a", "B b"))
    assert (str(order), order.quoted) == ('Shop.Or"der', '"Shop"."Or""der"')
    assert note.key == ("id",)
    assert follower.connection.execute("select 'note'::regclass::oid").fetchone() == (note.oid,)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("select 1", "is not there, or this role may not see it."),
        ("create view t as select 1 id", "is no table, and has no changes of its own."),
        ("create table t (id int primary key) partition by range (id)", "has partitions,"),
        ("create table t (id int primary key); create table u () inherits (t)", "has partitions,"),
        ("create unlogged table t (id int primary key)", 'Have it logged:\nALTER TABLE "public"."t" SET LOGGED;'),
        (
            "create table t (id int primary key); alter table t replica identity nothing",
            'Have it told:\nALTER TABLE "public"."t" REPLICA IDENTITY DEFAULT;',
        ),
        ("create table t (id int)", 'ALTER TABLE "public"."t" ADD PRIMARY KEY (...);'),
        ("create table t (id int unique not null)", "REPLICA IDENTITY USING INDEX ...;"),
        ("create table t (id int); alter table t replica identity full", "has no primary key"),
        ("create table t (id int primary key deferrable)", "has no primary key that is checked at once"),
        ("create table t (id int, of int, primary key (of, id))", "is read without 'of' of its key."),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(follower: Follower, made: str, why: str) -> None:
    follower.connection.execute(made)
    said = refusal(follower, "t")
    assert said.startswith("public.t: ")
    assert why in said


def test_a_generated_column_is_told_where_it_is_stored_and_the_server_is_new_enough(follower: Follower) -> None:
    follower.connection.execute("create table t (id int primary key, twice int generated always as (id * 2) stored)")
    if follower.connection.info.server_version < replication.TELLS_STORED:
        assert "does not tell its generated column 'twice'" in refusal(follower, "t", "id", "twice")
        return
    follower.load("t")
    follower.connection.execute("insert into t values (1)")
    assert follower.follow()["t"].upserts.read_text() == '"1","2",\n'
    follower.connection.execute("create table v (id int primary key, twice int generated always as (id * 2) virtual)")
    assert "does not tell its generated column 'twice'" in refusal(follower, "v", "id", "twice")
    assert replication.followed(follower.connection, {("public", "v"): ("id",)})[0].columns == ("id",)


def test_all_tables_that_are_refused_are_told_at_once(follower: Follower) -> None:
    follower.connection.execute("create table a (id int); create table b (id int primary key)")
    with pytest.raises(SourceError) as caught:
        replication.followed(follower.connection, {("public", name): ("id",) for name in "abc"})
    assert [line[:9] for line in str(caught.value).splitlines() if line.startswith("public.")] == [
        "public.a:",
        "public.c:",
    ]


def test_waiting_for_the_transactions_of_others_ends_and_names_them(follower: Follower, logical_url: str) -> None:
    follower.connection.execute("create table t (id int primary key)")
    with connected(logical_url) as other, other.transaction():
        replication.wait_for_writers(follower.connection, seconds=0)  # it has written nothing
        other.execute("insert into t values (1)")
        with pytest.raises(SourceError, match=f"open for more than 0.1 seconds: process {other.info.backend_pid}\\."):
            replication.wait_for_writers(follower.connection, seconds=0.1)
    replication.wait_for_writers(follower.connection, seconds=0)
