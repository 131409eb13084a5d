"""Vacuuming a database: forget what no kept state needs, and the files that nobody refers to, in one transaction."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, delete

from assay.model.vacuum import Kind, Removed, Retention, Vacuumed
from assay.warehouses import layout, lease, readers, vacuuming
from assay.warehouses.postgres import content


def vacuum(connection: Connection, root: Path, retention: Retention, *, remove: bool) -> Vacuumed:
    """Remove what no kept state, no run at work and no reader needs; or just tell what would go.

    Who reads a state has brought its files to the folder of their machine, from where they are removed when nobody
    reads there any more.
    """
    lease.end_dead(connection)
    now, before = dt.datetime.now(dt.UTC), vacuuming.references(connection)
    oldest = max(vacuuming.oldest_kept(connection, retention, now), vacuuming.oldest_readable(connection))
    rows = vacuuming.forget(connection, oldest, retention, now, quarantine=True)
    kept = vacuuming.references(connection)
    needed, known = _paths(root, kept), _paths(root, before)
    sizes = content.sizes(connection)
    gone = {
        path: _kind(path, path in known)
        for path in sizes
        if path not in needed and _is_left(path, kept, replaying=bool(readers.held(root)))
    }
    kinds: dict[Kind, Removed] = {}
    for kind in ("data", "metadata", "quarantine", "leftover"):
        found = [sizes[path] for path, its in gone.items() if its == kind]
        kinds[kind] = Removed(len(found), sum(found))
    kinds["rows"] = Removed(rows, 0)
    vacuumed = Vacuumed(removed=False, kinds=kinds, oldest=vacuuming.run_of_state(connection, oldest))
    if not remove:
        # What would go is what goes: all of it is done, and taken back.
        connection.rollback()
        return vacuumed
    connection.execute(delete(content.CONTENT).where(content.CONTENT.c.path.in_(list(gone))))
    if not readers.held(root):
        for path in gone:
            (root / path).unlink(missing_ok=True)
    return replace(vacuumed, removed=True)


def _paths(root: Path, referred: vacuuming.References) -> frozenset[str]:
    """Return all files that are referred to, as they are kept."""
    return referred.paths | {location.removeprefix(f"{root}/") for location in referred.locations}


def _is_left(path: str, kept: vacuuming.References, *, replaying: bool) -> bool:
    """Return whether a file that nothing refers to is of no run that may still do so.

    A delivery is kept before its run begins, by one who reads the warehouse until the run has ended.
    """
    if layout.is_delivery(path):
        return not replaying and path not in kept.plans
    return layout.run_of(path) in kept.ended


def _kind(path: str, was_kept: bool) -> Kind:
    if not was_kept:
        return "leftover"
    return "quarantine" if path.startswith(layout.QUARANTINE) else "data"
