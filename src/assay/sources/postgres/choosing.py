"""Which tables of a database are mirrored: those that are wanted, can be read, and are not a warehouse of assay."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from assay.model.errors import SourceError
from assay.sources.postgres.introspection import Found, tables_of

_NOT = "!"
_FORMAT = "assay_format"
"""The table that a schema has in which assay keeps what is no table of a pipeline."""
_FILE_COLUMN = "_assay_file"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tables of a database that are mirrored, and those that are not."""

    tables: tuple[Found, ...]
    there: tuple[Found, ...]
    """All that the database has among which they were chosen, also those that the role may not read."""
    own: tuple[Found, ...]
    """Those of a warehouse of assay, which nobody asked for by name."""
    unwanted: tuple[str, ...]
    """The patterns of those that are left out."""
    whole: bool
    """Whether all others were asked for."""


def choose(url: str, patterns: Sequence[str]) -> Chosen:
    """Choose among the tables of a database: `orders`, `sales.*`; all but some by `!logs`, `!sales.*`.

    Raises SourceError where the database cannot be reached, or a wanted table is not there or cannot be read.
    """
    unwanted = tuple(pattern.removeprefix(_NOT) for pattern in patterns if pattern.startswith(_NOT))
    wanted = [pattern for pattern in patterns if not pattern.startswith(_NOT)]
    there = tuple(tables_of(url, wanted))
    found = [each for each in there if not any(_is_named(each, pattern) for pattern in unwanted)]
    own = () if wanted else tuple(_of_warehouses(found))
    found = [each for each in found if each not in own]
    hidden = [each.place for each in found if not each.readable]
    if hidden and wanted:
        raise SourceError(f"The role may not read {hidden[0]}: GRANT SELECT ON {hidden[0]} TO its_name.")
    if len(hidden) == len(found):
        raise SourceError("The database has no table that this role may read.")
    return Chosen(tuple(each for each in found if each.readable), there, own, unwanted, not wanted)


def is_left_out(chosen: Chosen, entity: str) -> bool:
    """Return whether a published table, which the database may have no more, is one that was left out by name."""
    plain = (re.sub(r"[^a-z0-9*?\[\]]+", "_", each.lower().removeprefix("public.")) for each in chosen.unwanted)
    return any(fnmatchcase(entity, pattern) for pattern in plain)


def _of_warehouses(found: Sequence[Found]) -> list[Found]:
    """Return what a warehouse of assay has in the database: its own schemas, and the tables that it has published."""
    schemas = {each.schema for each in found if each.name == _FORMAT}
    return [each for each in found if schemas and (each.schema in schemas or _FILE_COLUMN in each.columns)]


def _is_named(table: Found, pattern: str) -> bool:
    return fnmatchcase(table.place, pattern) or (table.schema == "public" and fnmatchcase(table.name, pattern))
