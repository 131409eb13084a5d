"""Where scratch warehouses stand: each belongs to a path, under which nothing else is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol


class Grounds(Protocol):
    """Makes scratch warehouses of one kind, each known by a path."""

    def location(self, path: Path) -> str:
        """Return the warehouse of a path as a run is told it."""

    def clear(self, path: Path) -> None:
        """Let the warehouse be as one in which nothing has ever run."""

    def copy(self, path: Path, to: Path) -> None:
        """Let the warehouse of another path be what this one is; nobody is at work in either."""

    def remove(self, path: Path) -> None:
        """Remove the warehouse."""

    def strike(self) -> bool:
        """Let what the warehouses depend on fail at once, and come back; return whether there is such a thing."""


class Folders:
    """Lakes: a path is a lake's own folder."""

    def location(self, path: Path) -> str:
        """Return the folder."""
        return str(path)

    def clear(self, path: Path) -> None:
        """Remove the folder: the first run makes it."""
        shutil.rmtree(path, ignore_errors=True)

    def copy(self, path: Path, to: Path) -> None:
        """Copy the folder."""
        self.clear(to)
        shutil.copytree(path, to)

    def remove(self, path: Path) -> None:
        """Remove the folder."""
        shutil.rmtree(path)

    def strike(self) -> bool:
        """Return that a lake depends on nothing that runs."""
        return False
