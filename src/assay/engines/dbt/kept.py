"""What this machine keeps of one content of a project: what dbt has told of it, and its parse, which takes seconds."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from assay.engines.dbt.results import MANIFEST
from assay.model.workshop import NOBODYS

_PARSE = "partial_parse.msgpack"
"""The name by which dbt looks for its last parse, and parses anew only what is not as it was then."""
_CONTENTS = 20
"""Of so many contents something is kept, a megabyte or two of each; of any other, dbt is asked again."""


class Kept:
    """A folder with what is kept of one content of a project."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which need not be there."""
        self._folder = folder

    def manifest(self) -> Mapping[str, Any] | None:
        """Return what dbt has told of the project, if it was asked."""
        body = self._found(MANIFEST)
        return _document(body) if body is not None else None

    def keep_manifest(self, target: Path) -> Mapping[str, Any]:
        """Keep what dbt has told of the project, and return it."""
        body = (target / MANIFEST).read_bytes()
        self._put(MANIFEST, body)
        _forget_oldest(self._folder.parent)
        return _document(body)

    def lend_parse(self, target: Path, prefix: str) -> None:
        """Let dbt find its last parse, in which the schemas are named as they are now.

        The lengths of names are a part of it: where those of now have another, dbt parses anew.
        """
        if len(prefix) == len(NOBODYS) and (kept := self._found(_PARSE)) is not None:
            target.mkdir(exist_ok=True)
            (target / _PARSE).write_bytes(kept.replace(NOBODYS.encode(), prefix.encode()))

    def keep_parse(self, target: Path, prefix: str) -> None:
        """Keep the parse of dbt, in which the schemas are named as nobody's."""
        found = target / _PARSE
        if len(prefix) != len(NOBODYS) or not found.is_file():
            return
        body = found.read_bytes().replace(prefix.encode(), NOBODYS.encode())
        if self._found(_PARSE) != body:
            self._put(_PARSE, body)

    def _found(self, name: str) -> bytes | None:
        # Another process may forget it at any time.
        with suppress(FileNotFoundError):
            return (self._folder / name).read_bytes()
        return None

    def _put(self, name: str, body: bytes) -> None:
        """Write a file, which others find whole or not at all."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = self._folder / f"{name}.{os.getpid()}"
        written.write_bytes(body)
        written.replace(self._folder / name)


def _forget_oldest(cache: Path) -> None:
    with suppress(FileNotFoundError):
        for folder in sorted(cache.iterdir(), key=lambda folder: folder.stat().st_mtime)[:-_CONTENTS]:
            shutil.rmtree(folder, ignore_errors=True)


def _document(body: bytes) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(body)
    return found
