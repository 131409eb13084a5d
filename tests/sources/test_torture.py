"""Files of thousands of lines with planted faults whose truth the generator knows: every row and line is counted."""

from __future__ import annotations

import codecs
import gzip
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from assay.model.run import RunResult
from tests.sources.visits import PLAIN, Form, Truth, Visits, generate

UTF16 = Form("utf-16-le", mark=codecs.BOM_UTF16_LE, broken="\ud800", label="UTF-16-LE")
FORMS = {
    "plain": (PLAIN, "utf-8"),
    "without newline at the end": (Form(ends=False), "utf-8"),
    "CR LF": (Form(newline="\r\n"), "utf-8"),
    "byte order mark": (Form(mark=codecs.BOM_UTF8), "utf-8"),
    "UTF-16": (UTF16, "utf-16"),
    "UTF-16 big-endian, CR LF": (
        Form("utf-16-be", "\r\n", codecs.BOM_UTF16_BE, "\ud800", "UTF-16-BE", ends=False),
        "utf-16",
    ),
    "Latin-1": (Form("latin-1", broken=None), "latin-1"),
    "CP1252, CR LF": (Form("cp1252", "\r\n", broken="\udc81", label="CP1252"), "cp1252"),
}


def assert_true(visits: Visits, truth: Truth, result: RunResult) -> None:
    """Check every row, every bad line and every count against the truth."""
    assert result.ok, result.problems
    assert visits.kept() == truth.rows
    assert visits.bad() == truth.bad
    node = result.nodes["visits"]
    good, bad = len(truth.rows), len(truth.bad)
    ledger = node.ledger
    assert (ledger.read, ledger.returned, ledger.rejected, ledger.written) == (
        {"a.csv": good + bad},
        good + bad,
        bad,
        good,
    )
    days = Counter(row[1] for row in truth.rows)
    assert dict(visits.query("from gold.day")) == days


@pytest.mark.parametrize(
    ("name", "seed", "share"),
    [*((name, 0, 0.2) for name in FORMS), ("plain", 1, 0.03), ("plain", 2, 0.6), ("CR LF", 3, 0.6)],
)
def test_every_row_and_every_bad_line_of_a_large_file_is_where_it_belongs(
    tmp_path: Path, name: str, seed: int, share: float
) -> None:
    form, encoding = FORMS[name]
    visits, truth = Visits(tmp_path), generate(seed, 1_500, share, form)
    visits.deliver(truth.data)
    assert_true(visits, truth, visits.run(encoding=encoding))


@pytest.mark.parametrize("name", ["plain", "CR LF", "UTF-16"])
def test_a_file_without_faults_loses_nothing(tmp_path: Path, name: str) -> None:
    form, encoding = FORMS[name]
    visits, truth = Visits(tmp_path), generate(7, 3_000, 0, form)
    visits.deliver(truth.data)
    assert_true(visits, truth, visits.run(encoding=encoding))


def test_one_fault_changes_nothing_for_the_other_lines_of_a_file(tmp_path: Path) -> None:
    visits, truth = Visits(tmp_path), generate(8, 3_000, 0)
    visits.deliver(truth.data + b"Ann,2024-02-30,1,1,true,,\n")
    line = truth.data.count(b"\n") + 1
    bad = [(line, b"Ann,2024-02-30,1,1,true,,", ("day: 2024-02-30 is no DATE",))]
    assert_true(visits, replace(truth, bad=bad), visits.run())


def test_a_file_of_nothing_but_faults_goes_to_the_quarantine_whole(tmp_path: Path) -> None:
    visits, truth = Visits(tmp_path), generate(9, 1_000, 1)
    visits.deliver(truth.data)
    assert_true(visits, truth, visits.run())
    assert (len(truth.rows), len(truth.bad)) == (0, 1_000)


def test_several_files_keep_their_own_lines_packed_or_not(tmp_path: Path) -> None:
    visits = Visits(tmp_path)
    truths = {"a.csv": generate(20, 500, 0.1), "b.csv.gz": generate(21, 500, 0.2), "c[1].csv": generate(22, 500, 0.3)}
    for name, truth in truths.items():
        visits.deliver(gzip.compress(truth.data) if name.endswith(".gz") else truth.data, name)
    assert visits.run().ok
    assert Counter(visits.kept()) == Counter(row for truth in truths.values() for row in truth.rows)
    for name, truth in truths.items():
        assert visits.bad(name) == truth.bad


def test_a_file_of_many_megabytes_is_read_in_its_order(tmp_path: Path) -> None:
    # More than the engine reads by one thread, with line breaks in quotes all over it.
    visits, text = Visits(tmp_path), "x" * 500
    rows = (f'"{text},\n{text}",2024-01-01,{n},1,true,,\n' for n in range(20_000))
    visits.deliver(b"name,day,count,price,ok,at,clock\n" + "".join(rows).encode())
    assert visits.run().nodes["visits"].ledger.written == 20_000
    assert visits.query(
        "select count(*), min(count), max(count), sum(count), count(distinct name) from bronze.visit"
    ) == [(20_000, 0, 19_999, 19_999 * 10_000, 1)]
