"""Undoing in a lake: tables point again at the metadata that they had."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from assay.model.data import is_table
from assay.warehouses import reading
from assay.warehouses.iceberg import catalog, ownership
from assay.warehouses.iceberg.trimming import keeps, trim
from assay.warehouses.undoing import Change


def move_back(connection: Connection, root: str, run: int, found: list[Change]) -> list[Change]:
    """Point each table at the metadata it had, without what a vacuum has removed since; return what comes back.

    Raises WarehouseError where the lake was moved.
    """
    ownership.refuse_moved(root, reading.read_state(connection))
    is_kept, moved = keeps(connection, root), []
    for change in found:
        namespace, _, table = change.dataset.partition(".")
        now, then = change.now["metadata_location"], change.then
        if not is_table(change.dataset):
            moved.append(change)
        elif then is None:
            if now is not None:
                catalog.drop_pointer(connection, namespace, table, now)
            moved.append(change)
        else:
            back = trim(root, then["metadata_location"], run, is_kept)
            catalog.swap_pointer(connection, namespace, table, now, back)
            moved.append(replace(change, then={**then, "metadata_location": back}))
    return moved
