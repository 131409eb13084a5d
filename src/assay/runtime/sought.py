"""What is looked for: values as people write them, in columns as they call them, or one row by its position."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import narwhals as nw
from narwhals import Expr, col

from assay.model.errors import UsageError
from assay.model.schema import SYSTEM_PREFIX
from assay.model.source import PART_BIT, POSITION, SLICE_BIT


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

    def matches(self, columns: Collection[str], keys: Collection[str]) -> Expr | None:
        """Return whether a row has the values; None where the columns are not there. `keys` are parts of any key."""
        named = {_plain(name): name for name in columns if not name.startswith(SYSTEM_PREFIX)}
        if "" in self.values:
            likely = [named[name] for name in map(_plain, keys) if name in named] or list(named.values())
            return nw.any_horizontal(*(_is(name, self.values[""]) for name in likely), ignore_nulls=True)
        if not {_plain(name) for name in self.values} <= set(named):
            return None
        return nw.all_horizontal(*(_is(named[_plain(n)], v) for n, v in self.values.items()), ignore_nulls=False)


def at(position: int) -> Expr:
    """Return whether a row is the one at a position, in whichever part of a stack."""
    row, number = position % (1 << PART_BIT), position >> SLICE_BIT
    return (col(POSITION) % (1 << PART_BIT) == row) & (col(POSITION) // (1 << SLICE_BIT) == number)


def _is(column: str, value: str) -> Expr:
    return col(column).cast(nw.String) == value


def _plain(name: str) -> str:
    """Return a name as it is compared: "Order ID" of a file is order_id of a table."""
    return re.sub(r"[\W_]", "", name).lower()
