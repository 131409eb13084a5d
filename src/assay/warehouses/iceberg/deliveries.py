"""Files of deliveries that a lake keeps itself, since nobody else does."""

from __future__ import annotations

from pathlib import Path

from assay.warehouses import layout
from assay.warehouses.iceberg import durable


def keep(root: Path, dataset: str, name: str, content: bytes) -> str:
    """Keep a file that a source reads, under a name of its own, and return its path.

    An equal one that is there is not taken again: a vacuum may have found that nobody needs it.
    """
    path = root / layout.deliveries_folder(dataset) / layout.delivery_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    durable.fsync_files([str(path)], str(root))
    return str(path)
