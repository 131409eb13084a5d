"""The lines of a file: which make records and which are bad, compared with a reader of its own for any bytes at all."""

from __future__ import annotations

import codecs
import gzip
import io
import random
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.model.errors import SourceError
from assay.model.files import Csv, csv
from assay.sources.lines import BadLine, has_rows, header_of, mend, pick, survey

WIDTH = 3
SOURCE = csv("x.csv", columns=dict.fromkeys("abc", "VARCHAR"))
HEAD = b"a,b,c"


@dataclass
class Mended:
    """What became of a file: each record as number, line, flag and text; each bad line as number and bytes."""

    records: list[tuple[int, int, int, bytes]]
    bad: list[BadLine]


class Pieces(io.BytesIO):
    """A file that remembers what was written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self.written.append(piece)
        return super().write(piece)


def mended(data: bytes, source: Csv = SOURCE, width: int = WIDTH) -> Mended:
    clean = Pieces()
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.csv")
        path.write_bytes(data)
        bad = list(mend(source, str(path), width, clean))
    led = [piece.removesuffix(b"\n").split(b",", 3) for piece in clean.written]
    return Mended([(int(number), int(at), int(flag), text) for number, at, flag, text in led], bad)


def expected_of_plain_lines(data: bytes) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    """The oracle for files without quotes: good lines and bad lines by number, from the bytes alone."""
    good, bad = [], []
    for number, whole in enumerate(data.split(b"\n"), 1):
        line = whole[:-1] if whole[-1:] == b"\r" else whole
        if number == 1 or not line:
            continue
        broken = line.decode("utf-8", "ignore").encode() != line
        shape = line.count(b",") == 2 or (line.count(b",") == 3 and line[-1:] == b",")
        (good if shape and b"\r" not in line and b"\0" not in line and not broken else bad).append((number, line))
    return good, bad


PIECES = st.sampled_from([b"a", b",", b"\n", b"\r\n", b" ", b"\0", b"\xff", b"\xc3\xa9", b"\r", b"x,y,z\n", b"1,2\n"])


@given(st.lists(PIECES | st.binary(max_size=3).map(lambda b: b.replace(b'"', b"'")), max_size=40).map(b"".join))
def test_without_quotes_every_line_is_a_record_or_a_bad_line_with_its_own_bytes(body: bytes) -> None:
    data = HEAD + b"\n" + body
    good, bad = expected_of_plain_lines(data)
    found = mended(data)
    flagged = {at for _, at, flag, _ in found.records if flag}
    assert [(at, text) for _, at, flag, text in found.records if not flag] == [
        (at, line[:-1] if line.count(b",") == 3 else line) for at, line in good
    ]
    assert sorted({line.line for line in found.bad} | flagged) == [at for at, _ in bad]
    assert [(line.line, line.raw) for line in found.bad] == [(at, raw) for at, raw in bad if at not in flagged]
    # Of a record whose bytes are bad the values are judged first; then it is picked.
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.csv")
        path.write_bytes(data)
        picked = list(pick(SOURCE, str(path), WIDTH, dict.fromkeys(flagged, ())))
    assert [(line.line, line.raw) for line in picked] == [(at, raw) for at, raw in bad if at in flagged]
    assert all(line.reasons for line in [*found.bad, *picked])


RECORD = st.lists(st.text('ab ,"\n', max_size=4), min_size=1, max_size=5)


def written(fields: list[str]) -> str:
    """A record as any writer of CSV would have it, every field in quotes."""
    return ",".join('"' + field.replace('"', '""') + '"' for field in fields)


@given(st.lists(RECORD, max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_records_in_quotes_are_found_whole_whatever_stands_in_them(records: list[list[str]], end: str) -> None:
    records = [record[:WIDTH] + ["x"] * (WIDTH - len(record)) for record in records]
    found = mended((HEAD.decode() + end + "".join(written(r).replace("\n", end) + end for r in records)).encode())
    at, expected = 2, []
    for number, record in enumerate(records, 1):
        expected.append((number, at, 0, written(record).replace("\n", end).encode()))
        at += 1 + written(record).count("\n")
    assert (found.records, found.bad) == (expected, [])


@given(
    st.lists(st.sampled_from([b'"', b",", b"a", b"\n", b"\r\n", b" ", b"\xff", b"\0", b'"a\nb",', b"1,2,3\n"])).map(
        b"".join
    )
)
@settings(max_examples=300)
def test_every_line_of_any_file_is_in_one_record_or_bad_or_blank(body: bytes) -> None:
    data = HEAD + b"\n" + body
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    found = mended(data)
    taken = {1}
    for _, at, flag, text in found.records:
        over = range(at, at + 1 + text.count(b"\n"))
        assert not taken & {*over}
        taken |= {*over}
        for number, own in zip(over, text.split(b"\n"), strict=True):
            # Blanks around quotes and one delimiter at the end are no part of the text.
            assert flag or own.replace(b" ", b"").strip(b"\r,") in lines[number - 1].replace(b" ", b"")
    for line in found.bad:
        assert line.line not in taken
        assert line.raw == lines[line.line - 1]
        taken.add(line.line)
    left = [number for number in range(1, len(lines) + 1) if number not in taken]
    assert [lines[number - 1] for number in left] == [b""] * len(left)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"1,2,3", b"1,2,3"),
        (b"1,2,3,", b"1,2,3"),
        (b'"1","2","3",', b'"1","2","3"'),
        (b'1,2,"3",""', b'1,2,"3"'),
        (b'"1" , "2",  3 ', b'"1","2",  3 '),
        (b'1,5" pipe,"6"" pipe"', b'1,5" pipe,"6"" pipe"'),
        (b'"","""",","', b'"","""",","'),
        (b",,", b",,"),
        (b",,,", b",,"),
    ],
)
def test_a_record_is_written_as_every_reader_understands_it(line: bytes, text: bytes) -> None:
    assert mended(HEAD + b"\n" + line) == Mended([(1, 2, 0, text)], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,2,3,,", "it has 5 fields, and the header has 3"),
        (b'1,2,3," "', "it has 4 fields, and the header has 3"),
        (b'"1" x,2,3', "there is text behind the end of a quoted field"),
        (b'"1" "2",2,3', "there is text behind the end of a quoted field"),
        (b'1,2,"3', "a quoted field is not closed"),
        (b'1,2,"3""', "a quoted field is not closed"),
        (b"1,2,\r3", "it holds a carriage return outside quotes"),
        (b'"1",2,\r3', "it holds a carriage return outside quotes"),
    ],
)
def test_a_line_that_is_no_record_says_why(line: bytes, reason: str) -> None:
    assert mended(HEAD + b"\n" + line) == Mended([], [BadLine(2, line, (reason,))])


def test_a_blank_line_is_a_record_where_there_is_one_column() -> None:
    one = csv("x.csv", columns={"a": "VARCHAR"})
    found = mended(b"a\n1\n\n2\n\n3,3\n", one, 1)
    assert found.records == [(1, 2, 0, b"1"), (2, 3, 0, b""), (3, 4, 0, b"2"), (4, 5, 0, b"")]
    assert found.bad == [BadLine(6, b"3,3", ("it has 2 fields, and the header has 1",))]


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (b"a,b,c\n1,2,3\n", True),
        (codecs.BOM_UTF8 + b"a,b,c\n1,2,3", True),
        (b"a,b,c\r\n1,2,3\r\n", True),
        (b'a,b,c\n"1,\n""2""","3",\xc3\xa9\n', True),
        (b"a,b,c\r\n1,2,3\n", False),
        (b'a,b,c\r\n"1\n2",2,3\r\n', False),
        (b"a,b,c\n1,2,\0\n", False),
        (b"a,b,c\n1,2,\xff\n", False),
        (b"a,b,c\n1,2,\xc3", False),
        (b'a,b,c\n1, "2",3\n', False),
        (b'a,b,c\n1,"2" ,3\n', False),
        (b"a,b,c\n1,\r2,3\n", False),
    ],
)
@pytest.mark.parametrize("before", [0, (1 << 20) - 12, (1 << 20) - 11, (1 << 20) - 10])
def test_only_a_file_that_all_readers_understand_alike_is_plain(
    tmp_path: Path, data: bytes, plain: bool, before: int
) -> None:
    # What tells it may lie across the pieces in which a file is read.
    path, end = tmp_path / "x.csv", b"\r\n" if b"\r\n" in data else b"\n"
    path.write_bytes(b"x" * before + end + data if before else data)
    assert survey(SOURCE, str(path)).plain is plain


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"a,b,c", False),
        (b"a,b,c\n\r\n  \n", False),
        (b'"a\n",b,c\n', False),
        (b'"a\n",b,c\n1', True),
        (b"a,b,c\n\0", True),
    ],
)
def test_a_file_has_rows_where_anything_stands_behind_its_header(
    tmp_path: Path, data: bytes, rows: bool, packed: bool
) -> None:
    path = tmp_path / ("x.csv.gz" if packed else "x.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    assert has_rows(SOURCE, str(path)) is rows


def test_a_header_may_hold_quotes_blanks_line_breaks_and_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(codecs.BOM_UTF8 + b'"a" , "b",c ,"d\n""e"",",\n1,2,3,4,\n')
    assert header_of(SOURCE, str(path)) == ["a", "b", "c", 'd\n"e",', ""]
    with pytest.raises(SourceError, match=r"x\.csv: has no column 'z'\. It has: a, b, c"):
        header_of(csv("x.csv", columns={"z": "VARCHAR"}), str(path))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-be"])
def test_wide_lines_end_where_their_characters_do(encoding: str) -> None:
    # Bytes of these characters look like ends of lines, some across two of them.
    rnd = random.Random(1)
    texts = ["".join(rnd.choice("\u0a00\u0a0a\u000d\u0d0a\u010a\u0a01a") for _ in range(20)) for _ in range(5_000)]
    texts = [text.replace("\r", "") for text in texts]
    data = "".join(f"{text}\r\n" for text in ["a,b,c", *texts]).encode(encoding)
    source = csv("x.csv", columns=dict(SOURCE.columns), encoding=encoding)
    found = mended(data, source)
    assert [(line.line, line.raw) for line in found.bad] == [(n, t.encode(encoding)) for n, t in enumerate(texts, 2)]
    assert {line.to_json()["raw_encoding"] for line in found.bad} == {"base64"}
