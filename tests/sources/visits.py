"""Visits for tests: a source of every type, a lake, and files with planted faults whose truth is known."""

from __future__ import annotations

import base64
import datetime as dt
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import assay
from assay.model.run import RunResult
from assay.settings import Settings

DAY = dt.date(2024, 12, 1)
EPOCH = dt.datetime.fromisoformat("1970-01-01")
COLUMNS = {
    "name": "VARCHAR",
    "day": "DATE",
    "count": "BIGINT",
    "price": "DECIMAL(8,2)",
    "ok": "BOOLEAN",
    "at": "TIMESTAMP",
    "clock": "TIME",
}
HEADER = ",".join(COLUMNS)
Row = tuple[Any, ...]
Bad = tuple[int, bytes, tuple[str, ...]]
"""Number of the line, its own bytes, and its reasons, sorted."""


@assay.table(write=assay.Append())
def bronze_visit(visits: Any) -> Any:
    """Every visit as delivered."""
    return visits


@assay.table(rows=assay.groups("day", count="visits"))
def gold_day(bronze_visit: Any) -> Any:
    """Visits a day."""
    return assay.sql("select day, count(*) as visits from b group by day", b=bronze_visit)


class Visits:
    """An inbox and a lake."""

    def __init__(self, folder: Path) -> None:
        self.lake, self.inbox = folder / "lake", folder / "inbox"
        self.inbox.mkdir()

    def deliver(self, data: bytes, name: str = "a.csv") -> Path:
        path = self.inbox / name
        path.write_bytes(data)
        return path

    def run(self, path: str = "*", *, share: float = 1.0, columns: dict[str, str] = COLUMNS, **how: Any) -> RunResult:
        """Run over the inbox, `share` of whose lines may be bad; `how` is what the source is declared by."""
        source = assay.csv(str(self.inbox / path), columns=columns, **how)
        pipeline = assay.Pipeline("visits", tables=[bronze_visit, gold_day], sources={"visits": source})
        settings = Settings(retries=0, workers=2, rejected_share=share)
        return assay.run(pipeline, warehouse=self.lake, as_of=DAY, settings=settings)

    def query(self, text: str) -> list[Row]:
        with assay.connect(self.lake) as lake:
            return lake.sql(text).fetchall()

    def kept(self) -> list[Row]:
        """The rows of the lake, by their counts."""
        return self.query("from bronze.visit order by count")

    def bad(self, file: str = "a.csv") -> list[Bad]:
        """The bad lines of a file, each as many times as it is kept."""
        return self.bad_by_file().get(file, [])

    def bad_by_file(self) -> dict[str, list[Bad]]:
        """The bad lines of every file."""
        found: dict[str, list[Bad]] = {}
        query = "select source_file, line, raw, raw_encoding, reasons from meta.quarantine order by line"
        for file, line, raw, how, reasons in self.query(query):
            own = base64.b64decode(raw) if how == "base64" else raw.encode(how)
            found.setdefault(file, []).append((line, own, tuple(sorted(json.loads(reasons)))))
        return found

    def content(self) -> dict[str, bytes]:
        """Every byte of the lake."""
        return {str(path.relative_to(self.lake)): path.read_bytes() for path in self.lake.rglob("*") if path.is_file()}


@dataclass
class Truth:
    """A file, and what is to come of it."""

    data: bytes = b""
    rows: list[Row] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)


@dataclass(frozen=True)
class Form:
    """How a file is written; `broken` stands for bytes that are none of its encoding, which `label` names."""

    encoding: str = "utf-8"
    newline: str = "\n"
    mark: bytes = b""
    broken: str | None = "\udcff"
    label: str = "UTF-8"
    ends: bool = True

    def encode(self, text: str) -> bytes:
        return text.encode(self.encoding, "surrogatepass" if self.encoding.startswith("utf-16") else "surrogateescape")


PLAIN = Form()
NAMES = ["Ann", "Zoë", " Bo ", "O'Neill", 'says "hi"', "x; y", "", "Lee, Ann", 'A "B", C', "Tokyo 東京, 1"]
NAMES += ["a\nb", "é,\n\nthree"]
Fields = list[str]
Fault = Callable[[random.Random, Fields], str]


def fault_of_type(column: int, texts: list[str], kind: str) -> Fault:
    """A value that is none of its column's type."""

    def spoil(rnd: random.Random, fields: Fields) -> str:
        fields[column] = rnd.choice(texts)
        return f"{list(COLUMNS)[column]}: {fields[column]} is no {kind}"

    return spoil


def too_many(rnd: random.Random, fields: Fields) -> str:
    fields += rnd.choice([["x"], ["", ""], ["1", "2", "3"]])
    return f"it has {len(fields)} fields, and the header has 7"


def too_few(rnd: random.Random, fields: Fields) -> str:
    del fields[rnd.randint(1, 6) :]
    return f"it has {len(fields)} field{'s' if len(fields) > 1 else ''}, and the header has 7"


def unclosed(rnd: random.Random, fields: Fields) -> str:
    fields[0] = '"open'
    return "a quoted field is not closed"


def behind(rnd: random.Random, fields: Fields) -> str:
    fields[0] = rnd.choice(['"shut"x', '"one" "two"', '"a"b"'])
    return "there is text behind the end of a quoted field"


VALUES: list[Fault] = [
    fault_of_type(1, ["2024-02-30", "soon", "2024-01-01 10:00", "0000-01-01", "epoch"], "DATE"),
    fault_of_type(2, ["twelve", "1.5", "9223372036854775808", "1e3", "0x1F"], "BIGINT"),
    fault_of_type(3, ["1.234", "1234567.00", "free", "1-"], "DECIMAL(8,2)"),
    fault_of_type(4, ["maybe", "2"], "BOOLEAN"),
    fault_of_type(5, ["2024-13-01 00:00:00", "2024-01-01 10:00:00+02:00", "infinity"], "TIMESTAMP"),
    fault_of_type(6, ["25:00:00", "2024-01-01 10:00:00", "24:00:00"], "TIME"),
]
SHAPES: list[Fault] = [too_many, too_few, unclosed, behind]


def generate(seed: int, records: int, share: float, form: Form = PLAIN) -> Truth:
    """Make a file of good records, some over several lines, and of lines with one to four faults each."""
    rnd, data = random.Random(seed), [form.mark + form.encode(HEADER + form.newline)]
    truth = Truth()
    line = 2
    for number in range(records):
        values = drawn(rnd, number, form)
        fields = [quoted(values[0]), *map(str, values[1:])]
        if bad := rnd.random() < share:
            text, reasons = plant(rnd, fields, form)
            truth.bad.append((line, text, reasons))
        else:
            rare = {n for n in (1, 3, 4, 5, 6) if rnd.random() < 0.05}
            fields = ["" if n in rare else text for n, text in enumerate(fields)]
            truth.rows.append(tuple(None if n in rare or value == "" else value for n, value in enumerate(values)))
            text = form.encode(",".join(fields))
        blank = rnd.random() < 0.02
        ended = form.newline * (1 + blank) if form.ends or number < records - 1 else ""
        data.append(text + form.encode(ended))
        line += 1 + blank + (0 if bad else fields[0].count("\n"))
    truth.data = b"".join(data)
    return truth


def drawn(rnd: random.Random, number: int, form: Form) -> Row:
    name = rnd.choice(NAMES).encode(form.encoding, "ignore").decode(form.encoding).replace("\n", form.newline)
    return (
        name,
        dt.date(1, 1, 1) + dt.timedelta(days=rnd.randrange(3_652_000)),
        number,
        Decimal(rnd.randint(-99999999, 99999999)).scaleb(-2),
        rnd.random() < 0.5,
        EPOCH + dt.timedelta(microseconds=rnd.randrange(2 * 10**15)),
        (EPOCH + dt.timedelta(seconds=rnd.randrange(86400))).time(),
    )


def plant(rnd: random.Random, fields: Fields, form: Form) -> tuple[bytes, tuple[str, ...]]:
    """Put faults into a line; return its bytes and their reasons."""
    fields[0] = rnd.choice(["Ann", "Zoë", '"Lee, Ann"'])
    shape, null, broken = (rnd.random() < chance for chance in (0.4, 0.3, 0.3 if form.broken else 0.0))
    others = shape or null or broken
    faults = [rnd.choice(SHAPES)] if shape else rnd.sample(VALUES, rnd.randint(0 if others else 1, 2))
    reasons = [fault(rnd, fields) for fault in faults]
    if null:
        fields[0] = fields[0][:2] + "\0" + fields[0][2:]
        reasons.append("it holds a NUL byte")
    if broken:
        reasons.append(f"it is not valid {form.label} at byte {len(form.encode(fields[0][:2])) + 1}")
        fields[0] = fields[0][:2] + str(form.broken) + fields[0][2:]
    return form.encode(",".join(fields)), tuple(sorted(reasons))


def quoted(text: str) -> str:
    plain = not set(text) & set(',"\n') and text.strip() == text
    return text if plain else '"' + text.replace('"', '""') + '"'
