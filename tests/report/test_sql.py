"""The place for SQL: what it shows, what it refuses, and what bounds a query."""

from __future__ import annotations

import csv
import http.client
import io
import re
import socket
import threading
import time
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.conformance.processes import SECONDS, call
from tests.conformance.project import make
from tests.report.served import Served, ask_in_vain, project_with_runs, served
from tests.report.test_pages import cells

ENDLESS = "select count(*) from range(9000000000000) t(i) where i % 7 = 1"


def error(page: str) -> str:
    """What the page says is wrong."""
    found = re.search(r'<pre class="problem" id="error" role="alert">(.*?)</pre>', page, re.DOTALL)
    return unescape(found[1]) if found else ""


@pytest.mark.row("000-24")
def test_a_query_gives_its_rows_and_stands_in_the_field(site: Served) -> None:
    page = site.sql("select ordered_on, amount, null as nothing\nfrom gold.revenue order by 1 limit 2")
    assert page.code == 200
    assert cells(page.text)[-2:] == [["2024-11-01", "10.30", "null"], ["2024-11-02", "5.00", "null"]]
    assert "select ordered_on, amount, null as nothing\nfrom gold.revenue order by 1 limit 2</textarea>" in page.text


def test_the_tables_and_their_columns_stand_beside_it(site: Served) -> None:
    page = site.get("/sql").text
    assert re.findall(r"<summary><code>(.*?)</code>", page) == ["bronze.order", "silver.order", "gold.revenue"]
    assert page.count('data-insert="amount"') == 3


@pytest.mark.row("000-24")
def test_what_is_wrong_with_a_query_is_told_by_the_field(site: Served) -> None:
    page = site.sql("select * from silver.ordr")
    assert page.code == 400
    assert "Table with name ordr does not exist!" in error(page.text)
    assert 'aria-describedby="error"' in page.text


@pytest.mark.parametrize(
    "query",
    [
        "delete from silver.order",
        "insert into meta.run select * from meta.run",
        "create table mine as select 1",
        "drop view silver.order",
        "set memory_limit = '99GB'",
        "attach 'other.db'",
        "install httpfs",
        "copy silver.order to 'out.csv'",
        "explain analyze copy (select 1) to 'out.csv'",
        "pragma database_list",
        "call enable_logging()",
        "export database 'out'",
    ],
)
def test_what_is_no_query_is_refused(site: Served, query: str) -> None:
    page = site.sql(query)
    assert (page.code, "is refused: a query here reads" in error(page.text)) == (400, True)


def test_no_query_writes_to_a_file_that_it_may_read(site: Served, project: Path) -> None:
    kept = {path: path.read_bytes() for path in (project / "lake").rglob("*.parquet")}
    for path in kept:
        for query in (
            f"copy (select 1) to '{path}' (use_tmp_file false)",
            f"explain analyze copy (select 1) to '{path}' (use_tmp_file false)",
            f"/**/ explain analyze copy (select 1) to '{path}' (use_tmp_file false)",
        ):
            assert site.sql(query).code == 400
    assert {path: path.read_bytes() for path in kept} == kept
    page = site.sql("with gone as (delete from meta.run returning *) select * from gone")
    assert "read-only" in error(page.text)


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_text('{project}/assay.toml')",
        "select * from read_blob('{project}/lake/catalog.db')",
        "select * from read_csv('{project}/data/*.csv')",
        "select * from glob('{project}/*')",
        "select * from sniff_csv('{project}/data/second.csv')",
        "select * from read_csv('http://127.0.0.1:{port}/assets/page.css')",
        "select * from duckdb_secrets()",
    ],
)
@pytest.mark.row("000-24")
def test_no_query_reaches_a_file_or_address_beyond_the_tables(site: Served, project: Path, query: str) -> None:
    page = site.sql(query.format(project=project, port=site.port))
    assert (page.code, "disabled by configuration" in error(page.text)) == (400, True)


@pytest.mark.parametrize(("query", "words"), [("", "The query is empty"), ("select 1; select 2", "2 statements")])
def test_one_statement_is_asked_for(site: Served, query: str, words: str) -> None:
    assert words in error(site.sql(query).text)


@pytest.mark.parametrize("query", ["from silver.order", "describe silver.order", "values (1)", "explain select 1"])
def test_what_reads_is_answered(site: Served, query: str) -> None:
    assert site.sql(query).code == 200


def test_a_query_may_be_of_a_past_state(site: Served) -> None:
    count = "select count(*) as n from silver.order"
    assert [cells(site.sql(count, at).text)[-1] for at in ("1", "2", "")] == [["3"], ["5"], ["5"]]
    assert "Run 3 has published nothing here" in error(site.sql(count, "3").text)
    assert "neither a run nor a time" in error(site.sql(count, "soon").text)


def test_a_long_result_is_cut_and_its_csv_is_whole(site: Served) -> None:
    query = "select i, 'a \"b\", c' as note from range(100000) t(i)"
    page = site.sql(query).text
    assert "These are the first 1,000 rows; there are more." in page
    assert len(cells(page)) == 1_001
    found = site.post("/sql.csv", {"query": query, "at": ""})
    assert found.headers["content-disposition"] == 'attachment; filename="query.csv"'
    rows = list(csv.reader(io.StringIO(found.text)))
    assert (rows[0], len(rows), rows[-1]) == (["i", "note"], 100_001, ["99999", 'a "b", c'])


def test_a_long_text_is_cut_and_takes_no_more_room_than_it_is_shown_in(site: Served) -> None:
    page = site.sql("select repeat('x', 1000000) as long, repeat('y', 1000000) as other").text
    assert "x" * 2_000 + "…" in page
    assert len(page) < 20_000


def test_what_is_wrong_with_a_query_is_told_instead_of_its_csv(site: Served) -> None:
    found = site.post("/sql.csv", {"query": "selec 1", "at": ""})
    assert (found.code, "syntax error" in error(found.text)) == (400, True)


@pytest.mark.parametrize("query", ["select repeat('x', 3000000000)", "select list(i) from range(1000000000) t(i)"])
def test_a_query_that_needs_too_much_memory_is_ended_and_the_next_is_answered(site: Served, query: str) -> None:
    assert "The query needs more memory than it may have: memory_limit = 1GB." in error(site.sql(query).text)
    assert site.sql("select 1").code == 200


def test_a_query_that_takes_too_long_is_ended(project: Path) -> None:
    with served(project, "--query-seconds", "1") as pages:
        began = time.monotonic()
        page = pages.enter().sql(ENDLESS)
        assert "The query was ended after 1 s." in error(page.text)
        assert time.monotonic() - began < 20


def test_a_run_publishes_while_a_query_is_at_work(tmp_path: Path) -> None:
    folder = project_with_runs(tmp_path / "project")
    with served(folder, "--query-seconds", str(SECONDS)) as pages:
        pages.enter()
        asking = threading.Thread(target=ask_in_vain, args=(pages, ENDLESS))
        asking.start()
        (folder / "data/third.csv").write_text(
            "id,note,ordered_on,amount,changed_at\n9,g,2024-11-04,1.00,2024-11-04 08:00:00\n"
        )
        assert call("run", "orders", "--as-of", "2024-12-04", cwd=folder, rejected_share="0.5").returncode == 0
        assert cells(pages.sql("select count(*) as n from silver.order").text)[-1] == ["6"]
        assert asking.is_alive()
    asking.join()


def test_an_address_that_holds_a_query_shows_it_and_does_not_run_it(site: Served) -> None:
    page = site.get("/sql?query=select+4711+as+n")
    assert "select 4711 as n</textarea>" in page.text
    assert 'id="result"' not in page.text


def test_a_folder_may_be_called_as_a_pattern_or_a_quoted_text(tmp_path: Path) -> None:
    folder, place = make(tmp_path / "project"), ("--warehouse", "it's [1] * here")
    assert call("run", "orders", "--as-of", "2024-12-01", *place, cwd=folder).returncode == 0
    with served(folder, *place) as pages:
        assert cells(pages.enter().sql("select count(*) as n from silver.order").text)[-1] == ["3"]
        assert cells(pages.get("/tables/silver_order").text)[1][0] == "1"


def test_a_file_of_a_query_that_is_ended_has_no_end(project: Path) -> None:
    with served(project, "--query-seconds", "3") as pages:
        with pytest.raises(http.client.IncompleteRead):
            pages.enter().post("/sql.csv", {"query": "select i from range(9000000000000) t(i)", "at": ""})
        assert pages.sql("select 1").code == 200


def test_queries_that_nobody_waits_for_take_no_place(project: Path) -> None:
    with served(project, "--query-seconds", "30") as pages:
        pages.enter()
        for _ in range(4):
            with socket.create_connection(("127.0.0.1", pages.port)) as browser:
                body = urlencode({"query": "select i from range(9000000000000) t(i)"})
                lines = [
                    f"Host: 127.0.0.1:{pages.port}",
                    f"Cookie: {pages.cookie['Cookie']}",
                    f"Content-Length: {len(body)}",
                ]
                browser.sendall("\r\n".join(["POST /sql.csv HTTP/1.1", *lines, "", body]).encode())
                assert browser.recv(12) == b"HTTP/1.1 200"
        began = time.monotonic()
        assert pages.sql("select 1").code == 200
        assert time.monotonic() - began < 25
