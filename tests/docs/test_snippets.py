"""Every block of every page runs, and prints what the page says it prints."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.deploy.servers import own_programs, plain
from tests.docs.pages import DOCS, PLACE, ROOT, Block, begins_with, blocks, commands, matches, settled, tried

PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "decisions" not in page.parts]
ROWS = {
    "tutorial/first-pipeline.md": ["000-28"],
    "tutorial/raw-data.md": ["003-12"],
    "tutorial/clean-and-refuse.md": ["003-12"],
    "tutorial/join-and-measure.md": ["003-12"],
    "tutorial/whole-pipeline.md": ["003-12"],
    "how-to/run.md": ["000-29"],
    "how-to/run-a-part.md": ["000-27"],
    "how-to/database.md": ["002-03"],
    "how-to/cdc.md": ["004-28"],
}
"""The rows of the feature table that a page proves."""
PANDAS = DOCS / "how-to/pandas.md"
AIRFLOW = DOCS / "how-to/airflow.md"
PREFECT = DOCS / "how-to/prefect.md"
ELSEWHERE = (PANDAS, AIRFLOW, PREFECT)
"""Tried by `make test-pandas`, `make test-airflow` and `make test-prefect`, where those are."""
DATABASES = {
    "backup.md": {"SHOP_URL": "postgres_url", "EMPTY_URL": "empty_url"},
    "database.md": {"SHOP_URL": "postgres_url"},
    "shared-lake.md": {"LAKES_URL": "postgres_url"},
    "sync.md": {"SHOP_URL": "postgres_url"},
    "cdc.md": {"SHOP_URL": "logical_url"},
    "dbt.md": {"SHOP_URL": "postgres_url"},
}
"""How-to pages that use databases, the variables in which they have the addresses, and what gives them one."""


def marked(page: Path) -> object:
    name = page.relative_to(DOCS).as_posix()
    marks = [pytest.mark.row(*ROWS[name])] if name in ROWS else []
    return pytest.param(page, id=name, marks=[*marks, pytest.mark.dbt] if page.name == "dbt.md" else marks)


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.mark.parametrize("page", [marked(page) for page in PAGES if page not in ELSEWHERE])
def test_every_block_of_the_page_runs_and_prints_what_is_shown(
    page: Path, room: Path, fill_pages: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, database in DATABASES.get(page.name, {}).items():
        url = request.getfixturevalue(database)
        monkeypatch.setenv(variable, plain(url))
        monkeypatch.setenv("PATH", f"{own_programs(url, room / 'programs')['PATH']}:{ROOT / 'build/dbt-env/bin'}")
    tried(page, room, fill=fill_pages)


def test_every_page_is_in_the_navigation() -> None:
    def pages(entry: object) -> list[str]:
        if isinstance(entry, dict):
            return [page for part in entry.values() for page in pages(part)]
        return [page for part in entry for page in pages(part)] if isinstance(entry, list) else [str(entry)]

    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    decisions = "decisions/index.md"
    assert sorted(pages(site["nav"])) == sorted([*(p.relative_to(DOCS).as_posix() for p in PAGES), decisions])
    listed = (DOCS / decisions).read_text()
    assert [p.name for p in sorted((DOCS / "decisions").glob("0*.md")) if f"({p.name})" not in listed] == []


def test_the_rows_belong_to_pages() -> None:
    assert set(ROWS) <= {page.relative_to(DOCS).as_posix() for page in PAGES}


def test_blocks_are_found_with_language_title_and_line() -> None:
    text = 'a\n```python title="x.py"\nx = 1\n\n```\n  ```console\n  $ ls\n  ```\n```\nplain\n```\n'
    assert blocks(text) == [
        Block("python", "x.py", "x = 1\n\n", 2),
        Block("console", "", "$ ls\n", 6),
        Block("", "", "plain\n", 9),
    ]


def test_commands_are_told_from_what_they_print() -> None:
    assert list(commands("$ a\none\n\ntwo\n$ b \\\n> c\n$ d\n")) == [("a", "one\n\ntwo\n"), ("b \\\nc", ""), ("d", "")]


def test_an_output_that_is_not_the_one_shown_is_found() -> None:
    assert matches("a ... c\n", "a b\nb c")
    assert matches("took 0.4 s", "took 12.1 s")
    assert matches(f"row                 encoding\n{PLACE}/in", f"row               encoding\n{PLACE}/in")
    assert not matches("row                 encoding\nin", "row               encoding\nin")
    assert not matches("a ... c\n", "a b\nb d")
    assert not matches("", "a")
    assert settled("t  seconds\n x  0.12\n\n 0.12") == settled("t  seconds\n x  7.01\n\n 0.12")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```console\n$ false\n```\n", "`false` ended with 1"),
        ("```console\n$ false\n$ true\n```\n", "ended with 1, which is not shown"),
        ("```console\n$ echo b\na\n```\n", "but it prints"),
        ("```ruby\nx\n```\n", "a block of ruby runs in no test"),
        ("```\nx\n```\n", "a block of no language runs in no test"),
        ("```pycon\n>>> 1 + 1\n3\n```\n", "Expected"),
        ("```python\nassert False, 'so'\n```\n", "so"),
        ("```toml\nx\n```\n", "Expected '='"),
    ],
)
def test_a_block_that_does_not_do_what_it_shows_fails(text: str, told: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(BaseException, match=re.escape(told)):  # pytest's own failures are no Exception
        tried(page, tmp_path)


def test_titles_make_files_and_a_page_may_begin_where_another_ends(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text('```python title="a/x.py"\nx = 1\n```\n```python\nfrom a.x import x\n```\n')
    (tmp_path / "two.md").write_text(
        'It begins where [one](one.md) ends.\n```python title="a/x.py, at its end"\ny = 2\n```\n'
        "```pycon\n>>> from a.x import x, y\n>>> x, y\n(1, 2)\n```\n"
        "```console\n$ cat a/x.py\nx = 1\ny = 2\n$ false\n$ echo $?\n1\n```\n"
    )
    assert begins_with(tmp_path / "two.md") == tmp_path / "one.md"
    assert (tried(tmp_path / "two.md", tmp_path) / "a/x.py").read_text() == "x = 1\ny = 2\n"
