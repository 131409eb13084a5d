"""The publication has the tables that are followed, and it is told which of them were not followed all the time."""

from __future__ import annotations

import pytest

from assay.model.errors import SourceError
from assay.sources.postgres import publication, replication
from assay.sources.postgres.coalescing import Followed
from tests.sources.postgres.following import PUBLICATION, Follower, connected


@pytest.fixture
def tables(follower: Follower) -> tuple[Followed, ...]:
    follower.connection.execute(
        'create table a (id int primary key, x int); create table "B b" (id int primary key, x int);'
        "create table c (id int primary key, x int); alter table c add y int"
    )
    return replication.followed(follower.connection, {("public", name): ("id", "x") for name in ("a", "B b", "c")})


def published(follower: Follower) -> set[str]:
    query = "select tablename from pg_publication_tables where pubname = %s"
    return {name for (name,) in follower.connection.execute(query, [PUBLICATION])}


def publish(follower: Follower, *tables: Followed) -> list[str]:
    return [table.name for table in publication.publish(follower.connection, PUBLICATION, tables)]


def test_it_is_made_once_and_has_the_tables_that_are_asked_for(
    follower: Follower, tables: tuple[Followed, ...]
) -> None:
    a, b, c = tables
    assert publish(follower, a, b) == ["a", "B b"]
    assert publish(follower, a, b) == []
    assert publish(follower, b, c) == ["c"]
    assert published(follower) == {"B b", "c"}
    assert publish(follower, c) == []
    assert published(follower) == {"c"}


@pytest.mark.parametrize(
    ("made", "untold"),
    [
        ("for table a, c with (publish = 'insert, update')", ["a", "c"]),
        ("for table a, c (id)", ["c"]),
        ("for table a, c (id, x)", []),
        ("for table a, c where (id > 0)", ["c"]),
        ("for table a", ["c"]),
        ("for tables in schema public", []),
        ("for all tables", []),
        ("for all tables with (publish = 'insert')", ["a", "c"]),
    ],
)
def test_what_another_has_made_is_put_right(
    follower: Follower, tables: tuple[Followed, ...], made: str, untold: list[str]
) -> None:
    a, _, c = tables
    follower.connection.execute(f"create publication {PUBLICATION} {made}")
    assert publish(follower, a, c) == untold
    assert publish(follower, a, c) == []
    follower.connection.execute("select pg_create_logical_replication_slot('put_right', 'pgoutput')")
    follower.connection.execute("insert into c values (0, 1)")
    query = "select count(*) from pg_logical_slot_peek_binary_changes('put_right', null, null, {})"
    options = f"'proto_version', '1', 'publication_names', '{PUBLICATION}'"
    # Begin, relation, insert, commit.
    assert follower.connection.execute(query.format(options)).fetchone() == (4,)


def test_a_role_without_the_right_is_told_what_an_administrator_can_do(
    follower: Follower, tables: tuple[Followed, ...], logical_url: str
) -> None:
    follower.connection.execute("create role reader login")
    try:
        with connected(logical_url.replace("assay@", "reader@")) as reader:
            with pytest.raises(SourceError) as caught:
                publication.publish(reader, PUBLICATION, tables[:2])
            text = publication.setup(reader, PUBLICATION, tables[:2])
            assert str(caught.value) == (
                "The publication 'assay_test' cannot be made: permission denied for database "
                f"{follower.connection.info.dbname}. Have an administrator run:\n{text}"
            )
            assert text.splitlines()[:2] == [
                "ALTER SYSTEM SET wal_level = 'logical'; -- and restart the server",
                'ALTER ROLE "reader" REPLICATION;',
            ]
            for statement in text.splitlines():
                follower.connection.execute(statement)
            replication.check_server(reader)
            assert publication.publish(reader, PUBLICATION, tables[:2]) == ()
            assert publication.publish(reader, PUBLICATION, tables[:1]) == ()  # what is more does no harm
            with pytest.raises(SourceError, match='ALTER PUBLICATION "assay_test" SET TABLE'):
                publication.publish(reader, PUBLICATION, tables)
    finally:
        follower.connection.execute("drop role reader")


def test_a_table_is_added_when_nobody_changes_it_unseen(
    follower: Follower, tables: tuple[Followed, ...], logical_url: str
) -> None:
    publish(follower, tables[0])
    with connected(logical_url) as other, other.transaction():
        other.execute("insert into c values (1, 1)")  # before it is published: never told
        with pytest.raises(SourceError, match="Transactions that have written something are open"):
            publication.publish(follower.connection, PUBLICATION, tables, seconds=0.1)
