"""Makes files that were written survive a loss of power."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from assay.model.errors import WarehouseError

_FILE_SCHEME = "file://"


def local_path(location: str) -> Path:
    """Return the path of a plain or `file://` location, which is taken as it stands, without percent decoding.

    Raises WarehouseError for any other scheme.
    """
    path = location.removeprefix(_FILE_SCHEME)
    if "://" in path:
        raise WarehouseError(f"{location!r} is not on a local disk: files can be made durable only there.")
    return Path(path)


def fsync_files(paths: Iterable[str], root: str) -> None:
    """Force files to the disk, and every folder from theirs up to the root: a file without its name is lost too.

    Many files in few folders are best given in one call, since each folder is forced once a call.
    """
    top, files = local_path(root), [local_path(path) for path in paths]
    folders = {file.parent for file in files}
    folders |= {above for folder in folders for above in folder.parents if above.is_relative_to(top)}
    for path in (*files, *sorted(folders, reverse=True)):
        try:
            _fsync(path)
        except OSError as error:
            raise WarehouseError(f"{path}: cannot be made durable: {error.strerror}.") from error


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
