"""Using the server of a folder: the first process to come has it started, with the last to leave it stops."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.model.errors import WarehouseError
from assay.warehouses.postgres.server.home import Home
from assay.warehouses.postgres.server.keeper import READY
from assay.warehouses.postgres.server.locks import Lock

_PAUSE = 0.01
_START_SECONDS = 600.0
"""What another process may need to start the server: after a crash it reads its log anew."""
_STOP_SECONDS = 60.0


@contextmanager
def embedded(folder: Path, *, create: bool = True, binaries: Path | None = None) -> Iterator[str]:
    """Yield the address of a running server whose data is in a folder; both are made where `create` is set.

    Any number of processes may use it at once. It listens on a socket that only its user and root can reach, never on
    the network, and is stopped when nobody uses it any more, also when those who did were killed. `binaries` is the
    folder of `postgres` and `initdb` to run, instead of those that are found. Raises WarehouseError where the folder
    holds something else or, where nothing is to be made, nothing; where no PostgreSQL is found, or does not start.
    """
    if not create and Home(folder).major is None:
        place = f"postgresql:{folder}"
        raise WarehouseError(f"{place}: holds no warehouse yet; `assay run PIPELINE --warehouse {place}` makes one.")
    home = Home.claimed(folder)
    try:
        with home.lock("users") as users:
            _until(users.share, home, "stop")  # else a server that is on its way down
            _run(home, binaries)
            yield home.url
    finally:
        _see_it_stop(home)


def _run(home: Home, binaries: Path | None) -> None:
    """See that the server runs: start it, or wait for who starts it."""

    def runs() -> bool:
        with home.lock("server") as server:
            if server.take():
                _start(home, server, binaries)
        return home.is_ready()

    _until(runs, home, "start")


def _start(home: Home, lock: Lock, binaries: Path | None) -> None:
    keeper = [sys.executable, "-P", "-m", "assay.warehouses.postgres.server.keeper"]
    with home.open_log() as log:
        result = subprocess.run(
            [*keeper, home.folder, str(lock.descriptor), binaries or ""],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=(lock.descriptor,),
            cwd="/",
            start_new_session=True,  # out of reach of Ctrl-C, which is for this process
            check=False,
        )
    said = result.stdout.decode(errors="surrogateescape")
    if said != READY:
        raise WarehouseError(said or f"{home.folder}: its server does not start; {home.log} may tell why.")


def _until(done: Callable[[], bool], home: Home, verb: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while not done():
        if time.monotonic() > end:
            raise WarehouseError(f"{home.folder}: its server does not {verb}; {home.log} may tell why.")
        time.sleep(_PAUSE)


def _see_it_stop(home: Home) -> None:
    """Wait until the server has stopped, unless others use it."""
    end = time.monotonic() + _STOP_SECONDS
    with home.lock("server") as server, home.lock("users") as users:
        while not server.take() and time.monotonic() < end:
            if users.take():
                users.drop()  # for the keeper, who waits for it
            elif users.share():
                return  # beside others
            time.sleep(_PAUSE)
