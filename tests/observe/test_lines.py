"""Plain lines: one for each node as it ends, under a banner for its layer, without passwords."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from assay.model.event import NodeEnded, NodeKind, NodeStarted, Observer, RunEnded, RunStarted
from assay.model.ledger import Ledger
from assay.model.run import NodeRun, RunResult
from assay.observe.json_log import json_log
from assay.observe.lines import lines, tell_traceback
from assay.observe.saying import say

BEGAN = dt.datetime(2024, 12, 1, 8, tzinfo=dt.UTC)


def node(name: str, status: Any, rows: int | None = None, **more: Any) -> NodeRun:
    """What a node did in 0.35 seconds."""
    more = {"ledger": Ledger(written=rows or 0), "started_at": BEGAN, **more}
    return NodeRun(name, status, "why", rows, ended_at=BEGAN + dt.timedelta(seconds=0.35), **more)


def ended(observer: Observer, done: NodeRun, kind: NodeKind = "table") -> None:
    observer(NodeEnded("shop", 3, done, kind))


@pytest.mark.parametrize(
    ("done", "kind", "line"),
    [
        (node("orders", "computed", 1_234), "source", "orders: read 1,234 rows in 0.35 s"),
        (node("recent", "computed", 1), "view", "recent: computed 1 row in 0.35 s"),
        (node("bronze_order", "written", 150_000), "table", "bronze_order: wrote 150,000 rows in 0.35 s"),
        (
            node("bronze_order", "written", 150_012, ledger=Ledger(written=12)),
            "table",
            "bronze_order: wrote 12 rows, now 150,012, in 0.35 s",
        ),
        (
            node("bronze_order", "written", 0, attempts=2),
            "table",
            "bronze_order: wrote 0 rows in 0.35 s (2 attempts)",
        ),
        (node("bronze_order", "unchanged", 7), "table", "bronze_order: unchanged"),
        (
            node("bronze_order", "failed", error="ValueError: x", attempts=3),
            "table",
            "bronze_order: failed (3 attempts): ValueError: x",
        ),
        (
            NodeRun("bronze_order", "blocked", "silver_order failed"),
            "table",
            "bronze_order: blocked: silver_order failed",
        ),
    ],
)
def test_a_node_that_ends_is_one_line(
    done: NodeRun, kind: NodeKind, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(lines(), done, kind)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"=== bronze ===\n{line}\n" if kind == "table" else f"{line}\n")


@pytest.mark.row("000-33")
def test_a_layer_has_its_banner_once_where_its_first_table_begins(capsys: pytest.CaptureFixture[str]) -> None:
    observer = lines()
    observer(RunStarted("shop", 3, BEGAN.date(), nodes=4))
    for name in ("bronze_a", "silver_a", "bronze_b"):
        observer(NodeStarted("shop", 3, name, "table"))
    ended(observer, node("silver_a", "written", 2))
    ended(observer, NodeRun("gold_a", "skipped", "not selected"))
    assert capsys.readouterr().err == "=== bronze ===\n=== silver ===\nsilver_a: wrote 2 rows in 0.35 s\n"


def test_only_the_observer_of_tracebacks_tells_them(capsys: pytest.CaptureFixture[str]) -> None:
    failed = node("gold_a", "failed", error="ValueError: x", traceback="Traceback ...\nValueError: x\n")
    ended(lines(), failed)
    assert "Traceback" not in capsys.readouterr().err
    ended(tell_traceback, failed)
    ended(tell_traceback, node("gold_b", "written", 1))
    assert capsys.readouterr().err == "gold_a: Traceback ...\nValueError: x\n"


@pytest.mark.parametrize("tracebacks", [False, True])
def test_the_log_has_the_traceback_only_where_it_is_wanted(
    tracebacks: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(json_log(tracebacks=tracebacks), node("gold_a", "failed", error="ValueError: x", traceback="Traceback"))
    assert ("traceback" in json.loads(capsys.readouterr().err)) is tracebacks


def test_the_log_of_an_end_is_json_though_a_total_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    result = RunResult(None, "shop", "failed", BEGAN.date(), {}, {}, 1.23456, ('it\'s "ö"',), peak_memory_bytes=5)
    json_log()(RunEnded(result, at=BEGAN.astimezone(dt.timezone(dt.timedelta(hours=2)))))
    assert json.loads(capsys.readouterr().err) == {
        "time": "2024-12-01T08:00:00.000Z",
        "event": "run_ended",
        "run": None,
        "pipeline": "shop",
        "state": "failed",
        "as_of": "2024-12-01",
        "seconds": 1.235,
        "peak_memory_bytes": 5,
        "problems": ['it\'s "ö"'],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cannot reach postgresql://me:password@db:5432/shop", "cannot reach postgresql://me:***@db:5432/shop"),
        ("host=db password=x1'y user=me", "host=db password=***'y user=me"),
        ("host=db password='a b' user=me", "host=db password=*** user=me"),  # pragma: allowlist secret
        ('{"error": "PGPASSWORD=abc"}', '{"error": "PGPASSWORD=***"}'),
        ("s3://bucket/key?X-Amz-Security-Token=abc&x=1", "s3://bucket/key?X-Amz-Security-Token=***&x=1"),
        ("https://db:5432/x mail@example.org", "https://db:5432/x mail@example.org"),
        ("the tokens differ: token = 5", "the tokens differ: token = 5"),
    ],
)
def test_passwords_are_not_said(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(text)
    assert capsys.readouterr().err == f"{said}\n"
