"""The grain of a table: how many rows its function must return for the rows it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.model.errors import DeclarationError
from assay.model.given import listed


@dataclass(frozen=True, slots=True)
class Same:
    """One row for each row read, but for those dropped by `drop_where`."""


@dataclass(frozen=True, slots=True)
class Times:
    """`count` rows for each row read, but for those dropped by `drop_where` after multiplying."""

    count: int


@dataclass(frozen=True, slots=True)
class Lookup:
    """One row for each row read; the named inputs are only looked up in, and may neither lose nor multiply rows."""

    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Groups:
    """One row for each value of the keys; the control totals must come out as they went in."""

    keys: tuple[str, ...]
    totals: Mapping[str, str] = field(default_factory=dict)
    """Column of the result -> column read whose sum it must equal."""
    count: str | None = None
    """Column of the result whose sum must equal the number of rows read."""
    lookup: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Free:
    """Any number of rows, by declaration and for the reason given."""

    why: str


Grain = Same | Times | Lookup | Groups | Free


def same() -> Same:
    """Declare one row for each row read; what goes is dropped by `drop_where`, and so counted. The default."""
    return Same()


def times(count: int) -> Times:
    """Declare `count` rows for each row read."""
    if count < 1:
        raise DeclarationError(f"times({count}): a table returns at least one row for each row read.")
    return Times(count)


def lookup(*inputs: str) -> Lookup:
    """Declare that joining the named inputs must not change the number of rows."""
    if not inputs:
        raise DeclarationError("lookup() names the inputs that are only looked up in.")
    return Lookup(inputs)


def groups(
    *keys: str, total: str | Mapping[str, str] = "", count: str | None = None, lookup: tuple[str, ...] = ()
) -> Groups:
    """Declare one row for each value of the keys, with control totals that must reconcile.

    `total` is a column summed under its own name, or a mapping {column of the result: column read}. `count` is the
    column that counts the rows read. `lookup` names inputs that are only joined to. At least one of total and count
    is needed: without a control total a lost row would go unseen.
    """
    lookup = listed("groups()", "lookup", lookup, tuple)
    totals = ({total: total} if total else {}) if isinstance(total, str) else dict(total)
    if not keys:
        raise DeclarationError("groups() needs the columns that are grouped by.")
    if not totals and count is None:
        raise DeclarationError(
            f"groups({', '.join(map(repr, keys))}) needs a control total: "
            "total='amount' for a sum, count='orders' for a number of rows."
        )
    return Groups(keys, totals, count, lookup)


def free(why: str) -> Free:
    """Declare that the number of rows cannot be stated; the ledger shows the difference with this reason."""
    if not why.strip():
        raise DeclarationError("free() needs the reason why rows cannot be counted.")
    return Free(why)


def counted_inputs(grain: Grain, inputs: tuple[str, ...]) -> tuple[str, ...]:
    """Return the inputs whose rows must be accounted for: all but those that are only looked up in."""
    match grain:
        case Lookup(inputs=joined) | Groups(lookup=joined):
            return tuple(name for name in inputs if name not in joined)
        case _:
            return inputs
