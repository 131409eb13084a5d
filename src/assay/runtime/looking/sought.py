"""What is looked for: values as people write them, in columns as they call them, or one row by its position."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from narwhals import Expr, String, all_horizontal, col

from assay.model.errors import UsageError
from assay.model.ports import Frame, Session
from assay.model.schema import SYSTEM_PREFIX
from assay.model.source import PART_BIT, POSITION, SLICE_BIT
from assay.quality.either import any_of


class _Column(NamedTuple):
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Sought:
    """Values by column; under an empty name a value that may be in any column that is part of a key."""

    values: Mapping[str, str]

    @classmethod
    def parse(cls, words: Collection[str]) -> Sought:
        """Read VALUE, or COLUMN=VALUE several times. Raises UsageError for both at once, or a column given twice."""
        pairs = [word.partition("=") for word in words]
        values = {name.strip(): value for name, equals, value in pairs if equals}
        bare = [name for name, equals, _ in pairs if not equals]
        if len(values) + len(bare) < len(pairs) or (bare and (values or len(bare) > 1)) or not pairs:
            raise UsageError("Give one value, or COLUMN=VALUE for each column, such as order_id=4711.")
        return cls(values or {"": bare[0]})

    def matches(self, frame: Frame, session: Session, keys: Collection[str] = ()) -> Expr | None:
        """Return whether a row has the values, however they are written; None where the columns are not there.

        `keys` are columns that are part of any key.
        """
        columns = [_Column(name, kind) for name, kind in session.columns(frame) if not name.startswith(SYSTEM_PREFIX)]
        named = {_plain(column.name): column for column in columns}
        if "" in self.values:
            likely = [named[name] for name in map(_plain, keys) if name in named] or columns
            return any_of([_is(column, self.values[""], session) for column in likely])
        wanted = {_plain(name): value for name, value in self.values.items()}
        if not set(wanted) <= set(named):
            return None
        found = (_is(named[name], value, session) for name, value in wanted.items())
        return all_horizontal(*found, ignore_nulls=False)


def at(position: int) -> Expr:
    """Return whether a row is the one at a position, in whichever part of a stack."""
    row, number = position % (1 << PART_BIT), position >> SLICE_BIT
    return (col(POSITION) % (1 << PART_BIT) == row) & (col(POSITION) // (1 << SLICE_BIT) == number)


def _is(column: _Column, text: str, session: Session) -> Expr:
    return col(column.name).cast(String) == session.spelled(text, column.kind)


def _plain(name: str) -> str:
    """Return a name as it is compared: "Order ID" of a file is order_id of a table."""
    return re.sub(r"[\W_]", "", name).lower()
