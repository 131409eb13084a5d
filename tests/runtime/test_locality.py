"""What cannot be understood of a function's SQL is computed whole."""

from __future__ import annotations

import duckdb
import narwhals as nw
import pytest

from assay import clean_email, person_name
from assay.runtime.tracing.locality import is_local
from assay.runtime.tracing.parsing import columns_read


def of(*names: str) -> dict[str, str]:
    """Columns of one kind, so that the joins decide."""
    return dict.fromkeys(names, "BIGINT")


COLUMNS = {"b": of("id", "who", "amount", "kind"), "c": of("id", "who", "rate"), "r": of("kind", "rate")}
ROW = {"b": ()}
KEY = {"b": ("id",)}
BOTH = {"b": ("id",), "c": ("id",)}


def nested(depth: int) -> str:
    return f"select {'lower(' * depth}name{')' * depth} as name, id from input_rows"


def test_cleaning_looks_at_each_row_by_itself() -> None:
    columns = {"rows": of("id", "name", "email")}
    with duckdb.connect() as engine:
        engine.execute("create table input_rows (id bigint, name varchar, email varchar)")
        rows = nw.from_native(engine.table("input_rows"))
        text = rows.select("id", person_name("name"), clean_email("email")).to_native().sql_query()
    assert is_local(text, columns, {"rows": ("id",)})
    assert is_local(text, columns, {"rows": ()})


def test_an_expression_nested_deeper_than_can_be_followed_is_not_understood() -> None:
    columns = {"rows": of("id", "name", "other")}
    assert is_local(nested(5), columns, {"rows": ("id",)})
    assert columns_read(nested(5), [*columns["rows"]]) == {"id", "name"}
    assert not is_local(nested(2_000), columns, {"rows": ("id",)})
    assert columns_read(nested(2_000), [*columns["rows"]]) == {"id", "name", "other"}


@pytest.mark.parametrize(
    "text",
    [
        "select id, lower(who) as who from input_b where amount > 1 order by amount",
        "select * from input_b",
        "select t.* from input_b as t",
        "select id, unnest([who, kind]) as word from input_b",
        "select id, rate from input_b join input_r using (kind)",
        "select b.id, r.rate from input_b b left join input_r r on b.kind = r.kind",
        "select b.* from input_b b semi join input_r r on b.kind = r.kind",
        "select * from (select * from input_b b join input_r r on b.kind = r.kind)",
        "select id, who from input_b union all select id, kind from input_b order by who",
        "(select id, who from input_b) order by who",
        "with t as (select id, who from input_b), u as materialized (select * from T) select * from u",
        "select o.id, m.rate from input_b o, (select max(rate) as rate from input_r r where r.kind = o.kind) m",
    ],
)
def test_these_treat_each_row_by_itself(text: str) -> None:
    assert is_local(text, COLUMNS, ROW)
    assert is_local(text, COLUMNS, KEY)


@pytest.mark.parametrize(
    "text",
    [
        "select id, string_agg(who order by amount) as who from input_b group by id",
        "select id, who, count(*) as n from input_b group by id, rollup(who)",
        "select id, count(*) filter (where amount > 1) as n, histogram(amount) as h from input_b group by id",
        "select id, row_number() over (partition by id order by amount) as n from input_b",
        "select b.id, c.rate from input_b b left join input_c c on b.id = c.id and b.who = c.who",
        "select b.id from input_b b anti join input_c c on b.id = c.id",
    ],
)
def test_these_keep_the_keys_apart(text: str) -> None:
    assert is_local(text, COLUMNS, BOTH)
    assert not is_local(text, COLUMNS, {"b": (), "c": ()})


def test_rows_of_two_inputs_one_behind_the_other_belong_to_both() -> None:
    text = "select id, who from input_b union all select id, who from input_c"
    assert is_local(text, COLUMNS, BOTH)
    assert not is_local(text, COLUMNS, KEY)
    assert not is_local(text, COLUMNS, ROW)


@pytest.mark.parametrize(
    "text",
    [
        # What stands behind a table or in front of a query.
        "select * from input_b pivot (sum(amount) for kind in ('x', 'y') group by id)",
        "pivot input_b on kind using sum(amount) group by id",
        "select * from input_b unpivot (value for name in (amount))",
        "select * from input_b tablesample 10%",
        "select * from (select * from input_b) tablesample 10%",
        "select * from input_b using sample 10 rows",
        "select * from input_b at (version => 1)",
        "select * from main.input_b",
        "summarize input_b",
        "select * from (describe input_b)",
        "select * from range(5)",
        "with range as (select * from input_b) select * from range(5)",
        "select * from (values (1, 2)) v(id, who)",
        "select id, x from input_b, unnest([who]) u(x)",
        "select id, n from input_b b, lateral (select count(*) as n from input_b c where c.amount < b.amount)",
        # What is behind or around a whole query.
        "select id, who from input_b union all select id, who from input_b order by amount limit 5",
        "select * from (select id, who from input_b union all select id, who from input_b limit 5)",
        "select id, who from input_b union all select id, who from input_b offset 5",
        "select id, who from input_b union all by name select who, id from input_b",
        "select id, who from input_b union select id, who from input_b",
        "select id, who from input_b except select id, who from input_r",
        "select id, who from input_b intersect select id, who from input_b",
        "(select * from input_b) order by amount limit 5",
        "(select * from input_b) offset 5",
        "select * from input_b limit 5",
        "with recursive t as (select * from input_b) select * from t",
        # Rows of several keys, put together.
        "select distinct id, who from input_b",
        "select distinct on (who) id, who from input_b",
        "select id, count(*) as n from input_b group by all",
        "select id, count(*) as n from input_b group by rollup(id)",
        "select id, count(*) as n from input_b group by cube(id, who)",
        "select id, count(*) as n from input_b group by grouping sets ((id), ())",
        "select id, count(*) as n from input_b group by id having n > 1",
        "select max(id) as id, string_agg(who order by amount) as who from input_b",
        "select id, row_number() over () as n from input_b",
        "select id, lag(who) over w as before from input_b window w as (partition by id)",
        "select id, who from input_b qualify row_number() over (partition by who) = 1",
        # Queries within a value.
        "select id, (select max(amount) from input_b) as most from input_b",
        "select id, array(select amount from input_b) as all_of from input_b",
        "select id, who from input_b where amount = (select max(amount) from input_b)",
        "select id, who from input_b b where exists (from input_b c where c.amount < b.amount)",
        "select id, who from input_b where who in (table input_r)",
        "select id, max(who) as who from input_b b group by id, (select count(*) from input_b c where c.id < b.amount)",
        "select id from input_b b order by (select count(*) from input_b c where c.amount < b.amount)",
        "select b.id from input_b b join input_r r on (select true)",
        # Joins by more than a condition.
        "select b.id, r.rate from input_r r asof join input_b b on r.rate >= b.amount",
        "select b.id, r.rate from input_b b asof left join input_r r on b.amount >= r.rate",
        "select b.id, r.rate from input_b b positional join input_r r",
        "select b.id, r.rate from input_b b natural join input_r r",
        "select b.id, r.rate from input_b b natural left join input_r r",
        "select b.id, r.rate from input_b b right join input_r r on b.kind = r.kind",
        "select b.id, r.rate from input_b b full join input_r r on b.kind = r.kind",
        # Rows that come whatever was delivered.
        "select 1 as id",
        "select rate as id from input_r",
        "select id, who from input_b union all select rate, kind from input_r",
        "select r.rate as id, b.who from input_r r left join input_b b on r.rate = b.id",
        "select r.rate as id from input_r r anti join input_b b on r.rate = b.id",
        # Columns by their place.
        "select #1 as id, #2 as who from input_b",
    ],
)
def test_what_is_not_understood_is_not_local(text: str) -> None:
    assert not is_local(text, COLUMNS, ROW)
    assert not is_local(text, COLUMNS, KEY)


@pytest.mark.parametrize(
    "text",
    [
        "with t(n, id) as (select id, amount from input_b) select id, n from t",
        "select id, n from (select id, amount from input_b) t(n, id)",
        "select id, who from input_b as t(who, id)",
        "select id from (select who as ID, id from input_b)",
        "select id_1 as id from (select id, who as id, who as id_1 from input_b)",
        "select unnest({'id': who}), id from input_b",
        "select * from (select columns('who|amount'), id from input_b) union all select who, id, amount from input_b",
        "with INPUT_B as (select who as id, id as who from input_b) select id, who from input_b",
        "select t.s.id from input_b t join input_r s on true",
        "select * from (select r.kind, b.id from input_b b join input_r r using (kind)) t(id)",
        "select x.who as id from input_b b left join input_b x on b.id = x.id and b.who = x.id",
        "select b.who as id from input_b b left join input_b x on b.id = x.id and b.who = x.id",
        "select b.who as id from input_b b anti join input_b x on b.id = x.id and b.who = x.id",
        "select id_1 as id from (select * from (select id from input_b), (select rate as id from input_r))",
        "select b.id from input_b b join input_c c on b.who = c.who",
        "select id, who from input_b union all select rate, who from input_c",
    ],
)
def test_a_column_is_not_taken_for_the_key_where_another_has_its_name(text: str) -> None:
    assert not is_local(text, COLUMNS, BOTH)


def test_a_star_over_columns_that_using_equates_has_them_once() -> None:
    text = "select * from input_b join input_r using (kind) union all select who, amount, kind, rate, id from input_c"
    columns = {
        "b": of("who", "amount", "kind", "id"),
        "c": of("who", "amount", "kind", "rate", "id"),
        "r": of("kind", "rate"),
    }
    assert not is_local(text, columns, BOTH)
    swapped = text.replace("rate, id from", "id, rate from")
    assert is_local(swapped, columns, BOTH)


@pytest.mark.parametrize(
    "text",
    [
        "select x.id, v from input_x x join input_l l on x.id = l.id join input_y y on y.id = l.id",
        "with t as (from input_l) select x.id from input_x x join t on x.id = t.id join input_y y on y.id = t.id",
        "select t.id from (select id from input_l union all select v from input_l) t join input_x x on x.id = t.id",
    ],
)
def test_columns_are_equal_to_each_other_only_where_they_are_of_one_kind(text: str) -> None:
    """Texts that are joined through a number may differ: '1' and '01' are both 1."""
    anchors = {name: ("id",) for name in ("x", "y") if f"input_{name} " in text}
    for kind in ("VARCHAR", "BIGINT"):
        columns = {"x": {"id": "VARCHAR"}, "y": {"id": "VARCHAR", "v": "VARCHAR"}, "l": {"id": kind, "v": "VARCHAR"}}
        assert is_local(text, columns, anchors) is (kind == "VARCHAR"), kind


def test_of_what_kind_a_computed_column_is_is_not_known() -> None:
    text = "select t.k as id from (select {} as k from input_c) t join input_b b on b.id = t.k"
    assert is_local(text.format("id"), COLUMNS, KEY)
    assert not is_local(text.format("id + 1"), COLUMNS, KEY)


def called(name: str, arguments: int, over: str) -> str:
    values = ", ".join(["amount", "who", "id", "kind", *["amount"] * arguments][:arguments])
    return over.replace("?", f"{name}({values})")


def test_no_function_of_the_engine_that_looks_beyond_its_row_is_taken_for_local() -> None:
    with duckdb.connect() as engine:
        found = engine.sql(
            "select distinct function_name, len(parameters) as arguments, function_type = 'aggregate' "
            "from duckdb_functions() where function_name similar to '\\w+' "
            "and (function_type = 'aggregate' or stability <> 'CONSISTENT')"
        ).fetchall()
    assert len(found) > 100
    for name, arguments, aggregates in found:
        assert not is_local(called(name, arguments, "select id, ? as n from input_b"), COLUMNS, ROW), name
        if not aggregates:
            assert not is_local(called(name, arguments, "select id from input_b where ? = 1"), COLUMNS, ROW), name
            assert not is_local(called(name, arguments, "select id, ? as n from input_b group by id"), COLUMNS, KEY), (
                name
            )


@pytest.mark.parametrize(
    "value", ["current_date", "current_timestamp", "localtime", "current_user", "ago(who)", "age(who)"]
)
def test_the_clock_and_the_user_are_no_part_of_a_row(value: str) -> None:
    assert not is_local(f"select id from input_b where {value} is null", COLUMNS, ROW)


def test_columns_that_are_read_without_being_named_are_read() -> None:
    names = [*COLUMNS["b"]]
    every = frozenset(names)
    assert columns_read("select b.amount from input_b b natural join input_r r", names) == every
    assert columns_read("select #2 as n from input_b", names) == every
    assert columns_read("select x from input_b pivot (sum(amount) for kind in ('x'))", names) == every
    assert columns_read("select count(*) as n, id from input_b group by id", names) == {"id"}
