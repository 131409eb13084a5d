"""What became of published tables between two states: rows that came, went or changed, and columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["added", "removed", "changed"]
Fate = Literal["stayed", "came", "went"]


@dataclass(frozen=True, slots=True)
class RowDifference:
    """One row, or several that are equal: of a changed one, only the columns that differ."""

    kind: Kind
    key: Mapping[str, Any]
    """Empty for a table without a key."""
    before: Mapping[str, Any]
    """Its values then; empty for an added row."""
    after: Mapping[str, Any]
    """Its values now; empty for a removed one."""
    count: int = 1


@dataclass(frozen=True, slots=True)
class TableDifference:
    """What became of one table."""

    table: str
    fate: Fate
    rows_before: int
    rows_after: int
    key: tuple[str, ...] = ()
    """What rows were followed by; without one they are compared whole, and none counts as changed."""
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    columns_retyped: tuple[str, ...] = ()
    """Written as "amount: INTEGER -> BIGINT"."""
    rows: tuple[RowDifference, ...] = ()
    """Some of them, where they were asked for, by key."""

    @property
    def differs(self) -> bool:
        """Whether anything is to be told of it."""
        columns = self.columns_added or self.columns_removed or self.columns_retyped
        return self.fate != "stayed" or bool(columns or self.added or self.removed or self.changed)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)
