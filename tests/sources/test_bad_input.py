"""Bad lines end to end: each kind of fault, alone and beside others, in every form of file; the share that blocks."""

from __future__ import annotations

import codecs
import gzip
import json
from pathlib import Path

import pytest

import assay
from assay.settings import Settings
from tests.sources.visits import COLUMNS, DAY, HEADER, Bad, Visits, bronze_visit, gold_day

HEAD = HEADER.encode()
NULL = "it holds a NUL byte"
NO_UTF8 = "it is not valid UTF-8 at byte "
OPEN = "a quoted field is not closed"
SHUT = "there is text behind the end of a quoted field"


def count_of(found: int) -> str:
    return f"it has {found} field{'s' if found > 1 else ''}, and the header has 7"


def good(number: int, name: bytes = b"Ann") -> bytes:
    return name + b",2024-01-01,%d,1.00,true,2024-01-01 08:00:00,08:00:00" % number


@pytest.fixture
def visits(tmp_path: Path) -> Visits:
    return Visits(tmp_path)


FAULTS: list[tuple[bytes, tuple[str, ...]]] = [
    (good(0) + b",more", (count_of(8),)),
    (good(0) + b",,", (count_of(9),)),
    (good(0) + b',"",""', (count_of(9),)),
    (good(0) + b", ", (count_of(8),)),
    (b"Ann,2024-01-01", (count_of(2),)),
    (b"Ann", (count_of(1),)),
    (b"   ", (count_of(1),)),
    (b"\t", (count_of(1),)),
    (b'"Lee, Ann",2024-01-01,1', (count_of(3),)),
    (b"Ann,2024-02-30,1,1,true,,", ("day: 2024-02-30 is no DATE",)),
    (b"Ann,30.02.2024,1,1,true,,", ("day: 30.02.2024 is no DATE",)),
    (b"Ann,2024-01-01 09:30:00,1,1,true,,", ("day: 2024-01-01 09:30:00 is no DATE",)),
    (b"Ann,10000-01-01,1,1,true,,", ("day: 10000-01-01 is no DATE",)),
    (b"Ann,2024-01-01 (BC),1,1,true,,", ("day: 2024-01-01 (BC) is no DATE",)),
    (b"Ann,,many,1,true,,", ("count: many is no BIGINT",)),
    (b"Ann,,1.5,1,true,,", ("count: 1.5 is no BIGINT",)),
    (b"Ann,,9223372036854775808,1,true,,", ("count: 9223372036854775808 is no BIGINT",)),
    (b"Ann,,1,free,true,,", ("price: free is no DECIMAL(8,2)",)),
    (b"Ann,,1,0.999,true,,", ("price: 0.999 is no DECIMAL(8,2)",)),
    (b'Ann,,1,"1,50",true,,', ("price: 1,50 is no DECIMAL(8,2)",)),
    (b"Ann,,1,1000000,true,,", ("price: 1000000 is no DECIMAL(8,2)",)),
    (b"Ann,,1,1,perhaps,,", ("ok: perhaps is no BOOLEAN",)),
    (b"Ann,,1,1,true,yesterday,", ("at: yesterday is no TIMESTAMP",)),
    (b"Ann,,1,1,true,epoch,", ("at: epoch is no TIMESTAMP",)),
    (b"Ann,,1,1,true,2024-01-01 08:00:00+05:30,", ("at: 2024-01-01 08:00:00+05:30 is no TIMESTAMP",)),
    (b"Ann,,1,1,true,2024-01-01 08:00:00.0000001,", ("at: 2024-01-01 08:00:00.0000001 is no TIMESTAMP",)),
    (b"Ann,,1,1,true,,25:00", ("clock: 25:00 is no TIME",)),
    (b"Ann,,1,1,true,,2024-01-01 08:00:00", ("clock: 2024-01-01 08:00:00 is no TIME",)),
    (b"Ann,,1,1,true,,08:00:00+01", ("clock: 08:00:00+01 is no TIME",)),
    (b"A\0nn,,1,1,true,,", (NULL,)),
    (b"Ann,,1\0,1,true,,", ("count: 1\ufffd is no BIGINT", NULL)),
    (b"A\xff,,1,1,true,,", (NO_UTF8 + "2",)),
    (b"\xc3,,1,1,true,,", (NO_UTF8 + "1",)),
    (b"Ann,,1,1,true,,\xe2\x82", ("clock: \ufffd is no TIME", NO_UTF8 + "16")),
    (b'"Ann,,1,1,true,,', (OPEN,)),
    (b'"Ann"a,,1,1,true,,', (SHUT,)),
    (b'"Ann" "Lee",,1,1,true,,', (SHUT,)),
    (b"Ann,,1,1,tr\rue,,", ("it holds a carriage return outside quotes",)),
    (
        b"A\0\xff,2024-13-01,x,1.001,2,now,noon",
        (
            "at: now is no TIMESTAMP",
            "clock: noon is no TIME",
            "count: x is no BIGINT",
            "day: 2024-13-01 is no DATE",
            NULL,
            NO_UTF8 + "3",
            "ok: 2 is no BOOLEAN",
            "price: 1.001 is no DECIMAL(8,2)",
        ),
    ),
    (b"A\0\xff,1,2", (count_of(3), NULL, NO_UTF8 + "3")),
    (b'"A,\0\xff",1,2', (count_of(3), NULL, NO_UTF8 + "5")),
]
"""Lines, and all that is wrong with them."""
WRAPPED = b'"Lee,\nAnn"'


def test_each_fault_is_told_whole_between_good_lines_beside_others_and_after_quoted_line_breaks(visits: Visits) -> None:
    lines, bad = [HEAD], []
    for number, (fault, reasons) in enumerate(FAULTS):
        alone = [good(4 * number), fault, good(4 * number + 1, WRAPPED), fault, fault, good(4 * number + 2), b""]
        # The wrapped record is two lines.
        bad += [(len(lines) + number + place, fault, reasons) for place in (2, 5, 6)]
        lines += alone
    visits.deliver(b"\n".join(lines))
    node = visits.run().nodes["visits"]
    assert visits.bad() == sorted((line, raw, tuple(sorted(reasons))) for line, raw, reasons in bad)
    assert [row[2] for row in visits.kept()] == [4 * n + m for n in range(len(FAULTS)) for m in range(3)]
    assert visits.query("select count(*) from bronze.visit where name = 'Lee,\nAnn'") == [(len(FAULTS),)]
    assert (node.ledger.rejected, node.ledger.written) == (3 * len(FAULTS), 3 * len(FAULTS))


def test_each_fault_alone_in_a_file_leaves_its_neighbours_as_they_are(visits: Visits) -> None:
    for number, (fault, _) in enumerate(FAULTS):
        visits.deliver(b"\n".join([HEAD, good(2 * number), fault, good(2 * number + 1)]), f"{number}.csv")
    visits.run()
    assert visits.bad_by_file() == {
        f"{number}.csv": [(3, fault, tuple(sorted(reasons)))] for number, (fault, reasons) in enumerate(FAULTS)
    }
    assert [row[2] for row in visits.kept()] == list(range(2 * len(FAULTS)))


FORMS = {
    "LF": lambda lines: b"\n".join(lines) + b"\n",
    "no newline at the end": b"\n".join,
    "CR LF": lambda lines: b"\r\n".join(lines) + b"\r\n",
    "CR LF, none at the end": b"\r\n".join,
    "both ends of lines": lambda lines: b"\r\n".join(lines[:3]) + b"\n" + b"\n".join(lines[3:]),
    "byte order mark": lambda lines: codecs.BOM_UTF8 + b"\n".join(lines),
    "blank lines behind": lambda lines: b"\n".join(lines) + b"\n\n\r\n\n",
}


def test_first_and_last_lines_are_kept_in_their_own_bytes_in_every_form_of_file(visits: Visits) -> None:
    for number, form in enumerate(FORMS.values()):
        lines = [HEAD, b"first\xff", good(2 * number), b"3,\xc3\xa9", good(2 * number + 1), b"la\0st"]
        visits.deliver(form(lines), f"{number}.csv")
        # Content that stands twice would be refused.
        packed = form([*lines[:2], good(100 + 2 * number), lines[3], good(101 + 2 * number), lines[5]])
        visits.deliver(gzip.compress(packed), f"{number}.csv.gz")
    visits.run()
    bad = [
        (2, b"first\xff", (count_of(1), NO_UTF8 + "6")),
        (4, b"3,\xc3\xa9", (count_of(2),)),
        (6, b"la\0st", (count_of(1), NULL)),
    ]
    names = [f"{number}.csv{ending}" for number in range(len(FORMS)) for ending in ("", ".gz")]
    assert visits.bad_by_file() == dict.fromkeys(names, bad)
    assert [row[2] for row in visits.kept()] == [*range(2 * len(FORMS)), *range(100, 100 + 2 * len(FORMS))]
    kinds = visits.query(
        "select line, raw_encoding, raw from meta.quarantine where source_file = '0.csv' order by line"
    )
    assert kinds == [(2, "base64", "Zmlyc3T/"), (4, "utf-8", "3,é"), (6, "utf-8", "la\0st")]


@pytest.mark.parametrize(
    ("encoding", "written", "name"),
    [
        ("utf-16", "utf-16", "Zoë 東京"),
        ("utf-16", "utf-16-le", "Zoë 東京"),
        ("utf-16-be", "utf-16-be", "Zoë 東京"),
        ("utf-32", "utf-32", "Zoë 東京"),
        ("latin-1", "latin-1", "Zoë \x85"),
        ("cp1252", "cp1252", "Zoë €"),
        ("utf-8-sig", "utf-8-sig", "Zoë 東京"),
        ("shift_jis", "shift_jis", "東京"),
        ("cp037", "cp037", "Zoë"),
    ],
)
def test_a_declared_encoding_is_read_and_its_bad_lines_kept_as_they_stand(
    visits: Visits, encoding: str, written: str, name: str
) -> None:
    good_text, bad_text = good(1).decode().replace("Ann", name), f"{name},soon,1,1,true,,"
    text = "\n".join([HEADER, good_text, bad_text, good_text.replace(",1,", ",2,"), ""])
    data = text.encode(written)
    visits.deliver(data)
    visits.run(encoding=encoding)
    assert [(row[0], row[2]) for row in visits.kept()] == [(name, 1), (name, 2)]
    ((line, raw, reasons),) = visits.bad()
    assert (line, reasons) == (3, ("day: soon is no DATE",))
    bare = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(written, written)
    assert raw == bad_text.encode(bare)
    assert raw in data


def test_the_file_and_line_of_a_bad_line_are_told_with_its_run_and_source(visits: Visits) -> None:
    for name in ("2024/a.csv", "2024/b.csv"):
        (visits.inbox / "2024").mkdir(exist_ok=True)
        visits.deliver(b"\n".join([HEAD, good(1, name.encode()), b"bad " + name.encode()]), name)
    visits.run("**/*.csv")
    query = "select run, node, source_file, line, raw, position, row from meta.quarantine order by source_file"
    assert visits.query(query) == [
        (1, "visits", "2024/a.csv", 3, "bad 2024/a.csv", None, None),
        (1, "visits", "2024/b.csv", 3, "bad 2024/b.csv", None, None),
    ]


def test_a_record_of_several_lines_with_a_bad_value_is_kept_whole_at_its_first_line(visits: Visits) -> None:
    record = b'"Lee,\r\nAnn",never,1,1,true,,'
    visits.deliver(b"\n".join([HEAD, good(1), record, b"x", good(2)]))
    visits.run()
    expected: list[Bad] = [(3, record, ("day: never is no DATE",)), (5, b"x", (count_of(1),))]
    assert visits.bad() == expected
    assert [row[2] for row in visits.kept()] == [1, 2]


def test_a_stray_quote_costs_its_own_line_alone(visits: Visits) -> None:
    lines = [HEAD, *(good(n) for n in range(1_500)), b'"stray,,1,1,true,,', *(good(n) for n in range(1_500, 3_000))]
    visits.deliver(b"\n".join(lines))
    visits.run()
    assert visits.bad() == [(1_502, b'"stray,,1,1,true,,', (OPEN,))]
    assert [row[2] for row in visits.kept()] == list(range(3_000))


def test_a_record_longer_than_the_engine_reads_is_bad_and_its_neighbours_are_not(visits: Visits) -> None:
    longest = good(1, b"x" * 1_800_000)
    for number, far in enumerate((b"y" * 2_100_000, b"z" * 40_000_000)):
        visits.deliver(
            b"\n".join([HEAD, longest.replace(b",1,", b",%d," % (number + 5)), good(2, far), good(3)]), f"{number}.csv"
        )
    visits.run("?.csv")
    for name in ("0.csv", "1.csv"):
        ((line, raw, reasons),) = visits.bad(name)
        assert (line, raw[-20:], reasons) == (3, good(2)[-20:], ("it is longer than 1,900,000 bytes",))
    assert sorted((row[2], len(row[0])) for row in visits.kept()) == [(3, 3), (3, 3), (5, 1_800_000), (6, 1_800_000)]


@pytest.mark.parametrize(
    ("bad", "share", "blocks"),
    [(49, None, False), (50, None, False), (51, None, True), (1, 0.0, True)],
)
def test_more_than_the_settable_share_of_bad_lines_blocks(
    tmp_path: Path, bad: int, share: float | None, blocks: bool
) -> None:
    visits = Visits(tmp_path)
    visits.deliver(b"\n".join([HEAD, *(good(n) for n in range(1_000, 3_000)), b""]), "0.csv")
    visits.run(share=1)
    visits.deliver(b"\n".join([HEAD, *(good(n) for n in range(1_000 - bad)), *[b"bad"] * bad, b""]))
    source = assay.csv(str(visits.inbox / "*"), columns=COLUMNS)
    pipeline = assay.Pipeline("visits", tables=[bronze_visit, gold_day], sources={"visits": source})
    settings = Settings(retries=0) if share is None else Settings(retries=0, rejected_share=share)
    # What is delivered now is judged, not what stands: a file that is all bad is bad however long the history.
    result = assay.run(pipeline, warehouse=visits.lake, as_of=DAY, settings=settings)
    told = f"visits: {bad} of 1,000 rows ({bad / 1000:.1%}) were rejected, more than {settings.rejected_share:.1%}"
    assert result.problems == ((f"{told} (setting rejected_share)",) if blocks else ())
    assert visits.query("select count(*) from bronze.visit") == [(2_000 if blocks else 3_000 - bad,)]
    assert json.loads(json.dumps(result.to_json()))["steps"]["visits"]["rejected"] == bad
