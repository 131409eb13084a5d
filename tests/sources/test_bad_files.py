"""Files as a whole: those that cannot be read end a run with exit code 2 and change nothing; odd ones are read."""

from __future__ import annotations

import codecs
import datetime as dt
import gzip
import os
from decimal import Decimal
from pathlib import Path

import pytest

from assay.model.errors import SourceError
from tests.conformance.processes import Finished, call
from tests.sources.visits import COLUMNS, HEADER, Visits

MODULE = f"""
import assay
COLUMNS = {COLUMNS!r}

@assay.table(write=assay.Append(), checks=[assay.row_count(min=1)])
def bronze_visit(visits):
    return visits

visits = assay.Pipeline("visits", tables=[bronze_visit], sources={{"visits": assay.csv("*.csv", columns=COLUMNS)}})
"""
ROW = "Ann,2024-01-01,1,2.50,true,2024-01-01 08:00:00,08:30:00"
VALUES = (
    "Ann",
    dt.date(2024, 1, 1),
    1,
    Decimal("2.50"),
    True,
    dt.datetime.fromisoformat("2024-01-01T08:00:00"),
    dt.time(8, 30),
)
LARGE = f"{HEADER}\n{ROW}\n".encode() + os.urandom(200_000).hex().encode()


def broken(packed: bytes) -> bytes:
    """Spoil the check sum."""
    return packed[:-8] + bytes(4) + packed[-4:]


WRONG: dict[str, tuple[bytes | None, str]] = {
    "missing.csv": (None, "No such file or directory."),
    "empty.csv": (b"", "is empty; its first line should name the columns."),
    "empty.csv.gz": (gzip.compress(b""), "is empty; its first line should name the columns."),
    "mark.csv": (codecs.BOM_UTF8, "is empty; its first line should name the columns."),
    "blank.csv": (b"\n\nname,day\n", "is empty; its first line should name the columns."),
    "column.csv": (
        b"name,day,cuont,price,ok,at,clock\n",
        "has no column 'count'. Did you mean 'cuont'? It has: name, day, cuont, price, ok, at, clock.",
    ),
    "twice.csv": (HEADER.encode() + b",day\n", "names the column 'day' twice."),
    "folder.csv": (None, "is a folder; name a file, or a pattern such as folder.csv/*.csv."),
    "nothing.csv.gz": (b"", "is empty; its first line should name the columns."),
    "text.csv.gz": (LARGE, "cannot be read: Not a gzipped file (b'na')."),
    "cut.csv.gz": (
        gzip.compress(LARGE)[:-50_000],
        "cannot be read: Compressed file ended before the end-of-stream marker was reached.",
    ),
    "spoiled.csv.gz": (broken(gzip.compress(LARGE)), "cannot be read: CRC check failed"),
    "noise.csv.gz": (gzip.compress(LARGE)[:5_000] + b"\xff" * 5_000, "cannot be read: "),
    "rest.csv.gz": (gzip.compress(LARGE) + b"more", "cannot be read: Not a gzipped file (b'mo')."),
    "wide.csv": (HEADER.encode("utf-16"), "its first line cannot be read: "),
    "packed.csv": (gzip.compress(LARGE), "its first line cannot be read: "),
    "returns.csv": (f"{HEADER}\r{ROW}\r".encode(), "ends its lines with CR alone; convert them to LF or CR LF."),
    "quote.csv": (f'"{HEADER}\n{ROW}\n'.encode(), "its first line cannot be read: a quoted field is not closed."),
}
"""Files that are wrong as a whole, and what must be told of each."""


def project(folder: Path) -> Visits:
    visits = Visits(folder)
    (visits.inbox / "shop_visits.py").write_text(MODULE)
    return visits


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Visits:
    """A project with one published run, which no test changes."""
    visits = project(tmp_path_factory.mktemp("published"))
    visits.deliver(f"{HEADER}\n{ROW}\n".encode())
    assert run(visits).returncode == 0
    return visits


def run(visits: Visits, *more: str, **settings: str) -> Finished:
    lake = str(visits.lake)
    return call("run", "shop_visits:visits", "--warehouse", lake, *more, cwd=visits.inbox, **settings)


def test_a_file_that_is_wrong_as_a_whole_is_told_by_name_and_cause_and_changes_nothing(tmp_path: Path) -> None:
    visits = Visits(tmp_path)
    visits.deliver(f"{HEADER}\n{ROW}\n".encode())
    assert visits.run("a.csv").ok
    before = visits.content()
    (visits.inbox / "folder.csv").mkdir()
    for name, (data, cause) in WRONG.items():
        if data is not None:
            visits.deliver(data, name)
        with pytest.raises(SourceError) as caught:
            visits.run(name)
        assert str(caught.value).startswith(f"{visits.inbox / name}: {cause}")
        assert caught.value.exit_code == 2
        assert visits.content() == before, name
    assert visits.kept() == [VALUES]


@pytest.mark.parametrize("name", ["missing.csv", "column.csv", "cut.csv.gz"])
def test_the_command_ends_with_2_and_one_sentence_and_the_earlier_publish_stands(published: Visits, name: str) -> None:
    data, cause = WRONG[name]
    if data is not None:
        (published.inbox / "new").mkdir(exist_ok=True)
        published.deliver(data, f"new/{name}")
    before = published.content()
    end = run(published, "--source", f"visits=new/{name}")
    assert (end.returncode, end.stdout) == (2, "")
    assert end.stderr == f"assay: {published.inbox / 'new' / name}: {cause}\n"
    assert published.content() == before
    assert published.kept() == [VALUES]


def test_one_wrong_file_among_good_ones_keeps_all_of_them_out(tmp_path: Path) -> None:
    visits = Visits(tmp_path)
    visits.deliver(f"{HEADER}\n{ROW}\n".encode())
    assert visits.run().ok
    visits.deliver(f"{HEADER}\n{ROW.replace('Ann', 'Bo')}\n".encode(), "b.csv")
    visits.deliver(b"name\n", "c.csv")
    before = visits.content()
    with pytest.raises(SourceError, match=r"c\.csv: has no column 'day'\."):
        visits.run()
    assert visits.content() == before
    (visits.inbox / "c.csv").unlink()
    assert visits.run().ok
    assert sorted(row[0] for row in visits.kept()) == ["Ann", "Bo"]


def test_the_share_of_bad_lines_is_set_from_outside_and_blocks_with_exit_code_1(tmp_path: Path) -> None:
    visits = project(tmp_path)
    good = "".join(f"{ROW.replace(',1,', f',{n},')}\n" for n in range(94))
    visits.deliver(f"{HEADER}\n{good}".encode() + b"bad\n" * 6)
    end = run(visits)
    assert end.returncode == 1
    assert "visits: 6 of 100 rows (6.0%) were rejected, more than 5.0% (setting rejected_share)" in end.stdout
    assert run(visits, rejected_share="0.06").returncode == 0
    assert len(visits.kept()) == 94
    # What blocked a run can be looked at, too.
    found = visits.query("select run, line, raw from meta.quarantine order by all")
    assert found == [(number, line, "bad") for number in (1, 2) for line in range(96, 102)]


def test_a_header_alone_gives_no_rows_and_warns_where_rows_are_counted(tmp_path: Path) -> None:
    visits = project(tmp_path)
    visits.deliver(HEADER.encode())
    end = run(visits)
    assert end.returncode == 0
    assert "row_count(min=1)" in end.stdout
    assert (visits.kept(), visits.bad()) == ([], [])
    query = "select action, broken from meta.check where name = 'row_count(min=1)'"
    assert visits.query(query) == [("warn", 1)]


def test_a_header_alone_is_no_error_however_it_ends(tmp_path: Path) -> None:
    visits = Visits(tmp_path)
    forms = [HEADER, HEADER + "\n", HEADER + "\r\n", HEADER + "\n\n\n", f"\ufeff{HEADER}\n"]
    for number, form in enumerate(forms):
        visits.deliver(form.encode(), f"{number}.csv")
    result = visits.run()
    assert result.ok
    assert result.nodes["visits"].ledger.read == {f"{number}.csv": 0 for number in range(len(forms))}
    assert (visits.kept(), visits.bad_by_file(), visits.query("from gold.day")) == ([], {}, [])


def test_columns_are_found_by_name_in_any_order_and_others_are_reported(tmp_path: Path) -> None:
    visits, names = Visits(tmp_path), [*COLUMNS]
    fields = dict(zip(names, ROW.split(","), strict=True))
    order = ["clock", "note", "price", "name", " at ", "ok", '"count"', "day", "a, b"]
    head = ",".join(f'"{name}"' if name == "a, b" else name for name in order)
    fields |= {"note": '"so, so"', "a, b": "7", " at ": fields["at"], '"count"': fields["count"]}
    visits.deliver(f"{head}\n{','.join(fields[name] for name in order)}\n".encode())
    (verdict,) = visits.run().nodes["visits"].verdicts
    assert visits.kept() == [VALUES]
    assert (verdict.check, verdict.action, verdict.detail) == ("columns that are not declared", "warn", "note, a, b")


def test_columns_that_hold_nothing_are_null(tmp_path: Path) -> None:
    visits = Visits(tmp_path)
    visits.deliver(f"{HEADER}\n".encode() + b",,1,,,,\n" + b'"","",2,"","","",""\n')
    visits.run()
    assert visits.kept() == [(None, None, n, None, None, None, None) for n in (1, 2)]
    assert visits.bad() == []


def test_texts_that_mean_null_are_null_alone_in_a_field(tmp_path: Path) -> None:
    visits = Visits(tmp_path)
    visits.deliver(f"{HEADER}\n".encode() + b"null,NA,1,null,NA,,null\nnull x,,2,,,,\nNA,bad,3,,,,\n")
    visits.run(nulls=("", "null", "NA"))
    assert [row[:4] for row in visits.kept()] == [(None, None, 1, None), ("null x", None, 2, None)]
    assert visits.bad() == [(4, b"NA,bad,3,,,,", ("day: bad is no DATE",))]


def test_names_of_files_and_folders_are_names_and_no_patterns(tmp_path: Path) -> None:
    visits = Visits(tmp_path)
    names = ["a[1].csv", "a1.csv", "a1.csv.zst", "name=x/c0=y.csv", "n=5/a.csv", "ä 'b\".csv", "A.CSV.GZ"]
    for number, name in enumerate(names):
        (visits.inbox / name).parent.mkdir(exist_ok=True)
        data = f"{HEADER}\n{name.replace(chr(34), '')},,{number},,,,\n".encode()
        visits.deliver(gzip.compress(data) if name.endswith("GZ") else data, name)
    visits.run("**/*")
    assert [row[0] for row in visits.kept()] == [name.replace('"', "") for name in names]
