"""Nine tables that each wait a second for another process, as an extraction waits for a slow service."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay import Overwrite, Pipeline, Table, csv, groups, sql, table

NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SECONDS = 1.0


def _waiting(name: str) -> Table:
    """Declare a table that reads the pipe of its name; grouped, so that its rows are computed once."""

    def function(asked: Any) -> Any:
        columns = "{'id': 'BIGINT', 'answers': 'BIGINT'}"
        options = f"columns = {columns}, header = false, delim = ',', auto_detect = false"
        return sql(f"select id, answers from read_csv('{name}.pipe', {options})", asked=asked)

    function.__name__ = function.__qualname__ = f"bronze_{name}"
    function.__doc__ = f"How many answers the service has for question {name}."
    declare: Callable[[Any], Table] = table(write=Overwrite(), key="id", rows=groups("id", count="answers"))
    return declare(function)


one_second = Pipeline(
    "one_second",
    tables=[_waiting(name) for name in NAMES],
    sources={"asked": csv("asked.csv", columns={"id": "BIGINT"})},
)


def serve(folder: Path) -> None:
    """Make the pipes and the source in a folder, and answer each pipe once, a second after somebody opens it."""
    folder.mkdir(parents=True)
    (folder / "asked.csv").write_text("id\n1\n")
    for name in NAMES:
        os.mkfifo(folder / f"{name}.pipe")
        threading.Thread(target=_answer, args=(folder / f"{name}.pipe",), daemon=True).start()


def _answer(pipe: Path) -> None:
    with pipe.open("w") as opened:  # waits for a reader
        time.sleep(SECONDS)
        opened.write("1,1\n")
