"""What is declared in another form than is meant is refused where it stands, in one line that tells the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

import assay
from assay import (
    DeclarationError,
    Merge,
    Pipeline,
    Workflow,
    accepted,
    between,
    csv,
    dbt,
    groups,
    latest,
    lengths,
    not_null,
    parquet,
    postgres,
    relation,
    row_count,
    table,
)

# What is written here is wrong on purpose, which a type checker would tell as well.
wrong: Any = cast("Any", assay)
TYPES = {"id": "BIGINT"}
A = csv("a.csv", columns=TYPES)


def bronze_b(a: Any) -> Any:
    """A function without @table()."""
    return a


bronze_a = table()(bronze_b).named("bronze_a")
SHOP = Pipeline("shop", tables=[bronze_a], sources={"a": A})


def declared(tables: Any = (bronze_a,), sources: Any = None, layers: Any = ("bronze",)) -> Pipeline:
    return Pipeline("shop", tables=tables, sources={"a": A} if sources is None else sources, layers=layers)


def refusal(declare: Callable[[], Any]) -> str:
    with pytest.raises(DeclarationError) as error:
        declare()
    return str(error.value)


LETTERS = [
    (
        lambda: wrong.csv("a.csv", columns=TYPES, nulls="NA"),
        "csv('a.csv'): nulls= is a tuple: write nulls=('NA',), not 'NA'.",
    ),
    (lambda: accepted("s", "abc"), "accepted('s', 'abc'): write a list of values, as in accepted('s', ['a', 'b'])."),
    (lambda: declared(layers="bronze"), "Pipeline('shop'): layers= is a list: write layers=['bronze'], not 'bronze'."),
    (
        lambda: wrong.groups("id", count="n", lookup="a"),
        "groups(): lookup= is a tuple: write lookup=('a',), not 'a'.",
    ),
]
FLAGS = [
    (lambda: wrong.csv("a.csv", columns=TYPES, mirror="no"), "csv('a.csv'): mirror= is True or False, not 'no'."),
    (lambda: wrong.parquet("a", columns=TYPES, mirror=1), "parquet('a'): mirror= is True or False, not 1."),
    (lambda: wrong.parquet("a", columns=TYPES, repeats="no"), "parquet('a'): repeats= is True or False, not 'no'."),
    (lambda: wrong.relation("a", columns=TYPES, publish="no"), "relation('a'): publish= is True or False, not 'no'."),
    (
        lambda: wrong.postgres("env:A", tables={}, together="no"),
        "postgres('env:A'): together= is True or False, not 'no'.",
    ),
]
BOUNDS = [
    (lambda: between("id", 10, 1), "between(id, 10, 1): nothing lies between these; write the lower bound first."),
    (lambda: lengths("s", 2, 1), "lengths(s, 2, 1): nothing lies between these; write the lower bound first."),
    (
        lambda: row_count(min=2, max=1),
        "row_count(min=2, max=1): nothing lies between these; write the lower bound first.",
    ),
]
ONE_PATH = "reads one path, or a pattern with *, as in"
SOURCES = [
    (lambda: wrong.csv(3, columns=TYPES), f"csv() {ONE_PATH} csv('data/*.csv'); not 3."),
    (lambda: wrong.csv(["a", "b"], columns=TYPES), f"csv() {ONE_PATH} csv('data/*.csv'); not a list."),
    (lambda: wrong.parquet(["a"], columns=TYPES), f"parquet() {ONE_PATH} parquet('data/*.csv'); not a list."),
    (
        lambda: wrong.csv("a.csv", columns={"id": int}),
        "csv('a.csv'): the type of 'id' is a text, such as 'BIGINT' or 'VARCHAR', not int.",
    ),
    (
        lambda: wrong.relation("a", columns={"id": int}),
        "relation('a'): the type of 'id' is a text, such as 'BIGINT' or 'VARCHAR', not int.",
    ),
    (
        lambda: wrong.csv("a.csv", columns=["id", "s"]),
        "csv('a.csv'): columns= maps names to SQL types: write columns={'id': 'BIGINT'}, not a list.",
    ),
    (lambda: wrong.csv("a.csv", columns={3: "BIGINT"}), "csv('a.csv'): 3 is no name of a column."),
    (
        lambda: wrong.csv("a.csv", columns=TYPES, delimiter=None),
        "csv('a.csv'): delimiter and quote are one character each.",
    ),
    (
        lambda: csv("a.csv", columns=TYPES, quote=","),
        "csv('a.csv'): delimiter and quote are both ','; one of them must be another.",
    ),
    (lambda: wrong.csv("a.csv", columns=TYPES, encoding=None), "csv('a.csv'): None is no encoding that Python knows."),
    (lambda: wrong.relation("a", columns=TYPES, key=3), "relation('a'): key= is a list of texts, not 3."),
]
PLACE = "Pipeline('shop')"
NO_LIST = f"{PLACE}: tables= is a list: write tables=[bronze_order, ...], not"
CHECKS = "bronze_b: checks= is a list of checks such as not_null('column'), not"
TABLES = [
    (
        lambda: declared(sources=[A]),
        f"{PLACE}: sources= maps names to sources: write sources={{'orders': csv(...)}}, not a list.",
    ),
    (
        lambda: declared(sources={"a": "a.csv"}),
        f"{PLACE}: source 'a' is a csv(...), parquet(...), dataframe(...) or table of postgres(...), not 'a.csv'.",
    ),
    (lambda: declared(bronze_a), f"{NO_LIST} bronze_a."),
    (lambda: declared(ModuleType("shop_tables")), f"{NO_LIST} shop_tables."),
    (lambda: declared([bronze_b]), "bronze_b is a function without @table(): write @table(...) above it."),
    (lambda: declared(["bronze_a"]), "'bronze_a' is no table: write @table(...) above its function."),
    (lambda: wrong.table(key=3)(bronze_b), "bronze_b: key= is a list of texts, not 3."),
    (lambda: wrong.table(checks=not_null("id"))(bronze_b), f"{CHECKS} not_null(id) without brackets."),
    (lambda: wrong.table(checks=[not_null("id"), not_null])(bronze_b), f"{CHECKS} one with not_null in it."),
    (
        lambda: wrong.table(write=Merge)(bronze_b),
        "bronze_b: write= is Overwrite(), Append() or Merge(), not Merge.",
    ),
    (
        lambda: wrong.table(keep=latest)(bronze_b),
        "bronze_b: keep= is first_in_source() or latest('column'), not latest.",
    ),
]
NO_PHASES = "night: phases= maps names to lists: write phases={'load': [orders, ...]}."
STEPS = [
    (lambda: wrong.Workflow("night", phases=[SHOP]), NO_PHASES),
    (lambda: wrong.Workflow("night", phases={"load": SHOP}), NO_PHASES),
    (
        lambda: wrong.Workflow("night", phases={"load": [bronze_b]}),
        "night: bronze_b in phase 'load' is no pipeline, part, task or workflow; write @task() above a function.",
    ),
]


@pytest.mark.parametrize(("declare", "message"), [*LETTERS, *FLAGS, *BOUNDS, *SOURCES, *TABLES, *STEPS])
def test_what_is_of_another_form_is_told_where_it_stands(declare: Callable[[], Any], message: str) -> None:
    assert refusal(declare) == message


def test_a_type_that_there_is_not_is_told_with_its_source() -> None:
    message = refusal(lambda: csv("a.csv", columns={"id": "BIGIN"}))
    assert message.startswith("csv('a.csv'): 'BIGIN' is not a column type of assay. Did you mean 'BIGINT'?")


def test_lists_and_bounds_of_other_kinds_are_taken() -> None:
    assert csv("a.csv", columns=TYPES, nulls=cast("Any", ["NA"])).nulls == ("NA",)
    assert between("id", 1, 1).name == "between(id, 1, 1)"
    assert groups("id", count="n", lookup=("a",)).lookup == ("a",)
    assert list(Workflow("night", phases={"load": (SHOP,)}).phases) == ["load"]
    assert relation("a", columns=TYPES, key="id").key == ("id",)
    assert list(postgres("env:A", mode="full", tables={"a": relation("a", columns=TYPES)})) == ["a"]


def test_a_path_may_be_a_path() -> None:
    # A Path as it was went into the records of a run, which hold texts.
    assert csv(Path("data") / "a.csv", columns=TYPES) == csv("data/a.csv", columns=TYPES)
    assert parquet(Path("a.parquet"), columns=TYPES).path == "a.parquet"
    assert dbt(Path("transform")).folder == "transform"
    assert SHOP.reading({"a": cast("Any", Path("b.csv"))}).sources["a"].path == "b.csv"
