"""The data folder of a server: made whole or not at all, and freed of what a crash has left in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from assay.model.errors import WarehouseError
from assay.warehouses.postgres.server.account import Account
from assay.warehouses.postgres.server.binaries import Binaries
from assay.warehouses.postgres.server.home import DATABASE, USER, Home

_OUTPUT = 2
"""Whoever makes and runs a server has its log as standard error."""


def make(home: Home, binaries: Binaries, account: Account, lock: int) -> None:
    """Make the data folder with its database, all of it on disk before it has its name.

    Raises WarehouseError with what the programs told.
    """
    shutil.rmtree(home.unfinished, ignore_errors=True)  # of one that was killed
    home.unfinished.mkdir(mode=0o700)
    account.owns(home.unfinished)
    with account.reaching(home.unfinished) as (data, keep):
        initdb: tuple[str | Path, ...] = (binaries.initdb, "-D", data)
        create = f"create database {DATABASE}\n"
        steps: tuple[tuple[str, Sequence[str | Path], str], ...] = (
            ("initdb", (*initdb, "--no-sync", *_initial(binaries.major)), ""),
            (
                "createdb",
                (binaries.postgres, "--single", "-F", "-c", "exit_on_error=on", "-D", data, "postgres"),
                create,
            ),
            ("sync", (*initdb, "--sync-only", *_sync(binaries.major)), ""),
        )
        for name, command, text in steps:
            start = os.fstat(_OUTPUT).st_size
            process = account.started(command, keep=(*keep, lock), output=_OUTPUT, text=subprocess.PIPE)
            process.communicate(text.encode())
            if process.returncode:
                shutil.rmtree(home.unfinished, ignore_errors=True)
                raise WarehouseError(f"{home.folder}: {name} of PostgreSQL failed:\n{home.told(start)}")
    home.unfinished.rename(home.data)
    folder = os.open(home.folder, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _initial(major: int) -> tuple[str, ...]:
    # Who reaches the socket may use the server: the mode of the socket's folder decides. Text is ordered by its bytes,
    # as the engine orders it, and has its capitals as Unicode says, whatever the machine is set to.
    locale = ("--locale-provider=builtin",) if major >= 17 else ("--lc-collate=C",)
    return (
        f"--username={USER}",
        "--auth-local=trust",
        "--auth-host=reject",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        *locale,
    )


def _sync(major: int) -> tuple[str, ...]:
    # One call instead of a thousand, where it is known.
    return ("--sync-method=syncfs",) if major >= 17 and os.uname().sysname == "Linux" else ()


def forget_crash(home: Home) -> None:
    """Remove the file that names the process of a server which has crashed: that number may be another's by now.

    PostgreSQL would refuse to start beside it. Call it with the lock of the server; raises WarehouseError where
    processes of a server that assay did not start are at work in the folder.
    """
    if not Path("/proc/self/cwd").exists():
        return
    if found := next(at_work(home), None):
        raise WarehouseError(
            f"{home.folder}: another server than assay's is at work in it, as process {found}. Stop that one first."
        )
    (home.data / "postmaster.pid").unlink(missing_ok=True)


def at_work(home: Home) -> Iterator[int]:
    """Find the processes of a server, on a system that can tell: the data folder is where they all stand."""
    data = home.data.stat()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text() == "postgres\n" and os.path.samestat(data, (process / "cwd").stat()):
                yield int(process.name)
        except OSError:
            continue  # has ended, or is not to be looked at, and so is not of this user
