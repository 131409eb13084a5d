"""A user's own pipeline: what the README says is what a person gets who copies it into an empty folder."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
PIPELINE, FROM_PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[:2]
ASSAY = Path(sys.executable).parent / "assay"
HEADER = "order_id,customer_id,ordered_on,amount,updated_at"
RUN = ("run", "orders:orders", "--warehouse", "lake")
REVENUE = "select * from gold.daily_revenue order by ordered_on"
VOLATILE = {"seconds", "peak_memory_bytes", "started_at", "ended_at"}

Rows = list[dict[str, Any]]


def order(number: int, **changes: Any) -> dict[str, Any]:
    """An order as delivered in January; the amount tells its number."""
    return {
        "order_id": number,
        "customer_id": 100 + number % 7,
        "ordered_on": date(2024, 1, 1) + timedelta(number % 5),
        "amount": f"{number}.25",
        "updated_at": "2024-01-10 08:00:00",
    } | changes


JANUARY = [
    *(order(number) for number in range(1, 61)),
    order(7, amount="70.50"),  # the same time: the last in the source stays
    order(8, amount="80.50", updated_at="2024-01-09 08:00:00"),  # older, though later in the file
    order(61, customer_id="", amount="2000000.00"),  # breaks both checks
    order(62, amount="-0.01"),
]
FEBRUARY = [
    order(9, amount="90.75", updated_at="2024-02-01 08:00:00"),
    order(10, amount="100.75"),  # ties with January's: the later delivery stays
    order(63, customer_id=""),
]


def deliver(folder: Path, name: str, rows: Rows) -> None:
    (folder / "data/orders").mkdir(parents=True, exist_ok=True)
    lines = [HEADER, *(",".join(map(str, row.values())) for row in rows)]
    (folder / "data/orders" / name).write_text("\n".join(lines) + "\n")


def revenue(delivered: Rows) -> Rows:
    """The gold table in plain Python: of each order the newest good row, the last of equals; then by day."""
    newest: dict[int, dict[str, Any]] = {}
    for row in delivered:
        good = row["customer_id"] != "" and 0 <= Decimal(row["amount"]) <= 1_000_000
        if good and row["updated_at"] >= newest.get(row["order_id"], row)["updated_at"]:
            newest[row["order_id"]] = row
    days: dict[date, list[Decimal]] = defaultdict(list)
    for row in newest.values():
        days[row["ordered_on"]].append(Decimal(row["amount"]))
    return [
        {"ordered_on": str(day), "orders": len(amounts), "amount": float(sum(amounts))}
        for day, amounts in sorted(days.items())
    ]


def assay(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([ASSAY, *arguments], cwd=folder, text=True, capture_output=True, check=False)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


def document(folder: Path, *arguments: str, code: int = 0) -> Any:
    return json.loads(assay(folder, *arguments, "--json", code=code).stdout)


def query(folder: Path, text: str) -> Rows:
    rows: Rows = document(folder, "sql", text, "--warehouse", "lake")
    return rows


def python(folder: Path, code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, text=True, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def settled(document: Any) -> Any:
    """A run's document without what differs from one run to the next."""
    if not isinstance(document, dict):
        return document
    return {name: settled(part) for name, part in document.items() if name not in VOLATILE}


def edit(folder: Path, old: str, new: str, file: str = "orders.py") -> None:
    text = (folder / file).read_text()
    assert text.count(old) == 1
    (folder / file).write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The README's pipeline with two deliveries, run once; to be looked at and not changed."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "orders.py").write_text(PIPELINE)
    deliver(folder, "2024-01.csv", JANUARY)
    deliver(folder, "2024-02.csv", FEBRUARY)
    (folder / "first.json").write_text(assay(folder, *RUN, "--json").stdout)
    return folder


@pytest.fixture
def mine(once: Path, tmp_path: Path) -> Path:
    """Another one, to change: a lake that was copied can be read, but not run."""
    shutil.copytree(once, tmp_path / "mine", ignore=shutil.ignore_patterns("lake"))
    assay(tmp_path / "mine", *RUN)
    return tmp_path / "mine"


@pytest.fixture
def fresh(mine: Path) -> Path:
    """A copy that was never run."""
    shutil.rmtree(mine / "lake")
    return mine


def test_a_run_publishes_and_accounts_for_every_row(once: Path) -> None:
    result = json.loads((once / "first.json").read_text())
    assert (result["pipeline"], result["state"], result["problems"]) == ("orders", "published", [])
    assert list(result["tables"]) == ["bronze_order", "silver_order", "gold_daily_revenue"]
    counts = ("rows", "returned", "rejected", "deduplicated", "filtered")
    assert {name: [found[count] for count in counts] for name, found in result["tables"].items()} == {
        "bronze_order": [67, 67, 0, 0, 0],
        "silver_order": [60, 67, 3, 4, 0],
        "gold_daily_revenue": [5, 5, 0, 0, 0],
    }
    assert result["steps"]["orders"]["read"] == {"2024-01.csv": 64, "2024-02.csv": 3}


def test_the_gold_table_is_what_plain_python_computes(once: Path) -> None:
    expected = revenue(JANUARY + FEBRUARY)
    assert query(once, REVENUE) == expected
    assert sum(day["amount"] for day in expected) == sum(range(1, 61)) + 0.25 * 60 + 63.25 + 81.5 + 90.5


def test_bad_rows_are_in_the_quarantine_whole_and_with_all_their_reasons(once: Path) -> None:
    rows = query(once, "select * from meta.quarantine")
    found = {json.loads(row["row"])["order_id"]: row for row in rows}
    assert {number: (row["source_file"], json.loads(row["reasons"])) for number, row in found.items()} == {
        61: ("2024-01.csv", ["not_null(customer_id)", "between(amount, 0, 1000000)"]),
        62: ("2024-01.csv", ["between(amount, 0, 1000000)"]),
        63: ("2024-02.csv", ["not_null(customer_id)"]),
    }
    assert {(row["run"], row["node"]) for row in rows} == {(1, "silver_order")}
    whole = json.loads(found[61]["row"])
    assert {name: whole[name] for name in HEADER.split(",")} == {
        "order_id": 61,
        "customer_id": None,
        "ordered_on": "2024-01-02",
        "amount": "2000000.00",
        "updated_at": "2024-01-10 08:00:00",
    }


def test_a_second_run_is_unchanged_and_says_why(mine: Path) -> None:
    before = query(mine, REVENUE)
    result = document(mine, *RUN)
    assert (result["state"], result["run"]) == ("unchanged", None)
    assert Counter(table["status"] for table in result["tables"].values()) == {"unchanged": 3}
    assert result["tables"]["silver_order"]["reason"] == "nothing it reads has changed since run 1"
    assert query(mine, REVENUE) == before
    assert assay(mine, *RUN).stdout.splitlines()[-1].startswith("unchanged: ")


def test_the_lines_of_the_readme_run_in_a_shell(fresh: Path) -> None:
    commands = re.findall(r"^\$ assay (.*)$", README, re.MULTILINE)
    own = [command for command in commands if "lake" in command]
    assert [command.split()[0] for command in own] == ["run", "sql"]
    for command in own:
        shell = subprocess.run(f"{ASSAY} {command}", shell=True, cwd=fresh, text=True, capture_output=True, check=False)
        assert shell.returncode == 0, shell.stderr
    assert re.search(r"^2024-01-01 +12 +", shell.stdout, re.MULTILINE)


def test_the_python_of_the_readme_runs(fresh: Path) -> None:
    shown = 'print(result.state, result.tables["silver_order"].ledger.rejected)'
    assert python(fresh, f"{FROM_PYTHON}\n{shown}") == "published 3\n"
    fetched = (
        FROM_PYTHON.replace('assay.connect("lake")', 'rows = assay.connect("lake")') + "\nprint(len(rows.fetchall()))"
    )
    assert python(fresh, fetched) == "5\n"


def test_a_table_is_tested_as_a_function(once: Path) -> None:
    orders = SimpleNamespace(**runpy.run_path(str(once / "orders.py")))
    given = pl.DataFrame({"ordered_on": [date(2024, 1, 1)] * 2, "order_id": [1, 2], "amount": [1.5, 2.25]})
    assert orders.silver_order(given).equals(given)
    found = orders.gold_daily_revenue(given)
    assert isinstance(found, pl.DataFrame)
    assert found.to_dicts() == [{"ordered_on": date(2024, 1, 1), "orders": 2, "amount": 3.75}]


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("orders.py", "silver_order(bronze_order:", "silver_order(bronze_ordr:", "Did you mean 'bronze_order'?"),
        ("orders.py", 'latest("updated_at")', 'latest("updated_on")', "Did you mean 'updated_at'?"),
        ("orders.py", "orders/*.csv", "orders/2024-09.csv", "data/orders/2024-09.csv: No such file or directory."),
        ("orders.py", "orders/*.csv", "order/*.csv", "No file matches data/order/*.csv."),
        ("data/orders/2024-02.csv", "amount", "amuont", "has no column 'amount'. Did you mean 'amuont'?"),
    ],
    ids=["a parameter", "a column", "a file", "a pattern", "a header"],
)
def test_a_misspelling_ends_with_two_says_what_is_meant_and_changes_nothing(
    mine: Path, file: str, old: str, new: str, told: str
) -> None:
    before = query(mine, REVENUE)
    edit(mine, old, new, file)
    result = assay(mine, *RUN, "--json", code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("assay: ")
    assert told in result.stderr
    assert query(mine, REVENUE) == before


def test_a_blocking_check_ends_with_one_and_publishes_nothing(mine: Path) -> None:
    before = {table: query(mine, f"from {table} order by all") for table in ("bronze.order", "silver.order")}
    edit(mine, 'between("amount", 0, 1_000_000, action="reject")', 'between("amount", 0, 1_000_000, action="block")')
    deliver(mine, "2024-03.csv", [order(64), order(65, amount="-1.00")])
    result = document(mine, *RUN, code=1)
    problem = "silver_order: check between(amount, 0, 1000000) is broken by 3 rows"
    assert (result["state"], result["problems"]) == ("failed", [problem])
    assert query(mine, REVENUE) == revenue(JANUARY + FEBRUARY)
    assert {table: query(mine, f"from {table} order by all") for table in before} == before
    assert [run["state"] for run in document(mine, "history", "--warehouse", "lake")] == ["failed", "published"]
    assert f"problem: {problem}" in assay(mine, *RUN, code=1).stdout


def test_a_blocking_check_leaves_a_new_lake_empty(fresh: Path) -> None:
    edit(fresh, 'not_null("customer_id", action="reject")', 'not_null("customer_id")')
    assert document(fresh, *RUN, code=1)["state"] == "failed"
    missing = assay(fresh, "sql", REVENUE, "--warehouse", "lake", code=2)
    assert "daily_revenue" in missing.stderr


@pytest.mark.row("000-28")
def test_one_more_table_is_one_more_function(mine: Path) -> None:
    function = '''
@table(rows=groups("customer_id", count="orders"))
def gold_customer(silver_order: LazyFrame) -> LazyFrame:
    """Orders of each customer."""
    return silver_order.group_by("customer_id").agg(orders=col("order_id").count())
'''
    edit(mine, "\n\norders = Pipeline(", f"\n{function}\n\norders = Pipeline(")
    edit(mine, "gold_daily_revenue]", "gold_daily_revenue, gold_customer]")
    result = document(mine, *RUN)
    assert result["state"] == "published"
    assert {name: (table["status"], table["rows"]) for name, table in result["tables"].items()} == {
        "bronze_order": ("unchanged", 67),
        "silver_order": ("unchanged", 60),
        "gold_daily_revenue": ("unchanged", 5),
        "gold_customer": ("written", 7),
    }
    found = query(mine, "from gold.customer order by customer_id")
    expected = Counter(100 + number % 7 for number in range(1, 61))
    assert found == [{"customer_id": customer, "orders": n} for customer, n in sorted(expected.items())]


@pytest.mark.row("000-29")
def test_python_runs_all_or_one_layer_and_returns_what_json_prints(fresh: Path) -> None:
    script = """
import assay, datetime, json
def run(**asked):
    sources = {"orders": "data/orders/*.csv"}
    return assay.run("orders:orders", as_of=datetime.date(2024, 12, 1), sources=sources, **asked).to_json()
layers = [run(warehouse="by_layer", layers=[layer]) for layer in ("bronze", "silver", "gold")]
print(json.dumps([run(warehouse="whole"), *layers]))
"""
    whole, *layers = json.loads(python(fresh, script))
    printed = document(fresh, *RUN, "--as-of", "2024-12-01", "--source", "orders=data/orders/*.csv")
    assert settled(whole) == settled(printed)
    assert [table["rows"] for table in whole["tables"].values()] == [67, 60, 5]
    for run, chosen in zip(layers, whole["tables"], strict=True):
        assert [name for name, table in run["tables"].items() if table["status"] == "written"] == [chosen]
        assert settled(run["tables"][chosen]) == settled(whole["tables"][chosen])
    again = document(fresh, "run", "orders:orders", "--warehouse", "by_layer", "--layer", "silver")
    assert (again["state"], again["tables"]["silver_order"]["rows"]) == ("unchanged", 60)
