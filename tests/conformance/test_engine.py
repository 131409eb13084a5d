"""An engine evaluates what a table's function describes: the same frames, SQL and files give the same rows on each."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import narwhals as nw
import pytest
from narwhals import col

from assay.model.data import DataFile
from assay.model.ports import Destination, Engine, Frame, Rejects, Session
from assay.model.quarantine import QUARANTINE
from assay.model.schema import Schema
from assay.model.source import POSITION, SOURCE_FILE
from assay.transform.sql import sql

PEOPLE = "select * from (values (1, 'Ann', 1.5), (2, null, null), (3, 'Cy', -2.0)) t(id, name, score)"
HOSTILE = ("it's", 'a "b"', "x;--", "ünï cödé", "select", "a.b", "with space", "%s {0} $1", "back\\slash")


def frame(session: Session, query: str, **inputs: Any) -> Frame:
    return session.resolve(sql(query, **inputs), "bronze_test")


def written(
    session: Session, root: Path, query: str, schema: Schema, partition_by: tuple[str, ...] = ()
) -> tuple[DataFile, ...]:
    to = Destination(str(root), 'bronze/it\'s a "test"/data', "1-1", schema, partition_by)
    return session.write(frame(session, query), to)


def scanned(session: Session, root: Path, files: Sequence[DataFile], schema: Schema) -> list[tuple[Any, ...]]:
    return sorted(session.fetch(session.scan(str(root), files, schema, "stored")), key=lambda row: str(row[0]).zfill(9))


def test_no_files_are_an_empty_frame_with_every_type(session: Session) -> None:
    kinds = ["BOOLEAN", "INTEGER", "BIGINT", "REAL", "DOUBLE", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "VARCHAR"]
    schema = Schema.of([(f"c{n}", kind) for n, kind in enumerate([*kinds, "BLOB", "UUID", "DECIMAL(20,4)"])])
    empty = session.scan("", (), schema, "nothing")
    assert session.fetch(empty) == []
    assert Schema.of(session.columns(empty)) == schema


def test_files_are_read_by_the_names_of_their_columns_as_the_types_asked_for(session: Session, tmp_path: Path) -> None:
    schema = Schema.of([("id", "BIGINT"), ("name", "VARCHAR"), ("code", "UUID")])
    files = written(session, tmp_path, "select 1 as id, 'a' as name, uuid() as code", schema)
    files += written(session, tmp_path, "select 2 as id, 'b' as name, null::uuid as code", schema)
    assert [row[:2] for row in scanned(session, tmp_path, files, schema)] == [(1, "a"), (2, "b")]
    part = Schema((schema["code"], schema["id"]))
    opened = session.scan(str(tmp_path), files, part, "part")
    assert session.columns(opened) == [("code", "UUID"), ("id", "BIGINT")]


def test_a_file_without_a_column_of_the_table_is_an_error_and_no_null(session: Session, tmp_path: Path) -> None:
    wide, narrow = Schema.of([("id", "BIGINT"), ("name", "VARCHAR")]), Schema.of([("id", "BIGINT")])
    files = written(session, tmp_path, "select 1 as id, 'a' as name", wide)
    files += written(session, tmp_path, "select 2 as id", narrow)
    with pytest.raises(Exception, match="name"):
        scanned(session, tmp_path, files, wide)


def test_the_folders_of_a_file_are_no_columns(session: Session, tmp_path: Path) -> None:
    place = tmp_path / "month=2024-12"
    place.mkdir()
    schema = Schema.of([("id", "BIGINT")])
    files = written(session, place, "select 1 as id", schema)
    assert session.columns(session.scan(str(place), files, schema, "part")) == [("id", "BIGINT")]


def test_a_cast_gives_the_columns_asked_for_in_their_order_and_types(session: Session) -> None:
    schema = Schema.of([("day", "DATE"), ("amount", "DECIMAL(12,2)"), ("id", "VARCHAR")])
    cast = session.cast(frame(session, "select 7 as id, 1.005 as amount, '2024-12-01' as day, 1 as other"), schema)
    assert Schema.of(session.columns(cast)) == schema
    assert session.fetch(cast) == [(dt.date(2024, 12, 1), Decimal("1.01"), "7")]


def test_a_value_that_does_not_fit_its_type_is_an_error_and_no_null(session: Session) -> None:
    cast = session.cast(frame(session, "select 'x1' as id"), Schema.of([("id", "BIGINT")]))
    with pytest.raises(Exception, match="x1"):
        session.fetch(cast)


def test_rows_that_a_cast_would_fail_for_are_told_apart_by_their_types(session: Session) -> None:
    given = frame(session, "from (values ('1', date '2024-12-01'), ('x1', null), (null, null)) t(id, day)")
    schemas = [("id", "BIGINT")], [("day", "TIMESTAMP"), ("id", "VARCHAR")], [("day", "BIGINT")]
    found = [session.fetch(session.unfit(given, Schema.of(pairs)).select("id")) for pairs in schemas]
    assert found == [[("x1",)], [], [("1",)]]


def test_a_held_frame_is_computed_once(session: Session) -> None:
    held = session.hold(frame(session, "select random() as chance from range(4)"))
    first = session.fetch(held)
    assert session.fetch(held.select("chance")) == first
    assert len(set(first)) == 4
    other = session.hold(frame(session, "select 1 as id"))
    assert (session.fetch(other), session.fetch(held)) == ([(1,)], first)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("(1, 'a'), (2, 'b')", "(2, 'b'), (1, 'a')", True),
        ("(1, 'a'), (2, 'b')", "(1, 'a')", False),
        ("(1, 'a')", "(1, 'a'), (2, 'b')", False),
        ("(1, 'a'), (1, 'a'), (2, 'b')", "(1, 'a'), (2, 'b'), (2, 'b')", False),
        ("(1, 'a'), (1, 'a')", "(1, 'a'), (1, 'a')", True),
        ("(1, null), (null, 'a')", "(null, 'a'), (1, null)", True),
        ("(1, null)", "(1, '')", False),
        ("(null, null)", "(null, null), (null, null)", False),
        ("(0.1::double + 0.2::double, 1)", "(0.3::double, 1)", True),
        ("(1.0000001::double, 1)", "(1.0::double, 1)", False),
        ("(1e-30::double, 1)", "(2e-30::double, 1)", False),
        ("(1e300::double, 1)", "(1e300::double * 1.0000001, 1)", False),
        ("('nan'::double, 1), ('inf'::double, 2)", "('inf'::double, 2), ('nan'::double, 1)", True),
        ("(null::double, 1)", "(0.0::double, 1)", False),
        ("(0.0::double, 1)", "(-0.0::double, 1)", True),
        ("(1.10::decimal(12,2), 1)", "(1.11::decimal(12,2), 1)", False),
        # A mean of money may lie on the edge of any number of digits.
        ("(12345.67125::double, 1)", "(12345.671250000001::double, 1)", True),
        ("(1.0::double, 2), (1.0000000000000002, 3)", "(1.0000000000000002::double, 2), (1.0, 3)", True),
        ("(1.0::double, 2e0), (1.0000000000000002, 3)", "(1.0000000000000002::double, 2e0), (1.0, 3)", True),
        ("(1.0::double, 2e0), (1.0, 3)", "(1.0000000000000002::double, 2e0), (1.0, 4)", False),
        ("(1.0::double, 1), (1.0, 1)", "(1.0000000000000002::double, 1)", False),
        ("(1.000000002::double, 1)", "(1.0::double, 1)", False),
        ("('inf'::double, 1)", "(1.0::double, 1)", False),
    ],
)
def test_two_frames_hold_the_same_rows_where_each_row_is_there_equally_often(
    session: Session, one: str, other: str, same: bool
) -> None:
    left, right = (frame(session, f"select * from (values {values}) t(a, b)") for values in (one, other))
    assert session.same_rows(left, right) is same
    assert session.same_rows(right, left) is same


def test_empty_frames_hold_the_same_rows_and_an_empty_one_not_those_of_another(session: Session) -> None:
    people, nobody = frame(session, PEOPLE), frame(session, f"{PEOPLE} where false")
    assert session.same_rows(nobody, nobody)
    assert not session.same_rows(people, nobody)


def test_the_rows_that_only_one_frame_has_are_told_as_often_as_they_are_more(session: Session) -> None:
    one = frame(session, "select * from (values (1, 'a', 0.5), (1, 'a', 0.5), (2, null, 1.0)) t(id, name, score)")
    other = frame(session, "select * from (values (1, 'a', 0.5), (3, null, null)) t(id, name, score)")
    assert sorted(session.fetch(session.only_in(one, other))) == [(1, "a", Decimal("0.5")), (2, None, Decimal("1.0"))]
    assert session.fetch(session.only_in(other, one)) == [(3, None, None)]
    assert session.fetch(session.only_in(one, one)) == []


def test_what_is_written_is_what_is_read_and_its_files_say_how_much_it_is(session: Session, tmp_path: Path) -> None:
    schema = Schema.of([("id", "BIGINT"), ("name", "VARCHAR"), ("score", "DOUBLE")])
    (file,) = written(session, tmp_path, PEOPLE, schema)
    assert scanned(session, tmp_path, [file], schema) == [(1, "Ann", 1.5), (2, None, None), (3, "Cy", -2.0)]
    assert (file.rows, file.partition, file.slice) == (3, {}, None)
    assert file.bytes == (tmp_path / file.path).stat().st_size
    assert Path(file.path).name.startswith("1-1")
    assert {name: (s.lower, s.upper, s.nulls, s.values) for name, s in file.stats.items()} == {
        "id": ("1", "3", 0, 3),
        "name": ("Ann", "Cy", 1, 3),
        "score": ("-2.0", "1.5", 1, 3),
    }


def test_writing_again_under_the_same_prefix_leaves_what_was_written(session: Session, tmp_path: Path) -> None:
    schema = Schema.of([("id", "BIGINT")])
    for partition_by in ((), ("id",)):
        files = [*written(session, tmp_path, "select 1 as id", schema, partition_by)]
        files += written(session, tmp_path, "select 1 as id", schema, partition_by)
        assert scanned(session, tmp_path, files, schema) == [(1,), (1,)]
        assert len({file.path for file in files}) == 2


@pytest.mark.parametrize("partition_by", [(), ("id",)])
def test_no_rows_are_no_files(session: Session, tmp_path: Path, partition_by: tuple[str, ...]) -> None:
    assert written(session, tmp_path, f"{PEOPLE} where false", Schema.of([("id", "BIGINT")]), partition_by) == ()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_each_partition_is_told_as_it_is_whatever_its_value(session: Session, tmp_path: Path) -> None:
    odd = ["", "a/b", "..", "x=y", "it's", 'q"q', "ö", "%2F", " a ", "NULL", "__HIVE_DEFAULT_PARTITION__", "a\nb", None]
    quoted = ["null" if value is None else f"'{value.replace(chr(39), chr(39) * 2)}'" for value in odd]
    values = ", ".join(f"({n}, {value}), ({n + 100}, {value})" for n, value in enumerate(quoted))
    schema = Schema.of([("id", "BIGINT"), ('the "part"', "VARCHAR")])
    query = f"""select id, part as "the ""part""\" from (values {values}) t(id, part)"""
    files = written(session, tmp_path, query, schema, ('the "part"',))
    assert sorted((file.partition['the "part"'] for file in files), key=repr) == sorted(odd, key=repr)
    for file in files:
        number = odd.index(file.partition['the "part"'])
        value = odd[number]
        assert scanned(session, tmp_path, [file], schema) == [(number, value), (number + 100, value)]
        assert file.rows == 2
        assert (tmp_path / file.path).resolve().is_relative_to(tmp_path.resolve() / "bronze")


def test_partitions_by_two_columns_are_told_by_each(session: Session, tmp_path: Path) -> None:
    schema = Schema.of([("month", "VARCHAR"), ("day", "DATE"), ("n", "BIGINT")])
    days = "(date '2024-01-31'), (date '2024-02-01'), (null)"
    query = f"select strftime(day, '%Y-%m') as month, day, 1 as n from (values {days}) t(day)"
    files = written(session, tmp_path, query, schema, ("month", "day"))
    found = {(file.partition["month"], file.partition["day"]) for file in files}
    assert found == {("2024-01", "2024-01-31"), ("2024-02", "2024-02-01"), (None, None)}


def test_columns_and_folders_may_have_any_name(session: Session, tmp_path: Path) -> None:
    root = tmp_path / 'a [1] *? {x,y} "q" it\'s %20 ö'
    schema = Schema.of([(name, "BIGINT") for name in HOSTILE])
    columns = ", ".join(f'{n} as "{name.replace(chr(34), chr(34) * 2)}"' for n, name in enumerate(HOSTILE))
    files = written(session, root, f"select {columns}", schema)
    stored = session.scan(str(root), files, schema, 'it\'s "stored"')
    assert stored.collect_schema().names() == list(HOSTILE)
    assert session.fetch(stored.select(*reversed(HOSTILE))) == [tuple(reversed(range(len(HOSTILE))))]
    assert session.fetch(session.hold(session.cast(stored, schema))) == [tuple(range(len(HOSTILE)))]
    assert set(files[0].stats) == set(HOSTILE)


def test_a_rejected_row_keeps_all_its_values_its_place_and_each_of_its_reasons(session: Session) -> None:
    given = frame(
        session,
        f"""select 1 as id, 'it''s' as "a ""b""\", null as "none", 7::bigint as {POSITION}, 'x.csv' as {SOURCE_FILE},
        true as r0, false as r1, true as r2, null::boolean as r3""",
    )
    names = {"r0": "not_null('id')", "r1": "kept", "r2": 'between "a" and ö', "r3": "unknown"}
    rejected = session.rejected_rows(given, Rejects(5, "silver_it's", names))
    assert [name for name, _ in session.columns(rejected)] == list(QUARANTINE.names)
    ((run, node, position, source_file, line, raw, encoding, row, reasons),) = session.fetch(rejected)
    assert (run, node, position, source_file) == (5, "silver_it's", 7, "x.csv")
    assert (line, raw, encoding) == (None, None, None)
    assert json.loads(row) == {"id": 1, 'a "b"': "it's", "none": None}
    assert json.loads(reasons) == ["not_null('id')", 'between "a" and ö']


def test_rejected_rows_without_a_place_are_kept_too(session: Session) -> None:
    rejected = session.rejected_rows(frame(session, "select 1 as id, true as bad"), Rejects(1, "n", {"bad": "is bad"}))
    assert session.fetch(rejected.select("position", "source_file", "row")) == [(None, None, '{"id":1}')]


def test_equal_computations_have_equal_definitions_in_any_session(engine: Engine) -> None:
    def define(factor: int = 2, constant: str = "0123456789abcdef") -> str:
        with engine.session() as session:
            people = session.scan("", (), Schema.of([("id", "BIGINT"), ("name", "VARCHAR")]), "people")
            unique = people.unique(subset=["name"], keep="first", order_by=["id"])
            return session.definition(unique.with_columns(twice=col("id") * factor, kind=nw.lit(constant)))

    assert define() == define()
    assert define(factor=3) != define()
    assert define(constant="0123456789abcdee") != define()


def test_two_columns_are_two_columns_however_random_their_names_look(session: Session) -> None:
    people = session.scan("", (), Schema.of([("Total_202411010000", "BIGINT"), ("Total_202412010000", "BIGINT")]), "p")
    first, second = (people.select(col(name).alias("total")) for name in people.collect_schema().names())
    assert session.definition(first) != session.definition(second)
