"""Commands in processes whose disk is full or broken at a chosen call, or whose clock is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.processes import ROOT, environment

KINDS = {"none": 0, "full": 1, "full once": 2, "broken once": 3, "short write": 4}
"""As preload.c numbers them: `full` stays so from the chosen call on."""


@dataclass(frozen=True)
class End:
    """How a command ended."""

    code: int
    out: str
    err: str
    calls: int
    """How many calls changed something under the folder that is watched."""


@dataclass(frozen=True)
class Disk:
    """A process to run commands by."""

    process: subprocess.Popen[str]

    def call(
        self,
        *arguments: str,
        cwd: Path,
        kind: str = "none",
        number: int = 0,
        clock: int = 0,
        variables: Mapping[str, str] | None = None,
        **settings: str,
    ) -> End:
        """Run `assay`, of whose calls that change the lake one fails, and whose clock is so many seconds ahead."""
        asked: dict[str, Any] = {"arguments": arguments, "cwd": str(cwd), "folder": str(cwd / "lake")}
        asked |= {"kind": KINDS[kind], "number": number, "clock": clock}
        asked["variables"] = dict(variables or {}) | {
            f"ASSAY_{name.upper()}": value for name, value in settings.items()
        }
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        return End(**json.loads(self.process.stdout.readline()))


@contextmanager
def faulty_disk(folder: Path) -> Iterator[Disk]:
    """Build the preload and start the process; fails where there is no C compiler, and does not skip."""
    library = folder / "preload.so"
    source = Path(__file__).parent / "preload.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    command = [sys.executable, "-m", "tests.faults.serve"]
    variables = environment() | {"LD_PRELOAD": os.fspath(library)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=variables, text=True, stdin=pipe, stdout=pipe) as process:
        try:
            yield Disk(process)
        finally:
            process.kill()
