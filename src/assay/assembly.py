"""The one place that names concrete classes: settings become warehouse and engine."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assay.model.errors import UsageError
from assay.model.ports import Warehouse
from assay.model.secrets import address_without_secrets, without_secrets
from assay.model.source import is_text
from assay.proof.grounds import Folders, Grounds
from assay.settings import Settings, load

if TYPE_CHECKING:
    from assay.engines.duckdb.engine import DuckDbEngine
    from assay.warehouses.postgres.scripts import Script
    from assay.warehouses.postgres.store import PostgresWarehouse

Location = str | os.PathLike[str]
On = Literal["lake", "shared-lake", "postgresql"]
"""A kind of warehouse; a lake that is shared has its catalog in a database."""
LAKE: On = "lake"
_FOLDER = "postgresql:"
_SERVER_SECONDS = 30.0
"""How long a server may be away in the middle of a run."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a warehouse is, as people write it."""

    text: str
    base: Path
    """The folder that a relative one counts from."""

    @property
    def is_database(self) -> bool:
        return self.text.startswith((_FOLDER, "postgres://"))

    @property
    def is_address(self) -> bool:
        """Whether it is that of a server, and no folder."""
        return "://" in self.text

    @property
    def folder(self) -> Path:
        return self.base / self.text.removeprefix(_FOLDER)


def current_settings(*, workers: int | None = None, folder: Path | None = None) -> Settings:
    """Return the settings that hold in a folder, by default the current one, with the number of workers asked for."""
    found = load(os.environ, folder or Path.cwd())
    return found if workers is None else replace(found, workers=workers)


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
    if place.is_database:
        from assay.warehouses.postgres.patient import patient

        return patient(_database(settings, place, create=create), seconds=_SERVER_SECONDS)
    if place.is_address:
        raise UsageError(
            f"{place.text.partition(':')[0]}: is no kind of warehouse this version knows; name a folder, "
            "postgresql://... or postgresql:FOLDER."
        )
    return _lake(settings, place.folder, create=create)


def _lake(settings: Settings, folder: Path, *, create: bool) -> Warehouse:
    """Open a lake; its catalog is the one that its folder or the settings name, or else a file in the folder."""
    from assay.warehouses.iceberg import signpost
    from assay.warehouses.iceberg.store import IcebergWarehouse

    seconds = settings.lease_seconds
    if not (signpost.is_there(folder) or settings.catalog):
        return IcebergWarehouse(folder, create=create, lease_seconds=seconds)
    from assay.warehouses.iceberg.shared import SharedCatalog
    from assay.warehouses.postgres.patient import patient

    catalog = SharedCatalog(folder.absolute(), settings.catalog or None)
    lake = IcebergWarehouse(folder, create=create, catalog=catalog, lease_seconds=seconds)
    return patient(lake, seconds=_SERVER_SECONDS)


def is_database(settings: Settings, location: Location | None) -> bool:
    """Return whether a warehouse is a database: of a server, or of one whose data is in a folder."""
    return _place(settings, location).is_database


def located(settings: Settings, location: Location | None) -> str:
    """Return where a warehouse is, as it can be named from any folder."""
    place = _place(settings, location)
    if place.is_address:
        return place.text
    return f"{_FOLDER if place.is_database else ''}{place.folder.absolute()}"


def database(settings: Settings, location: Location | None) -> PostgresWarehouse:
    """Open a database, whether it holds a warehouse or not."""
    return _database(settings, _place(settings, location), create=True)


def _database(settings: Settings, place: _Place, *, create: bool) -> PostgresWarehouse:
    """Open a database; raises WarehouseError where it holds no warehouse, unless `create` is set.

    The server of a folder is started where it does not run, and stopped when the last who uses it has ended; it is its
    user's own, so that what it lacks is made by itself.
    """
    from assay.warehouses.postgres.server.embedded import embedded
    from assay.warehouses.postgres.store import PostgresWarehouse

    seconds = settings.lease_seconds
    if place.is_address:
        return PostgresWarehouse(place.text, _copies_of(place.text), create=create, lease_seconds=seconds)
    folder = place.folder.absolute()
    with ExitStack() as uses:
        url = uses.enter_context(embedded(folder, create=create))
        copies, name = _copies_of(str(folder)), f"{_FOLDER}{folder}"
        stored = PostgresWarehouse(url, copies, create=create, name=name, migrates=True, lease_seconds=seconds)
        weakref.finalize(stored, uses.pop_all().close)
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
    if place.is_address or not place.is_database:
        raise UsageError(f"{address_without_secrets(place.text)}: has no server of its own; name postgresql:FOLDER.")
    with embedded(place.folder.absolute(), create=False) as url:
        yield url.replace("+psycopg", "", 1)


@contextmanager
def grounds(on: On, folder: Path, prepare: Callable[[str], object]) -> Iterator[Grounds]:
    """Give what makes scratch warehouses of a kind; `prepare` is called with the address of an empty database."""
    if on == LAKE:
        yield Folders()
        return
    if on == "shared-lake":
        from assay.proof.crashing.shared import SharedLakes

        with closing(SharedLakes(folder)) as lakes:
            yield lakes
        return
    from assay.warehouses.postgres.scratch import Databases

    with closing(Databases(folder, prepare)) as databases:
        yield databases


def _copies_of(place: str) -> Path:
    """Return the folder of this machine for copies of a database's files: they have names that no other ever has."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "assay" / hashlib.sha256(without_secrets(place).encode()).hexdigest()[:16]


def _place(settings: Settings, location: Location | None) -> _Place:
    """Return the place that is given or set: one counts from where a command is started, the other from assay.toml."""
    text, base = (settings.warehouse, Path(settings.folder)) if location is None else (str(location), Path())
    if not text.strip():
        raise UsageError("The warehouse has no name; give it a folder.")
    if not is_text(text) or "\0" in text:
        raise UsageError(f"{text!r}: the warehouse's name is no text; give it another.")
    return _Place(text, base)
