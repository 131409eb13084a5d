"""Refusing tables that another program has changed, and lakes that stand where they were not made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from assay.model.data import is_table
from assay.model.errors import WarehouseError
from assay.model.published import State


def refuse_foreign(state: State, pointers: Mapping[str, str]) -> None:
    """Raise WarehouseError where a table does not point at the metadata that assay wrote."""
    for name, version in state.versions.items():
        if is_table(name) and pointers.get(name) != version.metadata_location:
            raise WarehouseError(
                f"{name} was changed by another program than assay since run {version.id}; its rows are accounted for "
                "nowhere. Restore the table's metadata to what assay wrote, or load it into a table of its own."
            )


def refuse_lost(root: Path) -> None:
    """Raise WarehouseError where a folder has tables and its catalog is gone: in a new one they would be garbage."""
    if any(root.glob("*/*/metadata/*.metadata.json")):
        raise WarehouseError(
            f"{root}: has tables, and no catalog that knows them: its catalog.db or catalog.json is gone. Restore that "
            "from a copy, or load into a new folder."
        )


def refuse_moved(root: str, state: State) -> None:
    """Raise WarehouseError where the metadata of a table names another place than the lake's."""
    for name, version in state.versions.items():
        place = version.metadata_location
        if place is not None and not place.removeprefix("file://").startswith(f"{root}/"):
            raise WarehouseError(
                f"This lake was made in another place: {name} points at {place}. What was moved or copied can be read, "
                "but not run, undone or vacuumed; put it back, or load into a new lake."
            )
