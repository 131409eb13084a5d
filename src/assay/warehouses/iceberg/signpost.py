"""The file in a lake's folder that names its catalog, where that is in a database which several machines share.

It holds no password: whoever may read the folder may not yet read the database.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from assay.model.errors import WarehouseError
from assay.warehouses.iceberg.durable import fsync_files

FILE = "catalog.json"
_PREFIX = "assay_lake_"
_SCHEMA = re.compile(rf"{_PREFIX}[a-z0-9_]{{1,50}}")
_ADDRESS = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class Signpost:
    """Where a lake's catalog is."""

    address: str
    """Of the database, without a password."""
    schema: str
    """The lake's own."""

    def to_text(self) -> str:
        """Return what stands in the file."""
        return f"{json.dumps(asdict(self), indent=2)}\n"


def is_there(root: Path) -> bool:
    """Return whether a lake's catalog is elsewhere than in its folder; raises WarehouseError where nobody may look."""
    try:
        return (root / FILE).is_file()
    except OSError as error:
        raise WarehouseError(f"{root / FILE}: {error.strerror}.") from None


def is_address(text: str) -> bool:
    """Return whether a text is the address of a database in which a catalog can be."""
    return text.startswith(_ADDRESS)


def new_schema(root: Path) -> str:
    """Return a schema that no other lake has; it is called after the folder, for those who look into the database."""
    name = re.sub(r"[^a-z0-9]+", "_", root.name.lower()).strip("_")[:30]
    return f"{_PREFIX}{name}_{uuid.uuid4().hex[:8]}"


def read(root: Path) -> Signpost | None:
    """Return what the file says, None where there is none; raises WarehouseError for one that says nothing."""
    path = root / FILE
    try:
        found = Signpost(**json.loads(path.read_text(encoding="utf-8")))
        make_url(found.address)
        if is_address(found.address) and _SCHEMA.fullmatch(found.schema):
            return found
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise WarehouseError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ArgumentError, AttributeError, TypeError, ValueError):
        pass  # told below
    raise WarehouseError(f"{path}: does not name a catalog as assay writes it. Restore it from a copy.")


@contextmanager
def drafted(root: Path, signpost: Signpost) -> Iterator[Callable[[], bool]]:
    """Write the file into a lake's folder under another name, and make that folder where it is missing.

    Calling what is yielded gives the file its own name, and returns whether no other had it. Raises WarehouseError
    where the folder cannot be written.
    """
    draft = root / f"{FILE}.{uuid.uuid4().hex}"

    def stand() -> bool:
        try:
            # Unlike a renamed file, a linked one never takes the place of another's.
            os.link(draft, root / FILE)
        except FileExistsError:
            return False
        except OSError as error:
            raise _refused(root, error) from None
        fsync_files([str(root / FILE)], str(root))
        return True

    try:
        root.mkdir(parents=True, exist_ok=True)
        draft.write_text(signpost.to_text(), encoding="utf-8")
    except OSError as error:
        raise _refused(root, error) from None
    try:
        fsync_files([str(draft)], str(root))
        yield stand
    finally:
        draft.unlink(missing_ok=True)


def _refused(root: Path, error: OSError) -> WarehouseError:
    return WarehouseError(f"{root}: cannot be made a lake: {error.strerror or error}.")
