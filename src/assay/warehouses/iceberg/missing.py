"""What a lake refers to and does not have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from assay.warehouses.iceberg.durable import local_path


def missing(files: Mapping[Path, int], metadata: Iterable[str]) -> Iterator[str]:
    """Return files that are not there in the size given, and what tables' metadata refer to and is not there."""
    for path, size in files.items():
        if not path.is_file():
            yield str(path)
        elif path.stat().st_size != size:
            yield f"{path} (it has {path.stat().st_size:,} of {size:,} bytes)"
    for location in metadata:
        path = local_path(location)
        if not path.is_file():
            yield str(path)
            continue
        snapshots = json.loads(path.read_bytes()).get("snapshots") or ()
        lists = (local_path(snapshot["manifest-list"]) for snapshot in snapshots)
        yield from (str(each) for each in lists if not each.is_file())
