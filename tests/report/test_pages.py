"""What the pages tell of a warehouse: its tables, its runs with their ledgers, and what each table holds."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from markupsafe import escape

from tests.conformance.processes import call, has_staged, started, stop_at
from tests.conformance.project import make, told
from tests.report.served import PROBLEM, SCRIPT, Served, fail, project_with_runs, served

CONNECTIONS = "select count(*) from pg_stat_activity where application_name = 'assay' and datname = current_database()"

NIGHTLY = """
from assay import Workflow, task
from shop_orders import orders

@task()
def tell():
    raise RuntimeError("nobody is there")

nightly = Workflow("nightly", phases={"load": [orders], "end": [tell]})
"""


def cells(html: str) -> list[list[str]]:
    """The text of each row of all tables."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.DOTALL)
    return [[plain(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


@pytest.mark.row("000-24")
def test_the_status_tells_what_failed_and_what_readers_see(site: Served) -> None:
    page = site.get("/")
    assert page.code == 200
    assert escape(PROBLEM) in page.text
    assert "Nothing of run 3 was published." in page.text
    assert re.search(r"What readers see is of run\s+<a href=\"/runs/2\">2</a>, as of 2024-12-02", page.text)
    found = cells(page.text)
    assert ["bronze_order", "6", "0", "2", "2024-12-02"] in found
    assert ["silver_order", "5", "1", "2", "2024-12-02"] in found
    assert ["gold_revenue", "3", "0", "2", "2024-12-02"] in found
    states = {row[0]: row[2] for row in found if len(row) == 9 and row[1] == "orders"}
    assert states == {"3": "failed", "2": "published", "1": "published"}


def test_the_charts_tell_of_every_run_to_those_who_do_not_see_them(site: Served) -> None:
    page = site.get("/").text
    assert "Rows changed of 3 runs, 1 to 3: at most 8 rows, last 0 rows." in page
    assert 'aria-label="run 3: 0 rows, failed"' in page
    assert page.count('class="failed"><title>run 3') == 2


@pytest.mark.row("000-24")
def test_the_ledger_of_a_run_balances_and_tells_what_was_rejected_and_why(site: Served) -> None:
    page = site.get("/runs/2").text
    found = cells(page)
    assert ["orders", "computed", "3", "0", "3", "3", "0", "0", "✓ balanced"] in found
    assert ["silver_order", "written", "6", "0", "6", "5", "1", "0", "✓ balanced"] in found
    assert ["gold_revenue", "written", "5", "0", "3", "3", "0", "0", "✓ balanced"] in found
    assert ["gold_revenue", "amount", "30.30", "30.30", "✓ reconciles"] in found
    assert ["silver_order", "between(amount, 0, 1000)", "reject", "1"] in found
    assert ["silver_order", "between(amount, 0, 1000)", "1"] in found
    assert "apart" not in page


def test_a_failed_run_tells_its_problem_and_what_was_blocked(site: Served) -> None:
    page = site.get("/runs/3").text
    assert escape(PROBLEM) in page
    assert ["gold_broken", "failed", escape(PROBLEM.removeprefix("gold_broken failed: "))] in [
        [*row[:2], row[2].split(" when casting")[0]] for row in cells(page) if len(row) == 3
    ]


def test_a_table_shows_its_columns_its_rows_and_its_past(site: Served) -> None:
    page = site.get("/tables/silver_order").text
    found = cells(page)
    assert found[0][:4] == ["id BIGINT", "note VARCHAR", "ordered_on DATE", "amount DECIMAL(12,2)"]
    assert [row[0] for row in found[1:6]] == ["1", "2", "3", "4", "6"]
    assert ["2", "5", "2024-12-02", "as it was then"] in found
    before = cells(site.get("/tables/silver_order?at=1").text)
    assert [row[0] for row in before[1:4]] == ["1", "2", "3"]


def test_text_from_data_is_shown_as_text(site: Served) -> None:
    for page in (site.get("/tables/silver_order"), site.sql("select note from bronze.order where id = 4")):
        assert escape(SCRIPT) in page.text
        assert SCRIPT not in page.text


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/runs/99", 404, "There is no run 99"),
        ("/tables/silver_ordr", 404, "Did you mean &#39;silver_order&#39;?"),
        ("/tables/silver_order?at=soon", 400, "neither a run nor a time"),
        ("/tables/silver_order?at=3", 503, "Run 3 has published nothing here"),
        ("/runs/99999999999999999999", 400, "neither a run nor a time"),
        ("/runs/2024-12-01", 404, "Runs have numbers"),
        ("/nowhere", 404, "no such page"),
        ("/assets/../pages.py", 404, "no such page"),
    ],
)
def test_what_is_not_there_is_told(site: Served, path: str, code: int, words: str) -> None:
    page = site.get(path)
    assert (page.code, words in page.text) == (code, True)


def test_the_history_is_told_in_part_and_has_the_rest_behind_a_link(site: Served) -> None:
    page = site.get("/runs?limit=2").text
    assert [row[0] for row in cells(page)[1:]] == ["3", "2"]
    assert 'href="/runs?limit=20"' in page
    assert "older runs" not in site.get("/runs?limit=3").text


def test_an_undo_tells_what_it_brought_back(tmp_path: Path) -> None:
    folder = project_with_runs(tmp_path / "project")
    assert call("undo", cwd=folder).returncode == 0
    with served(folder) as pages:
        page = pages.enter().get("/runs/4").text
        assert "undo of 2" in page
        assert ["silver_order", "3"] in cells(page)
        assert ["2", "orders", "undone"] in [row[:3] for row in cells(pages.get("/runs").text)]


def test_a_run_that_ends_while_pages_are_served_is_on_the_next_page(tmp_path: Path) -> None:
    folder = make(tmp_path / "project")
    assert call("run", "orders", "--as-of", "2024-12-01", cwd=folder).returncode == 0
    with served(folder) as pages:
        assert "failed" not in pages.enter().get("/").text
        fail(folder)
        assert escape(PROBLEM) in pages.get("/").text


@pytest.mark.row("000-24")
def test_the_status_is_written_as_one_file_that_needs_nothing_beside_it(project: Path, tmp_path: Path) -> None:
    target = tmp_path / "new/status.html"
    end = call("report", "--out", str(target), cwd=project)
    assert (end.returncode, end.stdout, end.stderr) == (0, f"{target}\n", "")
    text = target.read_text()
    assert escape(PROBLEM) in text
    assert ["silver_order", "6", "0", "6", "5", "1", "0"] not in cells(text)  # of run 2, which is not the newest
    assert ["bronze_order", "skipped"] in [row[:2] for row in cells(text)] or "bronze_order" in text
    assert re.findall(r"""(?:href|src)=["'](?!#)""", text) == []
    assert "default-src &#39;none&#39;; style-src &#39;sha256-" in text
    assert [path.name for path in target.parent.iterdir()] == ["status.html"]


def test_a_folder_is_given_a_file_and_what_cannot_be_written_is_told(project: Path, tmp_path: Path) -> None:
    end = call("report", "--out", str(tmp_path), "--json", cwd=project)
    assert (end.returncode, (tmp_path / "status.html").is_file()) == (0, True)
    (tmp_path / "afile").write_text("x")
    told(call("report", "--out", str(tmp_path / "afile/status.html"), cwd=project), 2, "afile/status.html", "cannot be")


def test_where_there_is_no_warehouse_none_is_served(tmp_path: Path) -> None:
    told(call("report", "--warehouse", "nowhere", cwd=tmp_path), 2, "nowhere: holds no lake yet")


@pytest.mark.row("000-24")
def test_a_database_has_the_same_pages_and_its_password_is_shown_nowhere(tmp_path: Path, postgres_url: str) -> None:
    # Its server asks for no password, and so takes any.
    address = postgres_url.replace("+psycopg", "").replace("assay@", "assay:secret@", 1)
    assert ":secret@" in address
    place = ("--warehouse", address)
    folder = make(tmp_path / "project")
    assert call("migrate", "orders", *place, cwd=folder).returncode == 0
    for as_of in ("2024-12-01", "2024-12-02"):
        assert call("run", "orders", "--as-of", as_of, *place, cwd=folder).returncode == 0
    with served(folder, *place) as pages:
        status = pages.enter().get("/").text
        assert ["silver_order", "3", "0", "1", "2024-12-01"] in cells(status)
        found = pages.sql("select sum(amount) as total from silver.order")
        assert ["15.30"] in cells(found.text)
        with psycopg.connect(address, autocommit=True) as connection:
            before = connection.execute(CONNECTIONS).fetchone()
            for _ in range(20):
                assert [pages.get(path).code for path in ("/", "/runs/1", "/tables/silver_order")] == [200] * 3
            assert connection.execute(CONNECTIONS).fetchone() == before
        for page in (status, found.text, pages.get("/sql").text, pages.sql("selec").text):
            assert "postgresql://assay:***@" in page
            assert "secret" not in page
    target = tmp_path / "status.html"
    assert call("report", "--out", str(target), *place, cwd=folder).returncode == 0
    assert "secret" not in target.read_text()


def test_a_warehouse_without_a_run_says_what_makes_one(tmp_path: Path, postgres_url: str) -> None:
    place = ("--warehouse", postgres_url.replace("+psycopg", ""))
    folder = make(tmp_path / "project")
    assert call("migrate", "orders", *place, cwd=folder).returncode == 0
    with served(folder, *place) as pages:
        pages.enter()
        for path in ("/", "/runs"):
            assert "No run has been made in this warehouse yet" in pages.get(path).text
        assert "No table is published yet." in pages.get("/sql").text


def test_a_workflow_tells_its_steps_and_leads_to_their_runs(tmp_path: Path) -> None:
    folder = make(tmp_path / "project")
    (folder / "nightly.py").write_text(NIGHTLY)
    assert call("run", "nightly:nightly", "--as-of", "2024-12-01", cwd=folder).returncode == 1
    with served(folder) as pages:
        runs = {row[1]: row[0] for row in cells(pages.enter().get("/runs").text)[1:]}
        page = pages.get(f"/runs/{runs['nightly']}").text
        assert ["orders", "pipeline", "done", runs["orders"]] in [row[:4] for row in cells(page)]
        assert ["tell", "task", "failed"] in [row[:3] for row in cells(page)]
        assert "RuntimeError: nobody is there" in page
        assert f'<a href="/runs/{runs["orders"]}">' in page
        assert "nobody is there" in pages.get("/").text


def test_a_run_that_was_killed_has_its_page(tmp_path: Path) -> None:
    folder = make(tmp_path / "project")
    with started("run", "orders", cwd=folder) as process:
        assert stop_at(has_staged(1), folder / "lake", process)
    with served(folder) as pages:
        page = pages.enter().get("/runs/1")
        assert (page.code, "staged" in page.text) == (200, True)
        assert ["1", "orders", "staged"] in [row[:3] for row in cells(pages.get("/").text)]


def test_a_lake_that_machines_share_has_the_same_pages(tmp_path: Path, postgres_url: str) -> None:
    catalog = postgres_url.replace("+psycopg", "")
    folder = make(tmp_path / "project")
    assert call("run", "orders", "--as-of", "2024-12-01", cwd=folder, catalog=catalog).returncode == 0
    assert not (folder / "lake/catalog.db").exists()
    with served(folder) as pages:
        assert ["silver_order", "3", "0", "1", "2024-12-01"] in cells(pages.enter().get("/").text)
        assert ["15.30"] in cells(pages.sql("select sum(amount) as total from silver.order").text)
