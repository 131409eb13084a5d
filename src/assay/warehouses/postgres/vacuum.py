"""Vacuuming a database: forget what no kept state needs, and the files that nobody refers to, in one transaction."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, delete

from assay.model.vacuum import Retention, Vacuumed
from assay.warehouses import lease, readers, vacuuming
from assay.warehouses.listed import listed
from assay.warehouses.postgres import content, workshop


def vacuum(connection: Connection, root: Path, retention: Retention | None, *, remove: bool) -> Vacuumed:
    """Remove what no kept state, no run at work and no reader needs; or just tell what would go.

    Who reads a state has brought its files to the folder of their machine, from where they are removed when nobody
    reads there any more.
    """
    lease.end_dead(connection)
    left = workshop.left(connection)
    now, before = dt.datetime.now(dt.UTC), vacuuming.references(connection)
    oldest, rows = vacuuming.oldest_readable(connection), 0
    if retention is not None:
        oldest = max(vacuuming.oldest_kept(connection, retention, now), oldest)
        rows = vacuuming.forget(connection, oldest, retention, now, quarantine=True)
    kept = vacuuming.references(connection)
    sizes = content.sizes(connection)
    gone = vacuuming.garbage(sizes, root, before, kept, replaying=bool(readers.held(root)))
    kinds = vacuuming.sums(gone, sizes, rows)
    kinds["leftover"] = sum(left.values(), kinds["leftover"])
    vacuumed = Vacuumed(removed=False, kinds=kinds, oldest=vacuuming.run_of_state(connection, oldest))
    if not remove:
        # What would go is what goes: all of it is done, and taken back.
        connection.rollback()
        return vacuumed
    workshop.drop(connection, left)
    connection.execute(delete(content.CONTENT).where(content.CONTENT.c.path.in_(listed(connection, gone))))
    if not readers.held(root):
        for path in gone:
            (root / path).unlink(missing_ok=True)
    return replace(vacuumed, removed=True)
