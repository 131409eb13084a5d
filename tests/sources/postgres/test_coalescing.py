"""Changes that were read and coalesced, applied to an older copy of a table, give the table."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest

from assay.model.errors import SourceError
from assay.sources.postgres import publication, replication, slot
from assay.sources.postgres.coalescing import coalesced
from assay.sources.postgres.pgoutput import Commit, decode
from tests.sources.postgres.following import COPY, PUBLICATION, SLOT, Follower, connected

NOTE = "create table note (id int primary key, text text, size numeric)"


def test_inserts_updates_and_deletes_come_to_the_last_row_of_each_key(follower: Follower) -> None:
    follower.connection.execute(f"{NOTE}; insert into note values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)")
    follower.load("note")
    follower.connection.execute("insert into note values (4, 'four', 4), (5, 'five', 5)")
    follower.connection.execute("update note set size = size * 10 where id in (1, 4)")
    follower.connection.execute("delete from note where id in (2, 5)")
    note = follower.follow()["note"]
    assert (note.inserts, note.updates, note.deletes) == (2, 2, 2)
    assert (note.truncated, note.upserted, note.removed) == (False, 2, 2)
    assert note.upserts.read_text() == '"1","one","10",\n"4","four","40",\n'
    assert note.removals.read_text() == '"2"\n"5"\n'
    assert follower.rows("note", COPY) == [("1", "one", "10"), ("3", "three", "3"), ("4", "four", "40")]
    assert follower.read().tables == ()


def test_every_type_comes_as_it_is(follower: Follower) -> None:
    kinds = {
        "numeric": ["NaN", "Infinity", "-0.00", "1e-20", "12345678901234567890.123456789012345678901"],
        "numeric(6,2)": ["1.50", "NaN"],
        "float8": ["NaN", "-Infinity", "-0", "1e-320", "0.1"],
        "real": ["0.1", "3.4028235e38"],
        "date": ["infinity", "-infinity", "0044-03-15 BC", "294276-12-31"],
        "timestamptz": ["infinity", "2024-02-29 12:00:00.123456+05:30", "0001-01-01 BC"],
        "timestamp": ["-infinity", "2024-02-29 23:59:59.999999"],
        "time": ["24:00:00", "00:00:00.000001"],
        "timetz": ["12:00+14"],
        "interval": ["-1 year 3 days -04:05:06.789", "1000 years"],
        "bytea": ["\\x", "\\x00ff22275c0a2c"],
        "text": ["", " ", "NULL", "\\N", "\\.", '"', '""', "a,b", "a\nb\r\nc", "\t", "Größe 🐘", "'"],
        "varchar(3)": ["", "abc"],
        "char(3)": ["a"],
        "boolean": ["t", "f"],
        "uuid": ["00000000-0000-0000-0000-000000000000"],
        "json": ['{"b" : 1, "a":  [1,2] , "a": null}', '""'],
        "jsonb": ['{"a": "\\"x\\n"}', "null", "1.10"],
        "integer[]": ["{}", "{NULL,1}", "{{1,2},{3,4}}", "[2:3]={1,2}"],
        "text[]": ['{"",NULL,"NULL","a,b","\\"","\\\\"}'],
        "int4range": ["empty", "[1,5)", "(,)"],
        "tstzrange": ["[2024-01-01 00:00:00+00,infinity]"],
        "int4multirange": ["{[1,3),[7,9)}"],
        "inet": ["::1/64"],
        "bit varying": ["", "0101"],
        "tsvector": ["'a':1 'b''c':2A"],
        "point": ["(1.5,-0)"],
        "money": ["-$1,234.50"],
        "pg_lsn": ["16/B374D848"],
        "mood": ["so, so", ""],
        "pair": ['(1,"a ""b"", c")', "(,)"],
        "small": ["7"],
    }
    follower.connection.execute("create type mood as enum ('so, so', ''); create type pair as (a int, b text)")
    follower.connection.execute("create domain small as int check (value < 10)")
    columns = [f'"{kind}" {kind}' for kind in kinds]
    follower.connection.execute(f"create table kind (id int primary key, {', '.join(columns)})")
    follower.load("kind")
    for n in range(13):
        values = [texts[n] if n < len(texts) else None for texts in kinds.values()]
        marks = [f"%s::{kind}" for kind in kinds]
        follower.connection.execute(f"insert into kind values ({n}, {', '.join(marks)})", values)
    assert follower.follow()["kind"].upserted == 13
    follower.assert_same("kind")
    assert ("12", *[None] * len(kinds)) in follower.rows("kind", COPY)


LARGE = "repeat(md5(random()::text), 40000)"
"""1.25 MB that do not shrink, and so stand outside of the row."""
LETTER = "create table letter (id int primary key, stamp int, body text, extra text)"


def letters(follower: Follower) -> None:
    """Two letters with large values that are not told again where they stay."""
    follower.connection.execute(
        f"{LETTER}; alter table letter alter body set storage external, alter extra set storage external"
    )
    follower.connection.execute(f"insert into letter select n, 0, {LARGE}, {LARGE} from generate_series(1, 2) n")


def test_a_large_value_that_no_change_touched_is_named_as_unchanged(follower: Follower) -> None:
    letters(follower)
    follower.load("letter")
    follower.connection.execute("update letter set stamp = 1 where id = 1; update letter set extra = '' where id = 1")
    letter = follower.follow()["letter"]
    assert letter.upserts.read_text() == '"1","1",,"","[\t""body""\t]"\n'
    follower.assert_same("letter")


def test_a_large_value_that_an_earlier_change_brought_is_kept(follower: Follower) -> None:
    letters(follower)
    follower.load("letter")
    follower.connection.execute(f"update letter set body = {LARGE} where id = 1; update letter set stamp = 2")
    letter = follower.follow()["letter"]
    unchanged = [line.rpartition(',"[')[2] for line in letter.upserts.read_text().replace("\t", "").splitlines()]
    assert unchanged == ['""extra""]"', '""body"",""extra""]"']
    follower.assert_same("letter")


def test_a_row_whose_key_changes_keeps_a_large_value_that_the_reading_knows(follower: Follower) -> None:
    letters(follower)
    follower.load("letter")
    follower.connection.execute(f"update letter set body = {LARGE}, extra = {LARGE} where id = 1")
    follower.connection.execute("update letter set id = 3 where id = 1; update letter set id = 1 where id = 3")
    letter = follower.follow()["letter"]
    assert (letter.updates, letter.upserted, letter.removals.read_text()) == (3, 1, '"3"\n')
    follower.assert_same("letter")


def test_a_row_whose_key_changes_keeps_a_large_value_that_a_full_identity_tells(follower: Follower) -> None:
    letters(follower)
    follower.connection.execute("alter table letter replica identity full")
    follower.load("letter")
    follower.connection.execute("update letter set id = id + 10; update letter set stamp = 1 where id = 11")
    letter = follower.follow()["letter"]
    assert (letter.upserted, letter.removals.read_text()) == (2, '"1"\n"2"\n')
    follower.assert_same("letter")


def test_a_row_whose_key_changes_and_whose_large_value_nobody_tells_must_be_loaded_again(follower: Follower) -> None:
    letters(follower)
    follower.connection.execute(NOTE)
    follower.load("letter", "note")
    follower.connection.execute("update letter set id = 3 where id = 1; insert into note values (1, 'one', 1)")
    reading = follower.read()
    assert [changes.table.name for changes in reading.tables] == ["note"]  # the others go on
    (lost,) = reading.unfollowed
    assert lost.table.name == "letter"
    assert str(lost) == (
        "public.letter: the key of a row has changed, and a large value of the row was not told again. Have all values "
        'told, and load the table in full:\nALTER TABLE "public"."letter" REPLICA IDENTITY FULL;'
    )


def test_a_key_may_be_a_large_value(follower: Follower) -> None:
    follower.connection.execute("create table long (name text primary key, n int)")
    follower.connection.execute("alter table long alter name set storage external")
    follower.connection.execute("insert into long values (repeat('x', 2500), 1)")
    follower.load("long")
    follower.connection.execute("update long set n = 2")
    follower.follow()
    follower.assert_same("long")


def test_rows_are_known_by_the_index_that_is_the_identity(follower: Follower) -> None:
    follower.connection.execute("create table part (id int primary key, kind text not null, n int not null, size int)")
    follower.connection.execute("create unique index code on part (n, kind); insert into part values (1, 'a', 1, 1)")
    follower.connection.execute("alter table part replica identity using index code")
    follower.load("part")
    assert follower.tables[0].key == ("n", "kind")
    follower.connection.execute("update part set id = 7; insert into part values (1, 'b', 1, 2)")
    follower.connection.execute("update part set kind = 'c' where kind = 'b'; delete from part where kind = 'a'")
    part = follower.follow()["part"]
    assert part.removals.read_text() == '"1","a"\n"1","b"\n'
    follower.assert_same("part")


def test_keys_that_are_equal_and_not_the_same_are_removed_before_they_are_put(follower: Follower) -> None:
    follower.connection.execute(
        "create table price (amount numeric primary key, n int); insert into price values (1.0, 1)"
    )
    follower.load("price")
    follower.connection.execute("update price set amount = 1.00")
    price = follower.follow()["price"]
    assert (price.upserts.read_text(), price.removals.read_text()) == ('"1.00","1",\n', '"1.0"\n')
    follower.assert_same("price")


def test_a_truncate_forgets_what_came_before_it(follower: Follower) -> None:
    follower.connection.execute(f"{NOTE}; insert into note values (1, 'one', 1); create table tag (id int primary key)")
    follower.connection.execute("insert into tag values (1)")
    follower.load("note", "tag")
    follower.connection.execute("insert into note values (2, 'two', 2); truncate note, tag")
    follower.connection.execute("insert into note values (3, 'three', 3)")
    changes = follower.follow()
    note, tag = changes["note"], changes["tag"]
    assert (note.truncated, note.inserts, note.upserted, note.removed) == (True, 2, 1, 0)
    assert (tag.truncated, tag.upserted, tag.removed) == (True, 0, 0)
    assert follower.rows("note", COPY) == [("3", "three", "3")]
    follower.assert_same("tag")


def test_what_is_rolled_back_is_never_told(follower: Follower) -> None:
    follower.connection.execute(f"{NOTE}; insert into note values (1, 'one', 1)")
    follower.load("note")
    with follower.connection.transaction(force_rollback=True):
        follower.connection.execute("truncate note; insert into note values (9, 'never', 9)")
    with follower.connection.transaction():
        follower.connection.execute("insert into note values (2, 'two', 2)")
        with follower.connection.transaction(force_rollback=True):
            follower.connection.execute("delete from note")
    note = follower.follow()["note"]
    assert (note.truncated, note.upserted, note.removed) == (False, 1, 0)
    follower.assert_same("note")


def test_columns_are_found_by_name_when_others_come_and_go(follower: Follower) -> None:
    follower.connection.execute("create table wide (gone int, a text, id int primary key, b text)")
    follower.load("wide")
    (wide,) = follower.tables
    follower.tables = (replace(wide, columns=("id", "b", "a")),)
    for change in ("", "alter table wide drop gone", "alter table wide add later int default 7"):
        follower.connection.execute(change or "select 1")
        follower.connection.execute("insert into wide (id, a, b) select count(*), 'a', 'b' from wide")
    (changes,) = follower.read().tables
    assert changes.upserts.read_text() == '"0","b","a",\n"1","b","a",\n"2","b","a",\n'


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ("alter table note rename text to words", "text"),
        ("alter table note drop text", "text"),
        ("alter table note drop text; alter table note add words text", "text"),
    ],
)
def test_a_column_that_is_missing_in_mid_stream_has_the_table_loaded_again(
    follower: Follower, change: str, missing: str
) -> None:
    follower.connection.execute(NOTE)
    follower.load("note")
    follower.connection.execute("insert into note values (1, 'one', 1)")
    follower.connection.execute(f"{change}; insert into note (id) values (2)")
    reading = follower.read()
    assert reading.tables == ()
    assert [str(lost) for lost in reading.unfollowed] == [
        f"public.note: changes without its column {missing!r} were read, which came, went or changed its name."
    ]


def test_another_key_in_mid_stream_has_the_table_loaded_again(follower: Follower) -> None:
    follower.connection.execute(NOTE)
    follower.load("note")
    follower.connection.execute(
        "alter table note drop constraint note_pkey; alter table note add primary key (id, text)"
    )
    follower.connection.execute("insert into note values (1, 'one', 1), (1, 'two', 1)")
    assert [str(lost) for lost in follower.read().unfollowed] == [
        "public.note: its rows are told apart by id, and some changes tell another key."
    ]


def test_a_table_is_known_by_its_number_where_another_has_taken_its_name(follower: Follower) -> None:
    follower.connection.execute(f"{NOTE}; insert into note values (1, 'one', 1)")
    follower.load("note")
    follower.connection.execute("alter table note rename to old")
    follower.connection.execute(
        f"{NOTE}; insert into note values (2, 'two', 2); insert into old values (3, 'three', 3)"
    )
    follower.tables = replication.followed(follower.connection, {("public", "note"): ("id", "text", "size")})
    assert publication.publish(follower.connection, PUBLICATION, follower.tables) == follower.tables
    assert follower.read().tables == ()  # of neither: the one is not asked for, the other was not published
    follower.connection.execute("insert into note values (4, 'four', 4)")
    (changes,) = follower.read().tables
    assert changes.upserts.read_text() == '"4","four","4",\n'


def test_a_reading_that_was_not_stored_is_read_again_and_one_that_was_is_passed_over(follower: Follower) -> None:
    follower.connection.execute(NOTE)
    follower.load("note")
    follower.connection.execute("insert into note values (1, 'one', 1)")
    first = follower.read()
    text = first.tables[0].upserts.read_text()
    second = follower.read()
    assert (second.tables[0].upserts.read_text(), second.lsn > first.lsn) == (text, True)
    follower.apply(second)  # and the process dies before it advances the slot
    follower.connection.execute("update note set size = size + 1")
    note = follower.follow()["note"]
    assert (note.inserts, note.updates) == (0, 1)
    assert follower.rows("note", COPY) == [("1", "one", "2")]


def test_a_commit_that_begins_where_another_ends_is_not_taken_for_it(follower: Follower, logical_url: str) -> None:
    follower.connection.execute(NOTE)
    follower.load("note")
    with connected(logical_url) as one, connected(logical_url) as two, ExitStack() as open_:
        for connection in (one, two):
            open_.enter_context(connection.transaction())
        one.execute("insert into note values (1, 'one', 1)")
        two.execute("insert into note values (2, 'two', 2)")
    messages = list(slot.changes(follower.connection, SLOT, PUBLICATION, upto=slot.end_of_log(follower.connection)))
    commits = [message for message in map(decode, messages) if isinstance(message, Commit)]
    # Told up to the end of the first, it is the second one that is new.
    for start, keys in ((follower.stored, ["2", "1"]), (commits[0].end_lsn, ["1"]), (commits[1].end_lsn, [])):
        reading = coalesced(messages, follower.tables, start=start, end=commits[1].end_lsn, folder=follower.folder)
        found = reading.tables[0].upserts.read_text().splitlines() if reading.tables else []
        assert sorted(line[1] for line in found) == sorted(keys)


def test_a_reading_that_ends_within_a_transaction_is_refused(follower: Follower) -> None:
    follower.connection.execute(NOTE)
    follower.load("note")
    follower.connection.execute("insert into note values (1, 'one', 1)")
    end = slot.end_of_log(follower.connection)
    messages = list(slot.changes(follower.connection, SLOT, PUBLICATION, upto=end))
    with pytest.raises(SourceError, match="end within a transaction"):
        coalesced(messages[:-1], follower.tables, start=0, end=end, folder=follower.folder)


def test_nothing_is_left_beside_the_files_of_the_changes(follower: Follower) -> None:
    follower.connection.execute(NOTE)
    follower.load("note")
    follower.connection.execute("insert into note values (1, 'one', 1)")
    (note,) = follower.read().tables
    assert sorted(follower.folder.iterdir()) == [note.removals, note.upserts]
