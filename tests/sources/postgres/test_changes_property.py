"""Whatever is done to a table, in whatever transactions: its changes, applied to an older copy, give the table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.errors import DeadlockDetected, UniqueViolation

from tests.sources.postgres.following import Follower, connected

TABLE = """
create table item (a int, b text, n int, large text, primary key (a, b));
alter table item alter large set storage external, replica identity {identity};
"""
ROWS = "insert into item select n, 'b', n, repeat('x', 3000 * n) from generate_series(1, 3) n"
INSERT = "insert into item values (%s, %s, %s, %s) on conflict do nothing"
KEYS = st.tuples(st.integers(1, 3), st.sampled_from(["b", "", 'a"b,\n']))
LARGE = st.sampled_from([None, "", "small", "L" * 5000, "M" * 9000])

Action = tuple[Any, ...]
ACTIONS = st.one_of(
    st.tuples(
        st.just("insert into item values (%s, %s, %s, %s) on conflict do nothing"), KEYS, st.integers(0, 9), LARGE
    ),
    st.tuples(st.just("update item set n = %s where (a, b) = (%s, %s)"), st.integers(0, 9), KEYS),
    st.tuples(st.just("update item set large = %s where (a, b) = (%s, %s)"), LARGE, KEYS),
    st.tuples(st.just("update item set (a, b) = (%s, %s) where (a, b) = (%s, %s)"), KEYS, KEYS),
    st.tuples(st.just("delete from item where (a, b) = (%s, %s)"), KEYS),
    st.tuples(st.just("truncate item")),
)
ROLLED_BACK = st.integers(0, 3).map(lambda n: n == 0)
SAVEPOINTS = st.lists(st.tuples(st.lists(ACTIONS, min_size=1, max_size=4), ROLLED_BACK), min_size=1, max_size=3)
TRANSACTIONS = st.lists(st.tuples(SAVEPOINTS, ROLLED_BACK), min_size=1, max_size=4)


def perform(connection: psycopg.Connection, transactions: list[tuple[list[tuple[list[Action], bool]], bool]]) -> None:
    for savepoints, rolled_back in transactions:
        with connection.transaction(force_rollback=rolled_back):
            for actions, undone in savepoints:
                with connection.transaction(force_rollback=undone):
                    for action in actions:
                        act(connection, action)


def act(connection: psycopg.Connection, action: Action) -> None:
    """Do one thing; a key that is taken is left as it is."""
    statement, *given_ = action
    values = [value for part in given_ for value in (part if isinstance(part, tuple) else (part,))]
    with suppress(UniqueViolation), connection.transaction():
        connection.execute(statement, values)


@pytest.fixture(scope="module", params=["default", "full"])
def item(
    request: pytest.FixtureRequest, logical_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Follower]:
    """A follower of one table, for all examples."""
    with connected(logical_server) as connection:
        connection.execute(f"create database item_{request.param}")
        with connected(logical_server.replace("/assay?", f"/item_{request.param}?")) as own:
            own.execute(TABLE.format(identity=request.param))
            follower = Follower(own, tmp_path_factory.mktemp("item"), slot=f"item_{request.param}")
            follower.load("item")
            yield follower
        connection.execute(f"drop database item_{request.param} with (force)")


@settings(max_examples=15)
@given(before=TRANSACTIONS, between=TRANSACTIONS, readings=st.lists(st.tuples(TRANSACTIONS, st.booleans()), max_size=2))
def test_the_changes_of_a_table_applied_to_an_older_copy_give_the_table(
    item: Follower, before: Any, between: Any, readings: list[tuple[Any, bool]]
) -> None:
    item.connection.execute(f"truncate item; {ROWS}")
    perform(item.connection, before)
    item.stored = item.slot_made()
    perform(item.connection, between)  # the snapshot has these, and the first reading tells them again
    item.copy()
    for transactions, dies in [([], False), *readings]:
        perform(item.connection, transactions)
        reading = item.read()
        assert len(reading.unfollowed) <= (item.slot == "item_default")
        item.apply(reading)
        if reading.unfollowed:
            item.copy()
        if not dies:
            item.advance()
        item.assert_same("item")


def disturb(url: str, seed: int, stop: Event) -> None:
    """Change what is there, as one of several who do not know of each other."""
    random = Random(seed)
    with connected(url) as connection:
        connection.execute(f"set synchronous_commit = {random.choice(['on', 'off'])}")
        while not stop.is_set():
            with suppress(DeadlockDetected), connection.transaction(force_rollback=random.random() < 0.1):
                for _ in range(random.randint(1, 5)):
                    key, other = ((random.randint(1, 300), "b") for _ in range(2))
                    large = "L" * random.choice([0, 10, 5000])
                    actions: list[Action] = [
                        (INSERT, key, 0, large),
                        ("update item set n = n + 1 where (a, b) = (%s, %s)", key),
                        ("update item set large = %s where (a, b) = (%s, %s)", large, key),
                        ("update item set (a, b) = (%s, %s) where (a, b) = (%s, %s)", key, other),
                        ("delete from item where (a, b) = (%s, %s)", key),
                    ]
                    act(connection, random.choice(actions))


@pytest.mark.parametrize("readings", [3, pytest.param(60, marks=pytest.mark.faults)])
def test_a_table_that_many_change_all_the_time_is_loaded_and_followed(
    logical_url: str, tmp_path: Path, readings: int
) -> None:
    stop = Event()
    with connected(logical_url) as connection:
        connection.execute(TABLE.format(identity="full"))
        writers = [Thread(target=disturb, args=(logical_url, seed, stop)) for seed in range(4)]
        for writer in writers:
            writer.start()
        try:
            follower = Follower(connection, tmp_path)
            follower.load("item")
            # Of a reading during which all writers waited, nothing is told.
            told = sum(each.updates for _ in range(readings) for each in follower.follow().values())
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        follower.follow()
        follower.assert_same("item")
        assert told > readings
