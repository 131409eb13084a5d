"""What a check is: a rule over rows or over a whole table, and what happens when it is broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from narwhals import Expr

from assay.model.errors import DeclarationError, near_miss

Action = Literal["warn", "reject", "block"]
TableAction = Literal["warn", "block"]


class _Acting:
    """What has one of the actions that there are: another word would be no action at all, and bad rows published."""

    __slots__ = ()

    def __post_init__(self: Any) -> None:
        known = get_args(Action if isinstance(self, RowCheck) else TableAction)
        if self.action in known:
            return
        if self.action in get_args(Action):
            why = "; it looks at a table as a whole, of which no row can be told to go."
        else:
            why = f".{near_miss(str(self.action).lower(), known)}"
        *others, last = map(repr, known)
        raise DeclarationError(f"{self.name}: action= is {', '.join(others)} or {last}, not {self.action!r}{why}")


@dataclass(frozen=True, slots=True, eq=False)
class RowCheck(_Acting):
    """A rule that each row keeps or breaks; `broken` is true for rows that break it, and null never breaks."""

    name: str
    broken: Expr
    action: Action
    columns: tuple[str, ...] = ()
    """The columns it needs, where they are known: a missing one is told at load."""
    flag: str | None = None
    """The column that the function returns for this check alone, and that is not stored."""


@dataclass(frozen=True, slots=True)
class Unique(_Acting):
    """No two rows agree in all of the columns; rows with a null among them are left out."""

    name: str
    columns: tuple[str, ...]
    action: TableAction


@dataclass(frozen=True, slots=True)
class RowCount(_Acting):
    """The table holds at least `minimum` rows and at most `maximum`."""

    name: str
    minimum: int | None
    maximum: int | None
    action: TableAction


@dataclass(frozen=True, slots=True)
class FreshWithin(_Acting):
    """The largest date of the column is at most `days` before the run's as-of date."""

    name: str
    column: str
    days: int
    action: TableAction


@dataclass(frozen=True, slots=True)
class References(_Acting):
    """Every value of the column that is not null stands in a column of another table."""

    name: str
    column: str
    other: str
    other_column: str
    action: TableAction


@dataclass(frozen=True, slots=True)
class Reconciles(_Acting):
    """The sum of the column equals a total over another table."""

    name: str
    column: str
    other: str
    other_column: str | None
    """The other table's column that is summed (or counted); None counts its rows."""
    count: bool
    """Count the values that are not null instead of summing them."""
    action: TableAction


@dataclass(frozen=True, slots=True)
class Complete(_Acting):
    """At least a share of the column's values are not null."""

    name: str
    column: str
    share: float
    action: TableAction


@dataclass(frozen=True, slots=True)
class HasType(_Acting):
    """The column is of a SQL type, whatever its length or precision."""

    name: str
    column: str
    type: str
    action: TableAction


OwnCheck = Unique | RowCount | FreshWithin | Complete | HasType
"""Table checks that need the table alone."""
CrossCheck = References | Reconciles
"""Table checks that need a second table, and are judged again when either side changed."""
Check = RowCheck | OwnCheck | CrossCheck


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: how many rows (or, for a table check, how many cases) break it."""

    check: str
    action: Action
    broken: int
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing broke the rule."""
        return self.broken == 0

    @property
    def blocks(self) -> bool:
        """Whether this verdict stops the run's publish."""
        return not self.passed and self.action == "block"
