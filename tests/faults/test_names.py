"""Names of every kind for columns, files, warehouses, layers and tables: each works exactly, or is refused clearly."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog

import assay
from assay.model.errors import AssayError, DeclarationError, SourceError, UsageError
from assay.settings import Settings
from tests.conformance.project import ROWS
from tests.faults.disk import Disk

SETTINGS = Settings(retries=0, rejected_share=1, workers=2)
COLUMNS = [
    *("id", '"', "'", 'a"b', 'a""b', "it's", "a b", "../x", "a/b", "a.b", "select", "order", "null", "table", "rowid"),
    *("\u00e9", "e\u0301", "\uff41", "\u0430", "\u202eabc", "a\nb", "a\tb", "a\x1b[2Jb", "x" * 300, "%", "a%20b"),
    *(
        "{",
        "}",
        "{0}",
        "[a]",
        "a;drop table x",
        "--",
        "/*",
        "\\",
        "$1",
        "?",
        ":x",
        "@",
        "日本",
        "😀",
        "#",
        "a,b",
        "a=b",
    ),
    *("input_orders", "b", "run", "line", "reasons", "held_1", "n", "c0", "key", "position", "created_at", "filename"),
    *("file_row_number", "\u200b", "\u0131", "=cmd()", "[red]", "count", "sum", "true", "row"),
]
NO_COLUMNS = ["", "  ", "a\0b", "\ud800", "_assay_position", "_assay_x", "_ASSAY_X"]
TWINS = [("a", "A"), ("K", "\u212a"), ("a", " a "), ("É", "é")]
FILES = [
    *("é.csv", "e\u0301.csv", "A.csv", "a.csv", "\u0430.csv", "a\nb.csv", "x\x1b[2J.csv", "y\u202evsc.csv"),
    *('"q".csv', "q'.csv", "=cmd().csv", "[red]x[bold].csv", "x" * 251 + ".csv", "$(touch z).csv", "a;b.csv"),
    *("-rf.csv", "select.csv", "%41.csv", " a  b .csv", "日本😀.csv", "?.csv", "*.csv"),
]
WAREHOUSES = [
    *("é", "e\u0301", "w\nx", "w\x1b[2J", "~", "*", "=x", "-w", "C:\\x", "select", "[red]", "a/../b", "x" * 255, "$x"),
]
NO_WAREHOUSES = [
    *("w" * 256, "", "  ", "a\0b", "\udcff", "/dev/null", "/proc/x", "postgresql://u:password@h/d"),
    *("s3://bucket/x", "file:///x", "data/a.csv"),
]
NO_NAMES = [
    *("", " ", "Orders", "../x", "a/b", "a.b", "a b", "a-b", "a'b", 'a"b', "é", "e\u0301", "\u0430"),
    *("a" * 64, "a\n", "a\x1b[2J", "\u202ea", "a\0", "=cmd()", "a;b", "a%b"),
]


def one_column(name: str, path: Path) -> assay.Pipeline:
    @assay.table(write=assay.Append())
    def bronze_row(rows: Any) -> Any:
        return rows

    return assay.Pipeline("p", tables=[bronze_row], sources={"rows": assay.csv(str(path), columns={name: "BIGINT"})})


def test_columns_of_every_name_go_through_all_layers_and_other_programs_find_them(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, range(len(COLUMNS)), ["x"] * len(COLUMNS)])
    last = COLUMNS[-1]

    @assay.table(write=assay.Append())
    def bronze_row(rows: Any) -> Any:
        return rows

    @assay.table(
        write=assay.Merge(),
        key=[name for name in COLUMNS[1:] if "." not in name],
        keep=assay.latest(last),
        checks=[*map(assay.not_null, COLUMNS), *(assay.unique(name) for name in COLUMNS if "." not in name)],
        partition_by=COLUMNS[2:5],
    )
    def silver_row(bronze_row: Any) -> Any:
        return bronze_row

    source = assay.csv(str(tmp_path / "a.csv"), columns=dict.fromkeys(COLUMNS, "BIGINT"))
    pipeline = assay.Pipeline("p", tables=[bronze_row, silver_row], sources={"rows": source})
    result = assay.run(pipeline, warehouse=tmp_path / "lake", settings=SETTINGS)
    assert result.ok, result.problems
    for table in ("bronze.row", "silver.row"):
        with assay.connect(tmp_path / "lake") as lake:
            found = lake.sql(f"from {table}")
            assert (found.columns, found.fetchall()) == (COLUMNS, [tuple(range(len(COLUMNS)))])
        catalog = SqlCatalog("assay", uri=f"sqlite:///{tmp_path / 'lake/catalog.db'}")
        stored = catalog.load_table(table).scan().to_arrow()
        assert stored.column_names[: len(COLUMNS)] == COLUMNS
        assert [stored[name].to_pylist() for name in COLUMNS] == [[n] for n in range(len(COLUMNS))]


@pytest.mark.parametrize("name", NO_COLUMNS)
def test_what_cannot_be_a_column_is_refused_where_it_is_declared(name: str) -> None:
    with pytest.raises(DeclarationError, match=r"csv\('a.csv'\): "):
        assay.csv("a.csv", columns={"id": "BIGINT", name: "BIGINT"})


@pytest.mark.parametrize("twins", TWINS)
def test_columns_that_differ_in_case_or_blanks_alone_are_refused(twins: tuple[str, str]) -> None:
    with pytest.raises(DeclarationError, match="is declared twice"):
        assay.csv("a.csv", columns=dict.fromkeys(twins, "BIGINT"))


def test_a_function_may_not_return_a_column_that_readers_would_not_see(tmp_path: Path) -> None:
    @assay.table()
    def silver_row(bronze_row: Any) -> Any:
        return assay.sql("select 1 as _assay_mine from b", b=bronze_row)

    (tmp_path / "a.csv").write_text("id\n1\n")
    bronze = one_column("id", tmp_path / "a.csv")
    pipeline = assay.Pipeline("p", tables=[*bronze.tables.values(), silver_row], sources=bronze.sources)
    with pytest.raises(DeclarationError, match="silver_row returns '_assay_mine', which begins as"):
        assay.run(pipeline, warehouse=tmp_path / "lake", settings=SETTINGS)


def test_files_of_every_name_are_slices_of_that_name(folder: Path, disk: Disk) -> None:
    (folder / "data/a.csv").unlink()
    for number, name in enumerate(FILES, 1):
        (folder / "data" / name).write_text(ROWS.replace("\n1,", f"\n{number}1,"))
    shown = disk.call("run", "orders", "--json", cwd=folder)
    assert shown.code == 0, shown.err
    with assay.connect(folder / "lake") as lake:
        assert {name for (name,) in lake.sql("select name from meta.slice").fetchall()} == set(FILES)
        assert lake.sql("select count(*) from bronze.order").fetchall() == [(3 * len(FILES),)]
    assert sorted(path.name for path in (folder / "data").iterdir()) == sorted(FILES)
    assert disk.call("run", "orders", "--json", cwd=folder).out.count('"unchanged"') >= 4


def test_a_file_whose_name_is_no_text_is_refused_by_name_and_nothing_is_changed(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder / "data") + b"/\xff\xfe.csv")).write_text(ROWS)
    source = assay.csv(str(folder / "data/*.csv"), columns={"id": "BIGINT"})
    pipeline = assay.Pipeline("p", tables=[*one_column("id", folder).tables.values()], sources={"rows": source})
    with pytest.raises(SourceError, match=r"udcff.udcfe\.csv': its name is no UTF-8"):
        assay.run(pipeline, warehouse=folder / "lake", settings=SETTINGS)
    assert not (folder / "lake").exists()


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_warehouses_of_every_name_are_folders_of_that_name_and_nothing_is_written_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, inside = tmp_path, tmp_path / "inside"
    inside.mkdir()
    (inside / "a.csv").write_text("id\n1\n")
    (inside / "a").mkdir()
    monkeypatch.chdir(inside)
    pipeline = one_column("id", inside / "a.csv")
    for name in WAREHOUSES:
        before = everything(outside)
        assert assay.run(pipeline, warehouse=name, settings=SETTINGS).ok, name
        with assay.connect(name) as lake:
            assert lake.sql("select id from bronze.row").fetchall() == [(1,)], name
        made = (inside / name).resolve().relative_to(outside)
        new = {path for path in everything(outside) - before if path != str(made) and not path.startswith(f"{made}/")}
        assert new == set(), name


@pytest.mark.parametrize("name", NO_WAREHOUSES)
def test_what_can_be_no_warehouse_is_refused_and_nothing_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folder)
    before = everything(folder)
    pipeline = one_column("id", folder / "data/a.csv")
    for command in (
        lambda: assay.run(pipeline, warehouse=name, settings=SETTINGS),
        lambda: assay.connect(name),
        lambda: assay.history(name),
        lambda: assay.undo(warehouse=name),
    ):
        with pytest.raises(UsageError) as caught:
            command()
        assert "password" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert everything(folder) == before


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_can_be_no_pipeline_layer_table_or_source_is_refused(name: str) -> None:
    node = assay.Table("bronze_row", lambda rows: rows, {"rows": "rows"})
    source = {"rows": assay.csv("a.csv", columns={"id": "BIGINT"})}
    for declare in (
        lambda: assay.Pipeline(name, tables=[node], sources=source),
        lambda: assay.Pipeline("p", tables=[node.named(f"bronze_{name}")], sources=source),
        lambda: assay.Pipeline("p", tables=[node], sources={**source, name: source["rows"]}),
        lambda: assay.Pipeline("p", tables=[node.named(f"{name}_row")], sources=source, layers=(name,)),
    ):
        with pytest.raises(AssayError) as caught:
            declare()
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("word", ["select", "table", "main", "pg", "all", "con", "lake"])
def test_reserved_words_are_names_of_layers_tables_pipelines_and_sources(tmp_path: Path, word: str) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    node = assay.Table(f"{word}_{word}", lambda rows: rows, {"rows": word})
    source = {word: assay.csv(str(tmp_path / "a.csv"), columns={"id": "BIGINT"})}
    pipeline = assay.Pipeline(word, tables=[node], sources=source, layers=(word,))
    assert assay.run(pipeline, warehouse=tmp_path / "lake", settings=SETTINGS).ok
    with assay.connect(tmp_path / "lake") as lake:
        assert lake.sql(f'select id from "{word}"."{word}"').fetchall() == [(1,)]


@pytest.mark.parametrize("word", ["meta", "temp", "system", "memory"])
def test_a_layer_that_sql_would_take_for_something_else_is_refused(word: str) -> None:
    node = assay.Table(f"{word}_row", lambda rows: rows, {"rows": "rows"})
    with pytest.raises(DeclarationError, match=f"'{word}' is no layer"):
        assay.Pipeline("p", tables=[node], sources={"rows": assay.csv("a", columns={"id": "INT"})}, layers=(word,))


@pytest.mark.parametrize("how", [{"key": "a.b"}, {"checks": [assay.unique("a.b")]}])
def test_rows_are_not_grouped_by_a_name_with_a_point(tmp_path: Path, how: Any) -> None:
    @assay.table(**how)
    def silver_row(bronze_row: Any) -> Any:
        return bronze_row

    (tmp_path / "a.csv").write_text("a.b\n1\n")
    bronze = one_column("a.b", tmp_path / "a.csv")
    pipeline = assay.Pipeline("p", tables=[*bronze.tables.values(), silver_row], sources=bronze.sources)
    with pytest.raises(DeclarationError, match=r"silver_row: key or unique\(\) names 'a\.b'; rename it"):
        assay.run(pipeline, warehouse=tmp_path / "lake", settings=SETTINGS)
