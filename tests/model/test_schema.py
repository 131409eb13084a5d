"""Types have one spelling, and a column keeps its number as long as it keeps its name and type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.model.errors import DeclarationError
from assay.model.schema import Column, Schema, canonical_type

PLAIN = (
    "BOOLEAN",
    "INTEGER",
    "BIGINT",
    "REAL",
    "DOUBLE",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "VARCHAR",
    "BLOB",
)

kinds = st.sampled_from([*PLAIN, "UUID", "DECIMAL(12,2)", "DECIMAL(12,3)"])
pairs = st.lists(st.tuples(st.sampled_from("abcdefgh"), kinds), unique_by=lambda pair: pair[0], max_size=8)


def ids(schema: Schema) -> dict[str, int]:
    return {column.name: column.field_id for column in schema}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((kind, kind) for kind in (*PLAIN, "UUID")),
        ("bigint", "BIGINT"),
        (" Bigint ", "BIGINT"),
        ("bool", "BOOLEAN"),
        ("int", "INTEGER"),
        ("SMALLINT", "INTEGER"),
        ("UINTEGER", "BIGINT"),
        ("UBIGINT", "DECIMAL(20,0)"),
        ("HUGEINT", "BIGINT"),
        ("float", "REAL"),
        ("text", "VARCHAR"),
        ("string", "VARCHAR"),
        ("timestamp with  time zone", "TIMESTAMPTZ"),
        ("TIMESTAMP_NS", "TIMESTAMP"),
        ("decimal(12, 2)", "DECIMAL(12,2)"),
        ("NUMERIC(12,2)", "DECIMAL(12,2)"),
        ("decimal ( 12 , 2 )", "DECIMAL(12,2)"),
        ("DECIMAL(5)", "DECIMAL(5,0)"),
        ("DECIMAL(38,38)", "DECIMAL(38,38)"),
        ("decimal", "DECIMAL(18,3)"),
    ],
)
def test_a_type_has_one_spelling(text: str, kind: str) -> None:
    assert canonical_type(text) == kind
    assert canonical_type(kind) == kind


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("VARCHR", "Did you mean 'VARCHAR'?"),
        ("big int", "Did you mean 'BIGINT'?"),
        ("INTEGER[]", "Known: BOOLEAN, INTEGER,"),
        ("STRUCT(a INTEGER)", "Known: BOOLEAN, INTEGER,"),
        ("", "Known: BOOLEAN, INTEGER,"),
        ("VARCHAR; drop table x", "Known: BOOLEAN, INTEGER,"),
        ("DECIMAL(39,2)", "a DECIMAL has 1 to 38 digits, and no more behind the point."),
        ("DECIMAL(2,3)", "a DECIMAL has 1 to 38 digits, and no more behind the point."),
        ("DECIMAL(0,0)", "a DECIMAL has 1 to 38 digits, and no more behind the point."),
    ],
)
def test_a_type_that_cannot_be_stored_is_refused_by_its_own_spelling(text: str, hint: str) -> None:
    with pytest.raises(DeclarationError) as error:
        canonical_type(text)
    assert str(error.value).startswith(repr(text))
    assert hint in str(error.value)


def test_columns_are_numbered_from_one_in_their_order() -> None:
    schema = Schema.of([("b", "text"), ("a", "decimal(9, 2)")])
    assert schema.columns == (Column("b", "VARCHAR", 1), Column("a", "DECIMAL(9,2)", 2))
    assert (schema.names, schema.highest_id, "a" in schema, "c" in schema) == (("b", "a"), 2, True, False)
    assert schema["a"].type == "DECIMAL(9,2)"
    with pytest.raises(KeyError):
        schema["c"]
    assert Schema.of([]).highest_id == 0


def test_a_column_left_out_takes_its_number_along() -> None:
    schema = Schema.of([("a", "DATE"), ("b", "DATE"), ("c", "DATE")])
    assert ids(schema.without("a", "zzz")) == {"b": 2, "c": 3}


@given(pairs)
def test_a_schema_survives_the_way_to_the_control_tables_and_back(columns: list[tuple[str, str]]) -> None:
    schema = Schema.of(columns).following(Schema.of(columns[1:]), 20)
    assert Schema.from_json(schema.to_json()) == schema


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([("b", "DATE"), ("a", "BIGINT")], {"b": 2, "a": 1}),
        ([("a", "BIGINT"), ("new", "DATE"), ("b", "DATE")], {"a": 1, "new": 7, "b": 2}),
        ([("a", "VARCHAR"), ("b", "DATE")], {"a": 7, "b": 2}),
        ([("b", "BIGINT"), ("a", "DATE")], {"b": 7, "a": 8}),
        ([("b", "DATE")], {"b": 2}),
    ],
    ids=["reordered", "a new one", "a new type", "types exchanged", "one fewer"],
)
def test_ids_follow_names_and_types(columns: list[tuple[str, str]], expected: dict[str, int]) -> None:
    earlier = Schema.of([("a", "BIGINT"), ("b", "DATE")])
    assert ids(Schema.of(columns).following(earlier, 7)) == expected


def test_a_first_version_is_numbered_from_one() -> None:
    earlier = Schema.of([("x", "DATE"), ("a", "DATE"), ("b", "DATE")]).without("x")
    assert ids(earlier.following(None, 1)) == {"a": 1, "b": 2}


@given(st.lists(pairs, min_size=2, max_size=6))
def test_over_all_versions_a_number_never_means_two_things(versions: list[list[tuple[str, str]]]) -> None:
    meaning: dict[int, tuple[str, str]] = {}
    schema, next_id = None, 1
    for columns in versions:
        before, schema = schema, Schema.of(columns).following(schema, next_id)
        next_id = max(schema.highest_id + 1, next_id)
        assert [(c.name, c.type) for c in schema] == columns
        assert len(set(ids(schema).values())) == len(columns)
        for column in schema:
            assert meaning.setdefault(column.field_id, (column.name, column.type)) == (column.name, column.type)
            if before and column.name in before and before[column.name].type == column.type:
                assert column.field_id == before[column.name].field_id
