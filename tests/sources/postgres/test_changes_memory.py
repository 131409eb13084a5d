"""A reading takes no more memory for many changes, or for large values, than for few."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.sources.postgres.following import PUBLICATION, SLOT, Follower

# What the system has counted as the peak of a process begins with that of its parent; what stands in /proc does not.
READER = """
import sys
from pathlib import Path
import psycopg
from assay.sources.postgres import replication, slot
from assay.sources.postgres.coalescing import coalesced
url, folder, name, publication, start = sys.argv[1:]
with psycopg.connect(url, autocommit=True) as connection:
    tables = replication.followed(connection, {("public", "note"): ("id", "text", "body")})
    end = slot.end_of_log(connection)
    messages = slot.changes(connection, name, publication, upto=end)
    reading = coalesced(messages, tables, start=int(start), end=end, folder=Path(folder))
(peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(reading.tables[0].upserted, peak.split()[1])
"""


@pytest.fixture
def loaded(follower: Follower) -> Follower:
    follower.connection.execute("create table note (id int primary key, text text, body text)")
    follower.connection.execute("alter table note alter body set storage external")
    follower.load("note")
    return follower


def read_alone(follower: Follower) -> tuple[int, float]:
    """Read what has changed in a process of its own; return the rows, and the megabytes that it took at most."""
    dsn = follower.connection.info.dsn
    arguments = [dsn, str(follower.folder), SLOT, PUBLICATION, str(follower.stored)]
    result = subprocess.run([sys.executable, "-c", READER, *arguments], capture_output=True, text=True, check=True)
    rows, kilobytes = map(int, result.stdout.split())
    return rows, kilobytes / 1024


@pytest.mark.faults
def test_one_transaction_of_200000_changes_takes_no_more_memory_than_one_of_20000(loaded: Follower) -> None:
    insert = "insert into note select n, 'a name', 'small' from generate_series({}, {}) n"
    loaded.connection.execute(insert.format(1, 20_000))
    few = read_alone(loaded)
    with loaded.connection.transaction():
        loaded.connection.execute(insert.format(20_001, 120_000))
        loaded.connection.execute("update note set text = text || id where id > 20000")
    many = read_alone(loaded)
    assert (few[0], many[0]) == (20_000, 120_000)
    assert many[1] < few[1] + 30, (few, many)
    loaded.follow()
    loaded.assert_same("note")


@pytest.mark.faults
def test_a_hundred_values_of_a_megabyte_are_not_held_at_once(loaded: Follower) -> None:
    insert = "insert into note select n, '', repeat(md5(n::text), 32768) from generate_series(1, 100) n"
    loaded.connection.execute(f"{insert}; update note set text = 'changed'")
    rows, megabytes = read_alone(loaded)
    assert (rows, megabytes < 100) == (100, True), megabytes
    assert loaded.follow()["note"].upserts.stat().st_size > 100 << 20
    loaded.assert_same("note")
