"""A small project as a user has it: a module with pipelines, assay.toml, a file; and how its commands are judged."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.conformance.processes import Finished

MODULE = """
import assay
from narwhals import col
from assay import Append, Merge, Pipeline, between, csv, groups, latest, row_count, table

LIMIT = 1000

@table(write=Append())
def bronze_order(orders):
    return orders

@table(write=Merge(stamps=True), key="id", keep=latest("changed_at"), checks=[between("amount", 0, LIMIT, "reject")])
def silver_order(bronze_order):
    return bronze_order

@table(rows=groups("ordered_on", total="amount"))
def gold_revenue(silver_order):
    return silver_order.group_by("ordered_on").agg(amount=col("amount").sum())

@table()
def gold_broken(silver_order):
    return assay.sql("select cast(note as bigint) as number from s", s=silver_order)

@table(checks=[row_count(min=100, action="block")])
def gold_small(silver_order):
    return silver_order.select("id")

columns = {"id": "BIGINT", "note": "VARCHAR", "ordered_on": "DATE", "amount": "DECIMAL(12,2)"}
sources = {"orders": csv("data/*.csv", columns={**columns, "changed_at": "TIMESTAMP"})}
good = [bronze_order, silver_order, gold_revenue]
orders = Pipeline("orders", tables=good, sources=sources)
broken = Pipeline("broken", tables=[*good, gold_broken], sources=sources)
blocked = Pipeline("blocked", tables=[*good, gold_small], sources=sources)
others = Pipeline("others", tables=good, sources=sources)
"""
SETTINGS = """warehouse = "lake"
retry_seconds = 0
[pipelines]
orders = "shop_orders:orders"
broken = "shop_orders:broken"
blocked = "shop_orders:blocked"
"""
ROWS = """id,note,ordered_on,amount,changed_at
1,a,2024-11-01,10.10,2024-11-01 08:00:00
2,b,2024-11-01,0.20,2024-11-01 08:00:00
3,it's,2024-11-02,5.00,2024-11-02 08:00:00
"""

UNREADABLE = {
    "short.csv": b"id,note,ordered_on,amount\n",
    "empty.csv": b"",
    "cut.csv.gz": gzip.compress(ROWS.encode())[:60],
    "packed.csv": gzip.compress(ROWS.encode()),
    "wide.csv": ROWS.encode("utf-16"),
    "noise.csv.gz": b"\x1f\x8bnoise",
    "afile": b"x",
    "other/db/catalog.db": b"this is no database, however long it may be" * 99,
}
"""Files that are not what they are taken for."""
WRONG_COMMANDS: Sequence[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("rum",), ("'rum'", "Did you mean", "'run'")),
    (("run",), ("Missing argument 'PIPELINE'",)),
    (("run", "orders", "--sorce", "x=y"), ("'--sorce'", "'--source'")),
    (("run", "order"), ("'order' is no pipeline of assay.toml. Did you mean 'orders'?",)),
    (("run", "shop_orders:order"), ("shop_orders has no pipeline 'order'. Did you mean 'orders'?",)),
    (("run", "nowhere:orders"), ("no module 'nowhere'",)),
    (("run", "orders", "--as-of", "2024-02-30"), ("'2024-02-30' is no date; write it as 2024-12-01.",)),
    (("run", "orders", "--workers", "0"), ("0 is not in the range x>=1",)),
    (("run", "orders", "--source", "data/a.csv"), ("'data/a.csv': write it as",)),
    (("run", "orders", "--source", "order=a.csv"), ("orders has no source 'order'. Did you mean 'orders'?",)),
    (("run", "orders", "--source", "orders=nope.csv"), ("nope.csv: No such file or directory.",)),
    (
        ("run", "orders", "--source", "orders=data"),
        ("data: is a folder; name a file, or a pattern such as data/*.csv",),
    ),
    (("run", "orders", "--source", "orders=no/*.csv"), ("No file matches", "no/*.csv")),
    (("run", "orders", "--source", "orders=short.csv"), ("short.csv: has no column 'changed_at'", "It has: id, note")),
    (("run", "orders", "--source", "orders=empty.csv"), ("empty.csv: is empty",)),
    (("run", "orders", "--source", "orders=packed.csv"), ("packed by gzip: give it a name that ends with .gz",)),
    (("run", "orders", "--source", "orders=wide.csv"), ('begins as UTF-16 does: declare its encoding="utf-16"',)),
    (("run", "orders", "--source", "orders=cut.csv.gz"), ("cut.csv.gz: cannot be read",)),
    (("run", "orders", "--source", "orders=noise.csv.gz"), ("noise.csv.gz: cannot be read",)),
    (("run", "orders", "--select", "gold_revenu"), ("no table 'gold_revenu'. Did you mean 'gold_revenue'?",)),
    (("run", "orders", "--layer", "sliver"), ("no layer 'sliver'. Did you mean 'silver'?",)),
    (("run", "orders", "--layer", "gold", "--warehouse", "new"), ("never been published", "--select +gold_revenue")),
    (("run", "orders", "--warehouse", "afile"), ("afile: cannot be made a lake",)),
    (("run", "orders", "--warehouse", "other/db"), ("catalog.db",)),
    (("run", "orders", "--warehouse", ""), ("warehouse",)),
    (("run", "orders", "--warehouse", "ftp://x/y"), ("ftp",)),
    (("run", "shop_orders:others"), ("is written by the pipeline 'orders'",)),
    (("show", "gold_revenu"), ("no published table 'gold_revenu'. Did you mean 'gold_revenue'?",)),
    (("show", "gold_revenue", "--warehouse", "nowhere"), ("nowhere: holds no lake yet", "assay run PIPELINE")),
    (("history", "--warehouse", "afile"), ("afile: is a file; a lake is a folder.",)),
    (("undo", "abc"), ("'abc' is no whole number.",)),
    (("run", "orders", "--workers", "2.5"), ("'2.5' is no whole number.",)),
    (("history", "--limit", "0"), ("0 is not in the range x>=1",)),
    (("sql", "select 1", "--warehouse", "nowhere"), ("nowhere: holds no lake yet",)),
    (("sql", "selec 1"), ("syntax error", "LINE 1: selec 1")),
    (("sql", "select amont from gold.revenue"), ('"amont" not found', '"amount"')),
    (("sql", "select * from gold.revenu"), ("revenu does not exist", '"revenue"')),
    (("sql", ""), ("query",)),
    (("sample", "orders", "somewhere"), ("orders makes no sample data",)),
    (("sample", "shop_orders:orders", "afile"), ("'afile' is a file",)),
]
"""What is wrong in the project with `UNREADABLE`, and what people must be told."""
WRONG_SETTINGS: Sequence[tuple[str, Mapping[str, str], str]] = [
    ('warehous = "x"', {}, "assay.toml: warehous is no setting of assay. Did you mean 'warehouse'?"),
    ('workers = "two"', {}, "assay.toml: workers is 'two'; it should be a whole number from 0."),
    ("retries = 1.5", {}, "assay.toml: retries is 1.5; it should be a whole number from 0."),
    ("pipelines = 3", {}, "assay.toml: pipelines is 3; it should be a table of names."),
    ("[pipelines]\norders = 3", {}, "assay.toml: pipelines"),
    ('warehouse = "x', {}, "assay.toml: "),
    ("", {"rejected_share": "5"}, "ASSAY_REJECTED_SHARE is '5'; it should be a share from 0 to 1."),
    ("", {"rejected_share": "nan"}, "ASSAY_REJECTED_SHARE is 'nan'; it should be a share from 0 to 1."),
    ("", {"when_busy": "maybe"}, "ASSAY_WHEN_BUSY is 'maybe'; it should be 'wait' or 'stop'."),
    ("", {"memory_limit": "lots"}, "ASSAY_MEMORY_LIMIT"),
    ('log = "loud"', {}, "assay.toml: log is 'loud'; it should be 'auto', 'lines', 'json' or 'none'."),
    ("", {"warehouse": ""}, "ASSAY_WAREHOUSE"),
]
"""The text of assay.toml, variables, and what people must be told."""


def make(folder: Path) -> Path:
    """Write the project into a new folder."""
    (folder / "data").mkdir(parents=True)
    (folder / "data/a.csv").write_text(ROWS)
    (folder / "shop_orders.py").write_text(MODULE)
    (folder / "assay.toml").write_text(SETTINGS)
    return folder


def document(end: Finished, code: int = 0) -> Any:
    """Return the one JSON document that stands on standard output, read as strictly as the standard has it."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert (end.returncode, end.stderr) == (code, "")
    return json.loads(end.stdout, parse_constant=refuse)


def told(end: Finished, code: int, *words: str) -> None:
    """Check that a command ended as it should and said why on standard error, without a traceback."""
    assert "Traceback" not in end.stderr, end.stderr.splitlines()[-1]
    assert (end.returncode, end.stdout) == (code, ""), end.stderr
    assert [word for word in words if word not in end.stderr] == [], end.stderr
