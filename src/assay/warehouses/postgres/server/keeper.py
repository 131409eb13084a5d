"""The process that starts a server, stops it when nobody uses it any more, and dies with it."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from assay.model.errors import AssayError, WarehouseError
from assay.warehouses.postgres.server import cluster
from assay.warehouses.postgres.server.account import Account
from assay.warehouses.postgres.server.binaries import Binaries, find_binaries
from assay.warehouses.postgres.server.home import PORT, Home

READY = "ready"
"""What it says on standard output when the server is ready, instead of what is wrong."""
_SECONDS = 0.01
_LOG = 2
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_FAST = signal.SIGINT
"""Tells a server to end all connections and stop with everything on disk."""


def main(folder: Path, lock: int, binaries: Path | None) -> None:
    """Start the server of a folder, whose lock was taken and is inherited; return when it has ended."""
    if os.fork():
        os._exit(0)  # who has started this process need not wait for its end
    home = Home(folder)
    try:
        account = Account.of(home)
        cluster.forget_crash(home)
        with _socket_folder(home, account):
            _keep(home, _started(home, account, lock, binaries))
    except AssayError as error:
        _say(str(error))
    except OSError as error:
        _say(f"{folder}: its server does not start: {error}")


def _keep(home: Home, server: subprocess.Popen[bytes]) -> None:
    """Say that the server is ready, and return when it has ended."""
    signal.signal(signal.SIGTERM, lambda *_: server.send_signal(_FAST))
    _say(READY)
    Thread(target=_stop_when_left, args=(home, server), daemon=True).start()
    if server.wait():
        _end_orphans(home)


def _say(text: str) -> None:
    """Tell who waits for it, who then reads to the end."""
    with suppress(BrokenPipeError):  # killed meanwhile; its lock is gone, so the server stops
        os.write(1, text.encode(errors="surrogateescape"))
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 1)


def _started(home: Home, account: Account, lock: int, named: Path | None) -> subprocess.Popen[bytes]:
    binaries = find_binaries(account, home.programs, named=named, major=home.major)
    if home.major is None:
        cluster.make(home, binaries, account, lock)
    start = os.fstat(_LOG).st_size
    server = _launched(home, binaries, account, lock)
    while not home.is_ready():
        if server.poll() is not None:
            raise WarehouseError(f"{home.folder}: its server does not start:\n{home.told(start)}")
        time.sleep(_SECONDS)
    return server


def _launched(home: Home, binaries: Binaries, account: Account, lock: int) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(home.sockets),
        "unix_socket_permissions": "0700",
        "port": str(PORT),
        "timezone": "UTC",
        "log_timezone": "UTC",
        "recovery_init_sync_method": cluster.sync_method(),
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with account.reaching(home.data) as (data, keep):
        command: list[str | Path] = [binaries.postgres, "-D", data, *options]
        return account.started(command, keep=(*keep, lock), output=_LOG, first=_die_with_keeper)


def _die_with_keeper() -> None:
    """Have the system stop the server when its keeper was killed, where it can; called in the server's process."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, _FAST.value)


@contextmanager
def _socket_folder(home: Home, account: Account) -> Iterator[None]:
    """Have a folder that only the server's user and root can enter; raises WarehouseError where it is another's."""
    folder = home.sockets
    if _is_own(folder, account):
        shutil.rmtree(folder)  # of a server that has crashed; its number may be a living process's by now
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise WarehouseError(f"{folder}: is in the way of the server's socket, and not its own. Remove it.") from None
    try:
        account.owns(folder)
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_own(folder: Path, account: Account) -> bool:
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid


def _stop_when_left(home: Home, server: subprocess.Popen[bytes]) -> None:
    home.lock("users").wait()  # and held to the end of this process: who comes now waits for that
    server.send_signal(_FAST)


def _end_orphans(home: Home) -> None:
    """End what a server that was killed has left at work: it would keep the next one from starting."""
    for process in cluster.at_work(home):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3] else None)
