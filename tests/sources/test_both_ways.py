"""The engine reads a plain file by itself, any other is read line by line: one bad line must not change the others."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.settings import Settings
from assay.transform.origin import position, source_file
from tests.sources.visits import DAY, Row, Visits

FIELDS = ["a", "", " ", '"a"', '"a,b"', '"a\nb"', '"a\r\nb"', 'a"b', '""', '""""', '"a""b"', "ä", "\ta", " a ", '","']
DOUBTFUL = ['" a"', ' "a"', '"a" ', '"a\nb" ', '"a" "b"', '"" ""', '"a"b', '"', "a\rb", '"a']
ENDS = ["\n"] * 8 + ["\r\n", "\n\n", ",\n", ",,\n", ',""\n', ", \n"]
PAIRS = 25


@assay.table(write=assay.Append())
def bronze_word(words: Any) -> Any:
    """Every record, with its file and its place."""
    return words.with_columns(file=source_file(), place=position())


def body(rnd: random.Random, width: int) -> str:
    """Some records, most of which are good, some doubtful, some none."""
    fields = FIELDS + rnd.sample(DOUBTFUL, rnd.choice([0, 0, 1, 2]))
    ends = rnd.choice([["\n"], ["\r\n"], ENDS])
    records = (",".join(rnd.choices(fields, k=width)) + rnd.choice(ends) for _ in range(rnd.randint(1, 6)))
    return "".join(records).removesuffix(rnd.choice(["", "\n"]))


def read(folder: Path, files: dict[str, bytes], columns: list[str]) -> tuple[Visits, dict[str, list[Row]]]:
    """Read files in one run; return the records of each with their places, and what else is in the lake."""
    visits = Visits(folder)
    for name, data in files.items():
        visits.deliver(data, name)
    source = assay.csv(str(visits.inbox / "*"), columns=dict.fromkeys(columns, "VARCHAR"))
    pipeline = assay.Pipeline("words", tables=[bronze_word], sources={"words": source})
    settings = Settings(retries=0, workers=2, rejected_share=1.0)
    how = {"warehouse": visits.lake, "as_of": DAY, "settings": settings, "allow_duplicates": True}
    assert assay.run(pipeline, **how).ok
    rows: dict[str, list[Row]] = {}
    for *values, file, place in visits.query("from bronze.word order by place"):
        # Of the place, what counts within a file.
        rows.setdefault(file, []).append((*values, place & (1 << 36) - 1))
    return visits, rows


@pytest.mark.parametrize("columns", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_one_bad_line_at_the_end_of_any_file_changes_nothing_else_that_is_read(
    tmp_path: Path, columns: list[str]
) -> None:
    files, last = {}, b"\xff,,,,"
    rnd = random.Random(len(columns))
    for number in range(PAIRS):
        data = f"{','.join(columns)}\n{body(rnd, len(columns))}".encode()
        files[f"{number}.csv"] = data
        files[f"{number}.bad"] = data + (b"" if data.endswith(b"\n") else b"\n") + last
    visits, rows = read(tmp_path, files, columns)
    bad = visits.bad_by_file()
    for number in range(PAIRS):
        alone, beside = f"{number}.csv", f"{number}.bad"
        ends = files[beside].count(b"\n") + 1
        assert rows.get(alone, []) == rows.get(beside, []), files[alone]
        assert bad[beside][:-1] == bad.get(alone, []), files[alone]
        assert bad[beside][-1][:2] == (ends, last)
    # The test is about something only where there are files of both kinds.
    assert 1 < len([name for name in bad if name.endswith(".csv")]) < PAIRS - 1
