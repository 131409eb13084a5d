"""Vacuuming a lake: forget in one transaction what no kept state needs, then remove the files nobody refers to.

Rows go before files: killed in between, the lake has files too many, which the next vacuum finds. The other way round
it would have states that cannot be read.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, select, update

from assay.model.errors import WarehouseError
from assay.model.vacuum import Kind, Retention, Vacuumed
from assay.warehouses import layout, lease, readers, reading, vacuuming
from assay.warehouses.control import DATASETS, VERSIONS
from assay.warehouses.iceberg import catalog, ownership
from assay.warehouses.iceberg.trimming import keeps, trim

_OPENING_SECONDS = 10.0
"""How long a reader may take to find out which state it reads, before its files are left to the next vacuum."""


@dataclass(frozen=True, slots=True)
class _Decision:
    """What one vacuum does."""

    oldest: int
    gone: Mapping[str, Kind]
    """Files that nobody refers to, relative to the lake."""
    ended: frozenset[int]
    vacuumed: Vacuumed


def vacuum(root: Path, lake: catalog.Catalog, retention: Retention | None, *, remove: bool) -> Vacuumed:
    """Remove what no kept state, no run at work and no reader needs, or just tell what would go.

    Raises WarehouseError where the lake was moved, or another program has changed a table.
    """
    # Listed before the transaction: a file that comes later may belong to a run that the transaction does not see.
    found = dict(_files(root))
    with lake.write() as connection:
        decision = _decide(connection, root, retention, found, write=remove)
        if not remove:
            # What would go is what goes: all of it is done, and taken back.
            connection.rollback()
    if remove and _is_left_by_readers(root, decision.oldest):
        _remove(root, decision)
        lake.shrink()
        return replace(decision.vacuumed, removed=True)
    return decision.vacuumed


def _files(root: Path) -> Iterator[tuple[str, int]]:
    """Return the files that have names as assay gives them, where it writes them, with their sizes."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            place = path.relative_to(root).as_posix()
            if layout.run_of(place) is not None or layout.is_delivery(place):
                try:
                    yield place, path.stat().st_size
                except FileNotFoundError:
                    continue  # removed by the run that it belonged to


def _decide(
    connection: Connection, root: Path, retention: Retention | None, found: Mapping[str, int], *, write: bool
) -> _Decision:
    """Forget what no kept state needs, and return which files nobody refers to then."""
    state = reading.read_state(connection)
    ownership.refuse_foreign(state, catalog.pointers(connection))
    ownership.refuse_moved(str(root), state)
    lease.end_dead(connection)
    now, before = dt.datetime.now(dt.UTC), vacuuming.references(connection)
    held = readers.held(root)
    read = {int(name) for name in held if name.isdigit()}
    oldest, rows, wanted = vacuuming.oldest_readable(connection), 0, 0
    if retention is not None:
        wanted = vacuuming.oldest_kept(connection, retention, now)
        # What was forgotten does not come back, however long the retention is from now on.
        oldest = max(min({wanted, *read}), oldest)
        rows = vacuuming.forget(connection, oldest, retention, now, quarantine=not held)
        _trim(connection, str(root), write=write)
    kept = vacuuming.references(connection)
    gone = vacuuming.garbage(found, root, before, kept, replaying=bool(held))
    runs = (vacuuming.run_of_state(connection, seq) for seq in sorted(read) if seq < wanted)
    vacuumed = Vacuumed(
        removed=False,
        kinds=vacuuming.sums(gone, found, rows),
        oldest=vacuuming.run_of_state(connection, oldest),
        readers=tuple(run for run in runs if run is not None),
    )
    return _Decision(oldest, gone, kept.ended, vacuumed)


def _trim(connection: Connection, root: str, *, write: bool) -> None:
    """Take out of every table's metadata what is not referred to any more, and point the table at the rest."""
    is_kept = keeps(connection, root)
    stands = (DATASETS.c.name == VERSIONS.c.dataset) & (DATASETS.c.version == VERSIONS.c.run)
    query = select(VERSIONS.c.dataset, VERSIONS.c.metadata_location).join(DATASETS, stands)
    for dataset, location in connection.execute(query.where(VERSIONS.c.metadata_location.is_not(None))).all():
        trimmed = trim(root, location, 0, is_kept, write=write)
        if trimmed != location:
            namespace, _, table = dataset.partition(".")
            catalog.swap_pointer(connection, namespace, table, location, trimmed)
            same = (VERSIONS.c.dataset == dataset) & (VERSIONS.c.metadata_location == location)
            connection.execute(update(VERSIONS).where(same).values(metadata_location=trimmed))


def _is_left_by_readers(root: Path, oldest: int) -> bool:
    """Return whether no reader has begun to read an older state while it was being forgotten."""
    deadline = time.monotonic() + _OPENING_SECONDS
    while readers.OPENING in (held := readers.held(root)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return all(int(name) >= oldest for name in held if name.isdigit())


def _remove(root: Path, decision: _Decision) -> None:
    try:
        for path in decision.gone:
            (root / path).unlink(missing_ok=True)
    except OSError as error:
        raise WarehouseError(
            f"{error.filename}: cannot be removed: {error.strerror}. Run `assay vacuum` again."
        ) from None
    for folder in (root / layout.RUNS).glob("*"):
        if folder.name.isdigit() and int(folder.name) in decision.ended:
            shutil.rmtree(folder, ignore_errors=True)
