"""The one place that names concrete classes: settings become warehouse and engine."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assay.model.errors import UsageError, WarehouseError
from assay.model.ports import Warehouse
from assay.model.secrets import without_secrets
from assay.model.source import is_text
from assay.proof.grounds import Folders, Grounds
from assay.settings import Settings

if TYPE_CHECKING:
    from assay.engines.duckdb.engine import DuckDbEngine
    from assay.warehouses.postgres.scripts import Script
    from assay.warehouses.postgres.store import PostgresWarehouse

Location = str | os.PathLike[str]
On = Literal["lake", "postgresql"]
"""A kind of warehouse."""
LAKE: On = "lake"
_FOLDER = "postgresql:"
_SERVER_SECONDS = 30.0
"""How long a server may be away in the middle of a run."""


def engine(settings: Settings, order: int | None) -> DuckDbEngine:
    """Return what evaluates; with a number for the `order`, rows are presented in another than they are stored in."""
    from assay.engines.duckdb.engine import DuckDbEngine
    from assay.engines.duckdb.shuffling import ShufflingEngine

    # With one thread a worker, each table is computed by the thread that asked for it, and none waits for another's.
    threads = max(1, replace(Settings(), workers=0).worker_count // settings.worker_count)
    if order is None:
        return DuckDbEngine(threads=threads, memory_limit=settings.memory_limit)
    return ShufflingEngine(threads=threads, memory_limit=settings.memory_limit, seed=order)


def warehouse(settings: Settings, location: Location | None, *, create: bool) -> Warehouse:
    """Open a warehouse; where there is none and `create` is set, a run makes it. Raises WarehouseError otherwise."""
    place = _place(settings, location)
    if is_database(place):
        from assay.warehouses.postgres.patient import patient

        stored = database(settings, location, create=create)
        if not create and stored.migrations(()):
            raise WarehouseError(f"{stored.url}: holds no warehouse yet; `assay migrate PIPELINE` makes one.")
        return patient(stored, seconds=_SERVER_SECONDS)
    if "://" in place:
        raise UsageError(
            f"{place.partition(':')[0]}: is no kind of warehouse this version knows; name a folder, postgresql://... "
            "or postgresql:FOLDER."
        )
    from assay.warehouses.iceberg.store import IcebergWarehouse

    return IcebergWarehouse(_base(settings, location) / place, create=create, lease_seconds=settings.lease_seconds)


def is_database(place: str) -> bool:
    """Return whether a warehouse is a database: of a server, or of one whose data is in a folder."""
    return place.startswith(("postgresql:", "postgres://"))


def database(settings: Settings, location: Location | None, *, create: bool = True) -> PostgresWarehouse:
    """Open a database, whether it holds a warehouse or not.

    The server of a folder is started where it does not run, and stopped when the last who uses it has ended; it is its
    user's own, so that what it lacks is made by itself.
    """
    from assay.warehouses.postgres.server.embedded import embedded
    from assay.warehouses.postgres.store import PostgresWarehouse

    place = _place(settings, location)
    if "://" in place:
        return PostgresWarehouse(place, _copies_of(place), lease_seconds=settings.lease_seconds)
    folder = _folder(settings, location)
    use = ExitStack()
    url = use.enter_context(embedded(folder, create=create))
    stored = PostgresWarehouse(url, _copies_of(str(folder)), migrates=True, lease_seconds=settings.lease_seconds)
    stored.url = f"{_FOLDER}{folder}"
    weakref.finalize(stored, use.close)
    return stored


def scripts(texts: Mapping[str, str]) -> list[Script]:
    """Return statements that people have written, by the name of their file."""
    from assay.warehouses.postgres.scripts import Script

    return [Script(name, text) for name, text in texts.items()]


@contextmanager
def server(settings: Settings, location: Location | None) -> Iterator[str]:
    """Keep the server of a folder running, at the address that is yielded, for programs that are not assay.

    Raises UsageError where the warehouse has no server of its own, WarehouseError where there is none yet.
    """
    from assay.warehouses.postgres.server.embedded import embedded

    place = _place(settings, location)
    if "://" in place or not place.startswith(_FOLDER):
        raise UsageError(f"{without_secrets(place)}: has no server of its own; name postgresql:FOLDER.")
    with embedded(_folder(settings, location), create=False) as url:
        yield url.replace("+psycopg", "", 1)


@contextmanager
def grounds(on: On, folder: Path, prepare: Callable[[str], object]) -> Iterator[Grounds]:
    """Give what makes scratch warehouses of a kind; `prepare` is called with the address of an empty database."""
    if on == LAKE:
        yield Folders()
        return
    from assay.warehouses.postgres.scratch import Databases

    with closing(Databases(folder, prepare)) as databases:
        yield databases


def _folder(settings: Settings, location: Location | None) -> Path:
    """Return the folder that postgresql:FOLDER names."""
    return (_base(settings, location) / _place(settings, location).removeprefix(_FOLDER)).absolute()


def _base(settings: Settings, location: Location | None) -> Path:
    """Return the folder that a place counts from: given with a command where it is given, set where assay.toml is."""
    return Path() if location is not None else Path(settings.folder)


def _copies_of(place: str) -> Path:
    """Return the folder of this machine for copies of a database's files: they have names that no other ever has."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "assay" / hashlib.sha256(without_secrets(place).encode()).hexdigest()[:16]


def _place(settings: Settings, location: Location | None) -> str:
    place = str(location) if location is not None else settings.warehouse
    if not place.strip():
        raise UsageError("The warehouse has no name; give it a folder.")
    if not is_text(place) or "\0" in place:
        raise UsageError(f"{place!r}: the warehouse's name is no text; give it another.")
    return place
