"""What `assay.sql` returns is evaluated over its own inputs and nothing else, on every engine."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import polars as pl
import pytest
from narwhals import col

from assay.model.errors import TableError
from assay.model.ports import Engine, Frame, Session
from assay.model.schema import Schema
from assay.transform.sql import sql

NUMBERS = "select * from (values (1), (2), (3)) t(id)"


@pytest.fixture
def numbers(session: Session) -> Frame:
    return session.resolve(sql(NUMBERS), "numbers")


def rows(session: Session, result: Any) -> list[tuple[Any, ...]]:
    return sorted(session.fetch(session.resolve(result, "silver_test")))


def test_sql_reads_frames_and_what_narwhals_made_of_them(session: Session, numbers: Frame) -> None:
    big = numbers.filter(col("id") > 1).with_columns(twice=col("id") * 2)
    result = sql("select n.id, b.twice from n left join b using (id)", n=numbers, b=big)
    assert sorted(session.fetch(session.resolve(result, "silver_test")), key=str) == [(1, None), (2, 4), (3, 6)]


def test_what_sql_returns_can_be_worked_on_with_narwhals(session: Session, numbers: Frame) -> None:
    frame = session.resolve(sql("select id, id * 10 as ten from n", n=numbers), "silver_test")
    assert session.fetch(frame.filter(col("ten") > 20).select("ten")) == [(30,)]
    assert session.columns(frame.select("ten")) == [("ten", "INTEGER")]


def test_sql_may_read_sql_which_may_read_sql(session: Session, numbers: Frame) -> None:
    inner = sql("select id + 1 as id from n", n=numbers)
    middle = sql("select id * 10 as id from i", i=inner)
    assert rows(session, sql("select i.id, m.id from m join i on m.id = i.id * 10", m=middle, i=inner)) == [
        (2, 20),
        (3, 30),
        (4, 40),
    ]


def test_sql_inside_sql_may_use_the_same_name_for_its_input(session: Session, numbers: Frame) -> None:
    inner = sql("select id + 1 as id from n", n=numbers)
    assert rows(session, sql("select id * 10 as id from n", n=inner)) == [(20,), (30,), (40,)]


def test_two_results_may_use_one_name_for_different_inputs(session: Session, numbers: Frame) -> None:
    low = sql("select id from part", part=numbers.filter(col("id") == 1))
    high = sql("select id from part", part=numbers.filter(col("id") == 3))
    both = sql("select 'low' as kind, id from low union all select 'high', id from high", low=low, high=high)
    assert rows(session, both) == [("high", 3), ("low", 1)]


def test_a_result_in_use_keeps_its_input_when_another_takes_its_name(session: Session, numbers: Frame) -> None:
    first = session.resolve(sql("select id from part", part=numbers.filter(col("id") == 1)), "silver_a")
    second = session.resolve(sql("select id from part", part=numbers.filter(col("id") == 3)), "silver_b")
    assert (session.fetch(first), session.fetch(second)) == ([(1,)], [(3,)])


def test_an_input_of_one_result_is_unknown_to_the_next(session: Session, numbers: Frame) -> None:
    assert rows(session, sql("select id from mine", mine=numbers)) == [(1,), (2,), (3,)]
    with pytest.raises(Exception, match="mine"):
        rows(session, sql("select id from mine"))


def test_an_input_of_one_session_is_unknown_to_the_next(engine: Engine) -> None:
    with engine.session() as first:
        assert rows(first, sql("select id from mine", mine=first.resolve(sql(NUMBERS), "x"))) == [(1,), (2,), (3,)]
        with engine.session() as second, pytest.raises(Exception, match="mine"):
            rows(second, sql("select id from mine"))


@pytest.mark.parametrize(
    "text",
    [
        "with big as (select id from n where id > 1) select max(id) as id from big",
        "-- the largest\nWITH big AS (select id from n) select max(id) as id from big",
        "/* with */ select max(id) as id from n -- and no more",
        "  select max(id) as id from n ;\n",
        "(select id from n where id > 2)",
        "select id from n order by id desc limit 1",
    ],
)
def test_sql_may_be_written_in_any_way(session: Session, numbers: Frame, text: str) -> None:
    assert rows(session, sql(text, n=numbers)) == [(3,)]
    assert rows(session, sql("select id + 1 from inner_", inner_=sql(text, n=numbers))) == [(4,)]


@pytest.mark.parametrize("name", ["secret", "arrow", "result", "self", "node"])
def test_a_variable_of_python_is_no_table(session: Session, name: str) -> None:
    secret = pl.DataFrame({"id": [1]})
    arrow = secret.to_arrow()
    with pytest.raises(Exception, match=name) as refused:
        rows(session, sql(f"select * from {name}"))
    # Not even looked for: an engine that does so finds the variables of its own functions first.
    assert "python" not in str(refused.value).lower()
    assert (len(secret), len(arrow)) == (1, 1)


@pytest.mark.parametrize("name", ["order", "Mixed", "ünï", "a_b", "values", "held_1"])
def test_an_input_may_have_any_name_of_python(session: Session, numbers: Frame, name: str) -> None:
    numbers = session.hold(numbers)
    assert rows(session, sql(f'select max(id) from "{name}"', **{name: numbers})) == [(3,)]


def test_columns_of_sql_may_have_any_name(session: Session) -> None:
    quoted = '"a ""b"""'
    frame = session.resolve(sql(f"""select 1 as "it's", 2 as {quoted}"""), "silver_test")
    assert frame.collect_schema().names() == ["it's", 'a "b"']
    assert rows(session, sql(f"""select {quoted}, "it's" from n""", n=frame)) == [(2, 1)]


def test_a_definition_of_sql_says_what_its_inputs_are_made_of(session: Session) -> None:
    def define(limit: int) -> str:
        people = session.scan("", (), Schema.of([("id", "BIGINT"), ("score", "DOUBLE")]), "people")
        some = people.filter(col("score") > limit)
        return session.definition(session.resolve(sql("select count(*) as n from p", p=some), "gold_test"))

    assert define(1) == define(1)
    assert define(1) != define(2)


@pytest.mark.parametrize("result", [None, 7, "select 1", pl.DataFrame({"id": [1]}), nw.from_native(pl.LazyFrame())])
def test_what_is_no_frame_of_the_engine_is_refused_by_the_name_of_its_table(session: Session, result: Any) -> None:
    with pytest.raises(TableError, match=r"silver_test returned .*a table returns a narwhals LazyFrame"):
        session.resolve(result, "silver_test")


def test_a_frame_that_was_collected_is_refused(session: Session, numbers: Frame) -> None:
    with pytest.raises(TableError, match="silver_test returned DataFrame"):
        session.resolve(numbers.collect(), "silver_test")


def test_sessions_side_by_side_do_not_see_each_others_held_frames(engine: Engine) -> None:
    with engine.session() as first, engine.session() as second:
        held = [
            session.hold(session.resolve(sql(f"select {n} as id"), "x")) for n, session in ((1, first), (2, second))
        ]
        assert [first.fetch(held[0]), second.fetch(held[1])] == [[(1,)], [(2,)]]
