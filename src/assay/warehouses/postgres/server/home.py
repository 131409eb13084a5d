"""The folder of an embedded server: what stands where in it, and whether its server is ready."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from assay.model.errors import WarehouseError
from assay.warehouses.postgres.server.locks import Lock

USER = DATABASE = "assay"
PORT = 5432
"""Only a part of the socket's name: no server listens on the network."""
_SOCKETS = Path("/tmp")
"""A socket's path has at most 107 bytes, so it cannot stand in just any folder; who may use it is the folder's mode."""
_ANY_TLS = struct.pack("!ii", 8, 80877103)
"""PostgreSQL's SSLRequest, which it answers with one byte, whoever asks."""
_ANSWER_SECONDS = 5.0
_MOST_OF_LOG = 4_000_000
_TOLD_LINES = 6


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one server."""

    folder: Path

    @classmethod
    def claimed(cls, folder: Path) -> Home:
        """Return the folder, made where it is missing; raises WarehouseError where it holds something else."""
        home = cls(folder.absolute())
        try:
            home.folder.mkdir(parents=True, exist_ok=True)
            _refuse_foreign(home)
            with home.lock("server"):
                return home
        except OSError as error:
            raise WarehouseError(f"{folder}: cannot be the folder of a server: {error.strerror}.") from None

    @property
    def data(self) -> Path:
        """The data folder of PostgreSQL."""
        return self.folder / "data"

    @property
    def unfinished(self) -> Path:
        """A data folder that is being made."""
        return self.folder / "data.new"

    @property
    def log(self) -> Path:
        """What the server tells, and what makes it."""
        return self.folder / "server.log"

    @property
    def sockets(self) -> Path:
        """The folder of the socket; the same one as long as the folder lives, also after a crash."""
        found = self.folder.stat()
        return _SOCKETS / f"assay-postgres-{found.st_dev:x}-{found.st_ino:x}"

    @property
    def programs(self) -> Path:
        """A copy of PostgreSQL's programs, where the server's user cannot reach those that are installed."""
        return self.sockets / "programs"

    @property
    def url(self) -> str:
        """What clients are told: SQLAlchemy and, without the driver's name, psql."""
        return f"postgresql+psycopg://{USER}@/{DATABASE}?host={quote(str(self.sockets))}&port={PORT}"

    @property
    def major(self) -> int | None:
        """The major version of PostgreSQL that made the data; None where there is none yet."""
        try:
            return int((self.data / "PG_VERSION").read_text(encoding="ascii"))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def lock(self, name: str) -> Lock:
        """Open one of the two locks.

        "users" is shared by all who use the server, and taken alone by its keeper to stop it. "server" is held by who
        starts the server, by its keeper and by every process of the server: who can take it knows that none lives.
        """
        lock = Lock.on(self.folder / f"{name}.lock")
        self._give(lock.descriptor)
        return lock

    @contextmanager
    def open_log(self) -> Iterator[int]:
        """Open the log to add to it; what has grown too long begins anew."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        try:
            self._give(descriptor)
            if os.fstat(descriptor).st_size > _MOST_OF_LOG:
                os.truncate(descriptor, 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def told(self, start: int) -> str:
        """Return the last lines that were told since the log had a size."""
        with self.log.open("rb") as log:
            log.seek(start)
            lines = log.read().decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-_TOLD_LINES:])

    def is_ready(self) -> bool:
        """Return whether a server answers on the socket and accepts connections."""
        try:
            if self.sockets.lstat().st_uid != self.data.stat().st_uid:
                return False  # who else may have made a folder of that name answers for himself
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(_ANSWER_SECONDS)
                client.connect(str(self.sockets / f".s.PGSQL.{PORT}"))
                client.sendall(_ANY_TLS)
                if not client.recv(1):
                    return False
            # Read after it has answered: a server that has crashed leaves the file as it was.
            said = (self.data / "postmaster.pid").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        return said.endswith("ready   \n")

    def _give(self, descriptor: int) -> None:
        """Let a file belong to whom the folder belongs, so that its owner can use it after root has."""
        if os.geteuid() == 0:
            owner = self.folder.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _refuse_foreign(home: Home) -> None:
    names = {path.name for path in home.folder.iterdir()}
    if not names or "server.lock" in names:
        return
    if "PG_VERSION" in names:
        raise WarehouseError(
            f"{home.folder}: is the data folder of a PostgreSQL server that assay did not make. Start that server and "
            "give its address, postgresql://..., or name an empty folder."
        )
    raise WarehouseError(f"{home.folder}: is not empty, and no folder of an embedded server; name an empty one.")
