"""The process that answers one query: it is told what is asked on standard input, and is gone with the answer.

So a query can be ended at any moment, takes no more memory than it is given, and leaves nothing behind for the next.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal

import duckdb

from assay import assembly, platform
from assay.engines.duckdb.confined import reading
from assay.model.errors import AssayError, describe
from assay.model.past import read_at
from assay.model.secrets import without_secrets

Form = Literal["page", "csv"]
PAGE_ROWS = 1_000
"""Rows of a result that a page shows."""
CELL_CHARACTERS = 2_000
_PAGE_CHARACTERS = 4_000_000
_ERROR_CHARACTERS = 4_000
_SOME_ROWS = 5_000
_BESIDE = 512 << 20
"""Memory of the process that the engine does not count: Python, libraries, and texts while they are made."""
_NUMBER = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DECIMAL\(.*\)|DOUBLE|FLOAT|BIGNUM|NUMBER)")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of one process."""

    query: str
    at: str | None
    """The run or time whose published state is read; None for the newest."""
    warehouse: str | None
    form: Form
    seconds: float
    """After which nobody waits for the answer any more."""


def main() -> None:
    """Answer the question that comes, if one does: a line of JSON, and behind it the lines of CSV asked for."""
    told = sys.stdin.readline()
    if not told:
        return
    asked = Question(**json.loads(told))
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    signal.alarm(int(asked.seconds) + 2)
    out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="replace", newline="")
    try:
        _answer(asked, out)
    except duckdb.OutOfMemoryException:
        limit = assembly.current_settings().memory_limit
        _tell(out, {"error": f"The query needs more memory than it may have: memory_limit = {limit}."})
    except MemoryError:
        _tell(out, {"error": "The query needs more memory than it may have."})
    except (AssayError, duckdb.Error) as error:
        _tell(out, {"error": without_secrets(str(error))[:_ERROR_CHARACTERS]})
    except Exception as error:
        _tell(out, {"error": describe(error)[:_ERROR_CHARACTERS]})


def _end_with_the_server() -> None:
    """End this process, whatever it is at, when who has asked is gone: also one that was killed has left its pipe."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _answer(asked: Question, out: io.TextIOWrapper) -> None:
    query, began = reading(asked.query), time.monotonic()
    at = read_at(asked.at) if asked.at else None
    connection = platform.connect_confined(asked.warehouse, at=at)
    _confine(assembly.current_settings().memory_bytes + _BESIDE)
    found = connection.execute(query)
    columns = [str(column[0]) for column in found.description or ()]
    kinds = [str(column[1]) for column in found.description or ()]
    if asked.form == "csv":
        # The first rows are had before anything is told, so that most errors are told as errors.
        some = found.fetchmany(_SOME_ROWS)
        _tell(out, {})
        lines = csv.writer(out)
        lines.writerow(columns)
        while some:
            lines.writerows(some)
            some = found.fetchmany(_SOME_ROWS)
        out.flush()
        return
    rows, cut = _page(found.fetchmany(PAGE_ROWS + 1))
    numeric = [is_numeric(kind) for kind in kinds]
    seconds = round(time.monotonic() - began, 3)
    _tell(out, {"columns": columns, "numeric": numeric, "rows": rows, "cut": cut, "seconds": seconds})


def _page(found: list[tuple[Any, ...]]) -> tuple[list[list[str | None]], bool]:
    """Return rows as a page shows them, and whether there are more than it can."""
    rows: list[list[str | None]] = []
    room = _PAGE_CHARACTERS
    for row in found[:PAGE_ROWS]:
        cells = [shown(value) for value in row]
        room -= sum(len(cell or "") + 1 for cell in cells)
        if room < 0:
            return rows, True
        rows.append(cells)
    return rows, len(found) > PAGE_ROWS


def is_numeric(kind: str) -> bool:
    """Return whether values of a SQL type are numbers, which stand under each other."""
    return _NUMBER.fullmatch(kind) is not None


def shown(value: Any) -> str | None:
    """Return a value as a page shows it: shortened where it is long; None for a null."""
    match value:
        case None:
            return None
        case bool():
            text = str(value).lower()
        case bytes():
            text = value[:CELL_CHARACTERS].hex(" ")
        case _:
            text = str(value)
    return text if len(text) <= CELL_CHARACTERS else f"{text[:CELL_CHARACTERS]}…"


def _confine(memory: int) -> None:
    """Let this process have so many bytes of memory, and make no file longer."""
    for what, wanted in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_FSIZE, 0)):
        _, most = resource.getrlimit(what)
        bound = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(what, (bound, bound))


def _tell(out: io.TextIOWrapper, document: dict[str, Any]) -> None:
    out.write(f"{json.dumps(document)}\n")
    out.flush()


if __name__ == "__main__":
    main()
