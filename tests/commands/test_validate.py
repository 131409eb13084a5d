"""Validating: everything holds on good data, and each thing that is looked at is seen to fail once."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from narwhals import col

import assay
from assay import DeclarationError, Overwrite, Pipeline, free
from assay.cli.app import assay as command
from assay.model.errors import WarehouseError
from assay.model.table import Node, Table
from assay.model.validation import Validation
from assay.settings import Settings
from pipelines.retail import COLUMNS, prod, raw, retail, staging
from pipelines.retail.generate import SCHEMAS, generate

AS_OF = dt.date(2025, 1, 5)
SETTINGS = Settings(workers=2, retries=0)
Failing = set[tuple[str, str]]

_TWICE = "select *, 1 as extra from g union all by name select * from g"
# Of one row a key, so that joins over what is double do not grow beyond measure.
_ONE = "with g as (select distinct on ({}) * from t) "
PLANTED = {
    **{f"raw_{name}": "select *, 1 as extra from t limit (select count(*) - 1 from t)" for name in COLUMNS},
    "staging_customers": f"""{_ONE.format("customer_id")} {_TWICE} union all by name
        select * replace (null as customer_id, null as customer_name, null as email, null as signup_date) from g
        union all by name select * replace ('x' as email, date '2099-01-01' as signup_date) from g""",
    "staging_products": f"""{_ONE.format("product_id")} {_TWICE} union all by name
        select * replace (null as product_id, null as product_name, null as category, null as price, null as cost)
        from g union all by name select * replace (-1 as price, -1 as cost) from g""",
    "staging_orders": f"""{_ONE.format("order_id")} {_TWICE} union all by name
        select * replace (null as order_id, null as customer_id, null as order_date, null as status,
        null as total_amount) from g union all by name select * replace ('nobody' as customer_id,
        date '1899-01-01' as order_date, 'lost' as status, -1 as total_amount) from g""",
    "staging_order_items": f"""{_ONE.format("order_item_id")} {_TWICE} union all by name
        select * replace (null as order_item_id, null as order_id, null as product_id, null as quantity,
        null as unit_price) from g union all by name select * replace ('x' as order_id, 'x' as product_id,
        0 as quantity, -1 as unit_price, 150 as discount_percent) from g""",
    "prod_daily_sales": """with g as (
        select * replace (total_items + 1 as total_items, -total_revenue as total_revenue), 1 as extra from t
        ) from g union all by name from t""",
    **{
        f"prod_{name}": f"with g as (from t) {_TWICE}"
        for name in ("monthly_sales", "daily_category_metrics", "daily_product_metrics")
    },
    "prod_customer_metrics": f"""with g as (from t) {_TWICE} union all by name
        select * replace (null as customer_id, date '1999-01-01' as last_order_date) from g""",
}
"""What is done to the result of each function."""


def planted(node: Node) -> Node:
    """A table without its checks that returns something else; a view as it is, whatever comes of it."""

    @wraps(node.function)
    def function(*frames: Any, **named: Any) -> Any:
        return assay.sql(PLANTED[node.name], t=node.function(*frames, **named))

    anything = free("faults are planted")
    if not isinstance(node, Table):
        return replace(node, rows=anything)
    return replace(node, function=function, rows=anything, checks=(), key=(), keep=None, write=Overwrite())


def sources(folder: Path) -> dict[str, Path]:
    return {name: folder / "raw_data" / name / "*" / "data.parquet" for name in COLUMNS}


def run(folder: Path, pipeline: Pipeline = retail, **how: Any) -> None:
    lake = how.pop("lake", folder / "lake")
    assay.run(pipeline, sources=sources(folder / "in"), warehouse=lake, as_of=AS_OF, settings=SETTINGS, **how)


def failing(found: Validation) -> Failing:
    return {(finding.about, finding.what) for finding in found.findings if finding.state != "holds"}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    generate(folder / "in", days=3)
    run(folder)
    return folder


@pytest.mark.row("003-07")
def test_everything_holds_on_good_data(good: Path) -> None:
    found = assay.validate(retail, warehouse=good / "lake")
    assert [finding for finding in found.findings if finding.state != "holds"] == []
    parts = [finding.part for finding in found.findings]
    assert {part: parts.count(part) for part in parts} == {
        "schemas": 13,
        "tables": 39,
        "row flow": 35,
        "quality": 42,
        "rules": 10,
        "metadata": 8,
    }


def by_other_functions(good: Path, folder: Path) -> Failing:
    nodes = [node for module in (raw, staging, prod) for node in vars(module).values() if isinstance(node, Node)]
    tables = [planted(node) for node in nodes]
    other = Pipeline("other", tables=tables, sources=retail.sources, layers=retail.layers)
    run(good, other, lake=folder / "lake")
    return failing(assay.validate(retail, warehouse=folder / "lake"))


def by_time_and_hand(good: Path, folder: Path) -> Failing:
    shutil.copytree(good / "in", folder / "in")
    run(folder)
    for table in COLUMNS:
        days = folder / "in" / "raw_data" / table
        shutil.copytree(days / "2025-01-02", days / "2025-01-04")
    run(folder, layers=("raw",), allow_duplicates=True)
    run(folder, retail.allowing(0.0))
    with sqlite3.connect(folder / "lake" / "catalog.db") as catalog:
        catalog.execute("update assay_file set row_count = row_count + 1")
        catalog.execute("delete from assay_ledger")
    catalog.close()
    return failing(assay.validate(retail, warehouse=folder / "lake"))


def by_lost_files(good: Path, folder: Path) -> Failing:
    shutil.copytree(good / "lake", folder / "lake")
    next((folder / "lake" / "prod").rglob("*.parquet")).unlink()
    return failing(assay.validate(retail, warehouse=folder / "lake"))


def by_no_rows(_: Path, folder: Path) -> Failing:
    for table, schema in SCHEMAS.items():
        path = folder / "in" / "raw_data" / table / "2025-01-01" / "data.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table([pa.array([], kind.type) for kind in schema], schema=schema), path)
    run(folder)
    found = assay.validate(retail, warehouse=folder / "lake")
    assert found.ok
    assert {finding.state for finding in found.findings} == {"holds", "warns"}
    return failing(found)


def by_another_pipeline_alone(_: Path, folder: Path) -> Failing:
    @assay.table()
    def bronze_word(words: Any) -> Any:
        return words

    (folder / "words.csv").write_text("word\na\n")
    words = assay.csv(str(folder / "words.csv"), columns={"word": "VARCHAR"})
    assay.run(Pipeline("words", tables=[bronze_word], sources={"words": words}), warehouse=folder / "lake")
    return failing(assay.validate(retail, warehouse=folder / "lake"))


WAYS = (by_other_functions, by_time_and_hand, by_lost_files, by_no_rows, by_another_pipeline_alone)


@pytest.fixture(scope="module")
def seen(good: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Failing]:
    return {way.__name__: way(good, tmp_path_factory.mktemp(way.__name__)) for way in WAYS}


@pytest.mark.faults
@pytest.mark.row("003-07")
def test_each_thing_that_is_looked_at_is_seen_to_fail(good: Path, seen: dict[str, Failing]) -> None:
    every = {(each.about, each.what) for each in assay.validate(retail, warehouse=good / "lake").findings}
    assert every - set().union(*seen.values()) == set()


@pytest.mark.faults
def test_a_table_that_is_not_published_is_told_once(seen: dict[str, Failing]) -> None:
    found = {about for about, what in seen["by_another_pipeline_alone"] if what == "is published"}
    assert found == set(retail.tables)


@pytest.mark.faults
def test_files_that_are_gone_are_told_and_what_is_in_them_is_not_judged(seen: dict[str, Failing]) -> None:
    assert seen["by_lost_files"] == {("retail", "has every file that it refers to")}


def told(*words: str) -> Iterator[Any]:
    result = CliRunner().invoke(command, ["validate", *words])
    yield result.exit_code
    yield result.output


@pytest.mark.row("003-07")
def test_the_command_says_what_holds_and_ends_with_1_where_something_fails(good: Path, tmp_path: Path) -> None:
    code, printed = told("pipelines.retail:retail", "--warehouse", str(good / "lake"))
    assert (code, printed.splitlines()[-1]) == (0, "147 hold, 0 warn, 0 fail")
    shutil.copytree(good / "lake", tmp_path / "lake")
    next((tmp_path / "lake" / "prod").rglob("*.parquet")).unlink()
    code, printed = told("pipelines.retail:retail", "--warehouse", str(tmp_path / "lake"), "--json")
    assert (code, json.loads(printed)["ok"], json.loads(printed)["counts"]["fails"]) == (1, False, 1)


def test_two_checks_of_one_name_are_both_judged(tmp_path: Path) -> None:
    checks = [assay.fails_when("odd", col("n") == 1), assay.fails_when("odd", col("n") > 0)]

    @assay.table(checks=checks)
    def bronze_number(numbers: Any) -> Any:
        return numbers

    (tmp_path / "numbers.csv").write_text("n\n1\n2\n3\n")
    numbers = assay.csv(str(tmp_path / "numbers.csv"), columns={"n": "BIGINT"})
    pipeline = Pipeline("numbers", tables=[bronze_number], sources={"numbers": numbers})
    run = assay.run(pipeline, warehouse=tmp_path / "lake")
    assert [(v.check, v.broken) for v in run.tables["bronze_number"].verdicts] == [("odd", 1), ("odd", 3)]
    found = [each for each in assay.validate(pipeline, warehouse=tmp_path / "lake").findings if each.part == "quality"]
    assert [(each.what, each.detail) for each in found] == [("odd", "broken by 1 case"), ("odd", "broken by 3 cases")]


def test_what_is_published_meanwhile_is_not_seen(tmp_path: Path) -> None:
    """Rules, ledgers and rows are of the one state that stood when it began."""
    meanwhile: list[Callable[[], Any]] = []

    @assay.table()
    def bronze_number(numbers: Any) -> Any:
        if meanwhile:
            thread = threading.Thread(target=meanwhile.pop())
            thread.start()
            thread.join()
        return numbers

    def deliver(n: int) -> assay.RunResult:
        (tmp_path / f"{n}.csv").write_text(f"n\n{n}\n")
        return assay.run(pipeline, warehouse=tmp_path / "lake")

    numbers = assay.csv(str(tmp_path / "*.csv"), columns={"n": "BIGINT"})
    rule = assay.rule("numbers are small", "select n from bronze.number where n > 8")
    pipeline = Pipeline("numbers", tables=[bronze_number], sources={"numbers": numbers}, rules=[rule])
    assert deliver(1).state == "published"
    meanwhile.append(lambda: deliver(9))
    found = assay.validate(pipeline, warehouse=tmp_path / "lake")
    assert (meanwhile, found.ok) == ([], True), found.findings
    assert failing(assay.validate(pipeline, warehouse=tmp_path / "lake")) == {("numbers", rule.name)}


def test_a_warehouse_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError):
        assay.validate(retail, warehouse=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("name", "query"), [("", "select 1"), ("one is two", " ")])
def test_a_rule_has_a_name_and_a_query(name: str, query: str) -> None:
    with pytest.raises(DeclarationError, match="needs a name that says what holds"):
        assay.rule(name, query)


def test_a_rule_that_cannot_be_judged_fails_and_one_that_is_broken_shows_rows(good: Path) -> None:
    numbers = "select n from range(9) t(n) where n > 2"
    rules = [assay.rule("a", "select * from prod.nothing"), assay.rule("b", numbers)]
    rules += [assay.rule("c", numbers, warns=True)]
    tables = list(retail.nodes.values())
    ruled = Pipeline("retail", tables=tables, sources=retail.sources, layers=retail.layers, rules=rules)
    found = [each for each in assay.validate(ruled, warehouse=good / "lake").findings if each.part == "rules"]
    assert [(each.what, each.state) for each in found] == [("a", "fails"), ("b", "fails"), ("c", "warns")]
    assert found[0].detail.startswith("it cannot be judged: Catalog Error")
    assert found[1].detail == "not for 3; 4; 5; ..."
