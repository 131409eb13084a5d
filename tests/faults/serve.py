"""A process that has loaded `assay` once, and runs each command that it is given in a fork of itself, with a fault."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
import tempfile
from typing import IO, Any

from assay.cli.app import main

LAZILY = (
    "assay.orchestrators.embedded",
    "assay.engines.duckdb.engine",
    "assay.warehouses.iceberg.store",
    "assay.warehouses.iceberg.metadata",
)
"""What commands import when they need it; here once for all, since that takes longer than a small run."""


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Run a command to its end, and return what it said and how many calls could have been made to fail."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if not child:
            run(asked, out, err)
        _, status = os.waitpid(child, 0)
        said = {}
        for name, file in (("out", out), ("err", err)):
            file.seek(0)
            said[name] = file.read()
    said["err"], _, calls = said["err"].rpartition("calls ")
    return {"code": os.waitstatus_to_exitcode(status), "calls": int(calls), **said}


def run(asked: dict[str, Any], out: IO[str], err: IO[str]) -> None:
    """Run a command, and end this process as the command ends."""
    for file, number in ((out, 1), (err, 2)):
        os.dup2(file.fileno(), number)
    os.chdir(asked["cwd"])
    os.environ.update(asked["variables"])
    sys.path.insert(0, asked["cwd"])
    preload = ctypes.CDLL(None)
    preload.set_clock(ctypes.c_long(asked["clock"]))
    preload.arm(os.fsencode(asked["folder"]), asked["kind"], asked["number"])
    code: Any = None
    try:
        main(asked["arguments"])
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.write(f"calls {preload.called()}")
        sys.stderr.flush()
        os._exit(code or 0)


if __name__ == "__main__":
    for module in LAZILY:
        importlib.import_module(module)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
