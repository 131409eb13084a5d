"""What cannot be understood of a function's SQL is computed whole."""

from __future__ import annotations

import duckdb
import narwhals as nw

from assay import clean_email, person_name
from assay.runtime.locality import columns_read, is_local


def nested(depth: int) -> str:
    return f"select {'lower(' * depth}name{')' * depth} as name, id from input_rows"


def test_cleaning_looks_at_each_row_by_itself() -> None:
    columns = {"rows": ["id", "name", "email"]}
    with duckdb.connect() as engine:
        engine.execute("create table input_rows (id bigint, name varchar, email varchar)")
        rows = nw.from_native(engine.table("input_rows"))
        text = rows.select("id", person_name("name"), clean_email("email")).to_native().sql_query()
    assert is_local(text, columns, {"rows": ("id",)})
    assert is_local(text, columns, {"rows": ()})


def test_an_expression_nested_deeper_than_can_be_followed_is_not_understood() -> None:
    columns = {"rows": ["id", "name", "other"]}
    assert is_local(nested(5), columns, {"rows": ("id",)})
    assert columns_read(nested(5), columns["rows"]) == {"id", "name"}
    assert not is_local(nested(2_000), columns, {"rows": ("id",)})
    assert columns_read(nested(2_000), columns["rows"]) == {"id", "name", "other"}
