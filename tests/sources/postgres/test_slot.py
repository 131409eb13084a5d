"""The slot loses nothing, and one that has lost something is not read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from assay.model.errors import SourceError
from assay.sources.postgres import publication, slot
from assay.warehouses.postgres.server.embedded import embedded
from tests.sources.postgres.following import PUBLICATION, SLOT, Follower, connected, until

NOTE = "create table note (id int primary key, text text)"


def told(follower: Follower) -> str:
    """Why the slot cannot be read."""
    with pytest.raises(slot.SlotError) as caught:
        slot.check_slot(follower.connection, SLOT, follower.stored)
    return str(caught.value)


@pytest.fixture
def loaded(follower: Follower) -> Follower:
    follower.connection.execute(NOTE)
    follower.load("note")
    return follower


def test_a_slot_that_is_gone_is_told(loaded: Follower) -> None:
    slot.drop_slot(loaded.connection, SLOT)
    slot.drop_slot(loaded.connection, SLOT)
    assert told(loaded) == "The slot 'assay_test' is gone, and with it the changes since the last run."
    with pytest.raises(slot.SlotError, match='replication slot "assay_test" does not exist'):
        next(slot.changes(loaded.connection, SLOT, PUBLICATION, upto=loaded.stored))


def test_a_slot_of_another_database_is_told_and_left_alone(loaded: Follower, logical_server: str) -> None:
    with connected(logical_server) as elsewhere:
        slot.drop_slot(elsewhere, SLOT)
        with pytest.raises(SourceError, match="is one of another database or program; give this one another name"):
            slot.make_slot(elsewhere, SLOT)
        with pytest.raises(slot.SlotError, match=f"is one of the database '{loaded.connection.info.dbname}', or of"):
            slot.check_slot(elsewhere, SLOT, loaded.stored)
    slot.check_slot(loaded.connection, SLOT, loaded.stored)


def test_a_slot_from_which_somebody_else_has_read_is_told(loaded: Follower) -> None:
    loaded.connection.execute("insert into note values (1, 'one')")
    options = f"'proto_version', '1', 'publication_names', '{PUBLICATION}'"
    loaded.connection.execute(f"select pg_logical_slot_get_binary_changes('{SLOT}', null, null, {options})")
    assert told(loaded) == (
        "The slot 'assay_test' has moved past what is stored: a run was undone, or another program has read from it."
    )


def test_a_log_that_ends_before_what_was_read_is_told(loaded: Follower) -> None:
    loaded.stored += 1 << 32
    assert told(loaded) == (
        "The slot 'assay_test' has a log that ends before what was read: the server is an older copy of itself."
    )


def test_a_slot_that_the_server_has_given_up_is_told(tmp_path: Path) -> None:
    limits = "alter system set wal_level = logical; alter system set max_slot_wal_keep_size = '1MB'"
    with embedded(tmp_path / "server") as url, connected(url) as connection:
        for statement in (*limits.split(";"), "alter system set max_wal_size = '32MB'"):
            connection.execute(statement)
    with embedded(tmp_path / "server") as url, connected(url) as connection:
        follower = Follower(connection, tmp_path)
        connection.execute(NOTE)
        follower.load("note")
        for _ in range(3):
            connection.execute("create table filling as select 1; drop table filling; select pg_switch_wal()")
        connection.execute("checkpoint")
        assert told(follower) == (
            "The slot 'assay_test' has fallen behind so far that the server has removed the log that it needs."
        )
        with pytest.raises(slot.SlotError, match="cannot be read"):
            next(slot.changes(connection, SLOT, PUBLICATION, upto=slot.end_of_log(connection)))
        connection.execute("insert into note values (1, 'one')")
        follower.load("note")  # a full load makes it anew
        connection.execute("insert into note values (2, 'two')")
        assert follower.follow()["note"].upserted == 1
        follower.assert_same("note")


def test_a_slot_that_another_is_reading_is_told(loaded: Follower, logical_url: str) -> None:
    loaded.connection.execute("insert into note select n, repeat('x', 1000) from generate_series(1, 30000) n")
    with connected(logical_url) as other, ThreadPoolExecutor() as pool:
        reading = pool.submit(lambda: sum(1 for _ in slot.changes(other, SLOT, PUBLICATION, upto=1 << 62)))
        until(loaded.connection, "select from pg_replication_slots where active")
        with pytest.raises(SourceError, match=r"is being read by another program or run: .* is active for PID \d+"):
            slot.drop_slot(loaded.connection, SLOT)
        assert reading.result() == 30_003


def test_a_server_without_slots_to_give_says_what_to_do(loaded: Follower) -> None:
    every = "select setting::int - (select count(*) from pg_replication_slots) from pg_settings where name = %s"
    free = loaded.connection.execute(every, ["max_replication_slots"]).fetchone()
    assert free is not None
    for n in range(free[0]):
        slot.make_slot(loaded.connection, f"assay_test_{n}")
    with pytest.raises(SourceError, match="The server has no slot left"):
        slot.make_slot(loaded.connection, "assay_test_more")


def test_a_publication_that_is_gone_has_all_tables_loaded_again(loaded: Follower) -> None:
    loaded.connection.execute("insert into note values (1, 'one')")
    loaded.connection.execute(f"drop publication {PUBLICATION}")
    assert publication.publish(loaded.connection, PUBLICATION, loaded.tables) == loaded.tables


def test_a_slot_moves_to_where_it_is_told_and_never_back(loaded: Follower) -> None:
    query = f"select (confirmed_flush_lsn - '0/0')::int8 from pg_replication_slots where slot_name = '{SLOT}'"
    loaded.connection.execute("insert into note values (1, 'one')")
    loaded.follow()
    assert loaded.connection.execute(query).fetchone() == (loaded.stored,)
    slot.advance(loaded.connection, SLOT, loaded.stored - 100)
    assert loaded.connection.execute(query).fetchone() == (loaded.stored,)
    slot.check_slot(loaded.connection, SLOT, loaded.stored)


def test_the_slot_of_a_quiet_table_moves_on_with_the_log_of_others(loaded: Follower) -> None:
    loaded.connection.execute("create table busy as select n from generate_series(1, 1000) n")
    before = loaded.stored
    assert loaded.follow() == {}
    assert loaded.stored > before + 10_000


def test_what_is_committed_without_waiting_for_the_disk_is_read(loaded: Follower) -> None:
    loaded.connection.execute("set synchronous_commit = off")
    for n in range(20):
        loaded.connection.execute("insert into note values (%s, 'here')", [n])
        assert loaded.follow()["note"].upserted == 1
    loaded.assert_same("note")


def test_a_role_that_may_only_read_changes_follows_them(follower: Follower, logical_url: str) -> None:
    follower.connection.execute(f"{NOTE}; create role reader login replication")
    try:
        follower.load("note")
        slot.drop_slot(follower.connection, SLOT)
        with connected(logical_url.replace("assay@", "reader@")) as reader:
            reader.execute("set default_transaction_read_only = on")
            stored = slot.make_slot(reader, SLOT)
            follower.connection.execute("insert into note values (1, 'one')")
            end = slot.end_of_log(reader)
            assert len(list(slot.changes(reader, SLOT, PUBLICATION, upto=end))) == 4
            slot.advance(reader, SLOT, end)
            slot.check_slot(reader, SLOT, end)
            slot.drop_slot(reader, SLOT)
            assert end > stored
    finally:
        follower.connection.execute("drop role reader")


@pytest.fixture
def between(tmp_path: Path) -> Iterator[Follower]:
    """A follower of a server where commits wait for a standby that never comes; its own do not."""
    with embedded(tmp_path / "server") as url, connected(url) as connection:
        connection.execute("alter system set wal_level = logical")
    with embedded(tmp_path / "server") as url, connected(url) as connection:
        follower = Follower(connection, tmp_path)
        connection.execute(f"set synchronous_commit = local; {NOTE}")
        follower.publish("note")
        connection.execute("alter system set synchronous_standby_names = 'nobody'")
        connection.execute("select pg_reload_conf()")
        until(connection, "select where current_setting('synchronous_standby_names') = 'nobody'")
        yield follower


@contextmanager
def made_beside_a_commit(follower: Follower, *, seconds: float) -> Iterator[tuple[Future[int], Future[None], int]]:
    """Make a slot behind a commit that is not seen yet; yield both, and the process that commits.

    The server waits for the first writer, and then for those that have begun meanwhile: that is the second one. It
    knows of the third one no more than that its commit was in the log before the second one's.
    """
    url = follower.connection.info.dsn
    with ThreadPoolExecutor() as pool, ExitStack() as open_:
        maker, first, second, third = (open_.enter_context(psycopg.connect(url)) for _ in range(4))
        for connection in (maker, first, second):
            connection.execute("set synchronous_commit = local")
            connection.commit()
        maker.autocommit = True
        first.execute("insert into note values (1, 'first')")
        made = pool.submit(slot.make_slot, maker, SLOT, seconds=seconds)
        waits = f"select from pg_locks where not granted and pid = {maker.info.backend_pid}"
        until(follower.connection, waits)
        second.execute("insert into note values (2, 'second')")
        first.commit()
        holds = (
            f"select transactionid from pg_locks where locktype = 'transactionid' and pid = {second.info.backend_pid}"
        )
        until(follower.connection, f"{waits} and transactionid in ({holds})")
        third.execute("insert into note values (3, 'third')")
        committed = pool.submit(third.commit)
        until(follower.connection, "select from pg_stat_activity where wait_event = 'SyncRep'")
        second.commit()
        try:
            yield made, committed, third.info.backend_pid
        finally:
            follower.connection.execute("select pg_cancel_backend(%s)", [third.info.backend_pid])


def test_a_commit_that_is_in_the_log_and_not_seen_is_not_lost_between_slot_and_snapshot(between: Follower) -> None:
    with made_beside_a_commit(between, seconds=60) as (made, committed, process):
        with pytest.raises(TimeoutError):
            made.result(timeout=0.3)
        assert between.rows("note") == [("1", "first"), ("2", "second")]
        between.connection.execute("select pg_cancel_backend(%s)", [process])  # who waits is told, and it is seen
        committed.result()
        between.stored = made.result()
    assert between.rows("note") == [("1", "first"), ("2", "second"), ("3", "third")]
    between.copy()
    assert between.follow() == {}  # the slot does not tell it
    between.assert_same("note")


def test_a_slot_that_waits_in_vain_is_not_left_behind(between: Follower) -> None:
    with made_beside_a_commit(between, seconds=3) as (made, _, process):
        with pytest.raises(SourceError, match=f"open for more than 3 seconds: process {process}"):
            made.result(timeout=60)
        assert between.connection.execute("select from pg_replication_slots").rowcount == 0


def test_a_slot_that_the_server_cannot_make_for_a_transaction_is_given_up(follower: Follower, logical_url: str) -> None:
    follower.connection.execute(NOTE)
    with connected(logical_url) as writer, writer.transaction():
        writer.execute("insert into note values (1, 'open')")
        with pytest.raises(SourceError, match=f"open for more than 0.2 seconds: process {writer.info.backend_pid}"):
            slot.make_slot(follower.connection, SLOT, seconds=0.2)
    assert (
        follower.connection.execute("select from pg_replication_slots where database = current_database()").rowcount
        == 0
    )
    assert follower.connection.execute("show statement_timeout").fetchone() == ("0",)
    slot.make_slot(follower.connection, SLOT)
