"""A workshop: the part of a database in which others' SQL builds, for one run, what readers do not see yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from assay.model.data import DataFile
from assay.model.run import RunHandle

BEGIN = "assay_run"
"""What the names of schemas begin with in which a run builds."""


def prefix_of(run: int, token: int) -> str:
    """Return what the names of the schemas of a run begin with; whoever takes it over has others.

    All are of one length, up to a million runs: what dbt keeps of a parse is that of the next run by another name.
    """
    return f"{BEGIN}_{run:06}_{token:06}__"


NOBODYS = prefix_of(0, 0)
"""What the schemas of models begin with where no run builds them."""


@dataclass(frozen=True, slots=True)
class Stood:
    """A table as it will stand if a run publishes: what is published, without some files and with others."""

    columns: tuple[str, ...]
    removed: tuple[str, ...] = ()
    added: tuple[DataFile, ...] = ()
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workspace:
    """Schemas of a database that belong to one run: what is built there, no reader sees."""

    url: str
    """Of the database, as libpq takes it, with its password."""
    prefix: str
    """What the names of the schemas begin with; the name of a layer follows."""


class Workshop(Protocol):
    """The part of a database in which others' SQL builds what readers do not see yet."""

    @property
    def address(self) -> str:
        """Of the database, as libpq takes it, with its password."""

    def opened(
        self, handle: RunHandle, layers: Collection[str], shown: Mapping[str, Stood], copied: Mapping[str, Stood]
    ) -> AbstractContextManager[Workspace]:
        """Make a schema for each layer, which belong to one run and go when the block ends; left ones go at once.

        Tables to be `shown` there are views of what will stand, by dataset; those to be `copied` are tables.
        """
