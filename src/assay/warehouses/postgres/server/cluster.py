"""The data folder of a server: made whole or not at all, and freed of what a crash has left in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
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
        for program, arguments, text in _steps(binaries, data):
            start = os.fstat(_OUTPUT).st_size
            process = account.started([program, *arguments], keep=(*keep, lock), output=_OUTPUT, text=subprocess.PIPE)
            process.communicate(text)
            if process.returncode:
                shutil.rmtree(home.unfinished, ignore_errors=True)
                raise WarehouseError(f"{home.folder}: {program.name} cannot make its data:\n{home.told(start)}")
    home.unfinished.rename(home.data)
    _settle(home.folder)


def _steps(binaries: Binaries, data: str) -> Iterator[tuple[Path, tuple[str, ...], bytes]]:
    """Find the programs that make the data folder, with their arguments and what each reads."""
    yield binaries.initdb, ("-D", data, "--no-sync", *_initial(binaries.major)), b""
    # No server need be started for it. What it reads ends with an error at the first one, as that of a full disk.
    alone = ("--single", "-F", "-c", "exit_on_error=on", "-D", data, "postgres")
    yield binaries.postgres, alone, f"create database {DATABASE}\n".encode()
    yield binaries.initdb, ("-D", data, "--sync-only", *_sync(binaries.major)), b""


def _settle(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(major: int) -> tuple[str, ...]:
    return (f"--sync-method={sync_method()}",) if major >= 17 else ()


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


def sync_method() -> str:
    """Return how PostgreSQL should bring a whole data folder to the disk: by one call instead of a thousand."""
    return "syncfs" if os.uname().sysname == "Linux" else "fsync"


def forget_crash(home: Home) -> None:
    """Remove the file that names the process of a server which has crashed: that number may be another's by now.

    PostgreSQL would refuse to start beside it. Call it with the lock of the server; raises WarehouseError where
    processes of a server that assay did not start are at work in the folder.
    """
    if home.major is None or not Path("/proc/self/cwd").exists():
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
