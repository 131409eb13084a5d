"""Files of deliveries that a lake keeps itself, since nobody else does."""

from __future__ import annotations

import uuid
from pathlib import Path

from assay.warehouses.iceberg import durable, layout


def keep(root: Path, dataset: str, name: str, content: bytes) -> str:
    """Keep a file that a source reads, under a name made of the delivery's, and return its path."""
    path = root / layout.deliveries_folder(dataset) / layout.file_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    # What is there already may be being read, and half a file must never stand under the name.
    if not path.is_file() or path.read_bytes() != content:
        written = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        written.write_bytes(content)
        durable.fsync_files([str(written)], str(root))
        written.replace(path)
    durable.fsync_files([str(path)], str(root))
    return str(path)
