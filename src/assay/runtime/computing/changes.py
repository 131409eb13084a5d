"""What changed: new rows against the published ones, by key or as a whole, and the stamps that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import narwhals as nw
from narwhals import Expr, col, lit, when

from assay.model.ports import Frame, Session
from assay.model.schema import CLOSE, Column, Schema
from assay.model.table import Table
from assay.model.write import CREATED_AT, STAMPS, UPDATED_AT, Append, Merge
from assay.quality.either import any_of
from assay.runtime.work import Work

WAS = "_assay_was_"
"""Begins the names of published columns beside new ones."""
_INEXACT = ("DOUBLE", "REAL")
_FOUND = "_assay_found"
_DIFFERS = "_assay_differs"
_MOVED = "_assay_moved"


@dataclass(frozen=True, slots=True)
class Before:
    """The published rows that new ones are compared with: all of a table's, or those of the affected keys."""

    frame: Frame
    schema: Schema
    rows: int


@dataclass(frozen=True, slots=True)
class Changes:
    """A table's new rows, complete with stamps, and how they differ from the published ones."""

    frame: Frame
    changed: bool
    inserted: int
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    moved: int = 0
    """Rows of which just the position or the surrogate key differs."""

    @property
    def only_inserted(self) -> bool:
        """Whether all published rows stay as they are."""
        return not (self.updated or self.deleted or self.moved)

    @property
    def inserts(self) -> Frame:
        """The rows that were not published before."""
        return self.frame.filter(~col(_FOUND)) if _FOUND in self.frame.collect_schema().names() else self.frame


def all_new(work: Work, table: Table, rows: Frame, count: int) -> Changes:
    """Return rows none of which is published yet."""
    stamped = rows.with_columns(*(lit(work.stamp).alias(name) for name in STAMPS)) if table.write.stamps else rows
    return Changes(stamped, changed=count > 0, inserted=count)


def compare(work: Work, table: Table, session: Session, rows: Frame, count: int, before: Before) -> Changes:
    """Compare the table's rows (`count` of them) with published ones."""
    stored = work.traced[table.name].stored
    same_shape = _pairs(stored) == _pairs(before.schema)
    known = {(c.name, c.type) for c in before.schema}
    by_key = table.key and not isinstance(table.write, Append)
    if by_key and all((name, stored[name].type) in known for name in table.key) and _is_key(session, table, before):
        return _compare_by_key(work, table, session, rows, before)
    if not by_key and same_shape and count == before.rows:
        was = before.frame.select(*stored.names)
        if session.same_rows(session.cast(rows, stored), was, exactly=_within(work, table) == 0.0):
            return Changes(rows, changed=False, inserted=0, unchanged=count)
    return replace(all_new(work, table, rows, count), changed=True, deleted=before.rows)


def _is_key(session: Session, table: Table, before: Before) -> bool:
    """Return whether the key tells the published rows apart: they may be from before it was declared."""
    keys = before.frame.group_by(*table.key).agg(nw.len().alias(_FOUND)).select(nw.len())
    return session.fetch(keys) == [(before.rows,)]


def _compare_by_key(work: Work, table: Table, session: Session, rows: Frame, before: Before) -> Changes:
    stored = work.traced[table.name].stored
    shared = [c for c in stored if c.name in before.schema and before.schema[c.name].type == c.type]
    was = before.frame.select(
        *table.key,
        lit(value=True).alias(_FOUND),
        *(col(c.name).alias(WAS + c.name) for c in shared if c.name not in table.key),
    )
    joined = rows.join(was, on=list(table.key), how="left").with_columns(col(_FOUND).fill_null(value=False))
    surrogate = table.write.surrogate if isinstance(table.write, Merge) else None
    business = [c for c in shared if not c.is_system and c.name not in (*table.key, *STAMPS, surrogate)]
    system = [c for c in shared if (c.is_system or c.name == surrogate) and c.name not in table.key]
    same_business = _pairs(stored.without(*STAMPS)) == _pairs(before.schema.without(*STAMPS))
    differs = any_distinct(business, within=_within(work, table)) if same_business else lit(value=True)
    moved = any_distinct(system, within=0.0) & ~differs
    held = session.hold(
        joined.with_columns((col(_FOUND) & differs).alias(_DIFFERS), (col(_FOUND) & moved).alias(_MOVED))
    )
    flags = [col(name).cast(nw.Int64()).sum().alias(name) for name in (_FOUND, _DIFFERS, _MOVED)]
    ((count, found, updated, shifted),) = (
        [int(n) for n in row] for row in session.fetch(held.select(nw.len().alias("rows"), *flags))
    )
    inserted, deleted = count - found, before.rows - found
    return Changes(
        frame=_stamped(work, table, held, [c.name for c in shared]),
        changed=bool(inserted or updated or shifted or deleted) or _pairs(stored) != _pairs(before.schema),
        inserted=inserted,
        updated=updated,
        unchanged=found - updated,
        deleted=deleted,
        moved=shifted,
    )


def _stamped(work: Work, table: Table, flagged: Frame, shared: Sequence[str]) -> Frame:
    """Carry created_at over for every known key, updated_at for those whose business columns are as before."""
    if not table.write.stamps:
        return flagged
    now = lit(work.stamp)
    if CREATED_AT not in shared or UPDATED_AT not in shared:
        return flagged.with_columns(now.alias(CREATED_AT), now.alias(UPDATED_AT))
    created = when(col(_FOUND)).then(col(WAS + CREATED_AT)).otherwise(now)
    updated = when(col(_FOUND) & ~col(_DIFFERS)).then(col(WAS + UPDATED_AT)).otherwise(now)
    return flagged.with_columns(created.alias(CREATED_AT), updated.alias(UPDATED_AT))


def _within(work: Work, table: Table) -> float:
    """Return how far a DOUBLE may be from what is published and still be equal: what is no sum is told to the digit."""
    if not any(column.type in _INEXACT for column in work.traced[table.name].stored):
        return 0.0
    from assay.runtime.tracing.rounding import adds_up

    return CLOSE if adds_up(work.pipeline, work.traced, table.name) else 0.0


def any_distinct(columns: Sequence[Column], *, within: float) -> Expr:
    """Return whether any column differs from the one beside it that was published: IS DISTINCT FROM.

    DOUBLE is equal `within` so much of its size.
    """
    return any_of([_distinct(c, within) for c in columns])


def _distinct(column: Column, within: float) -> Expr:
    now, was = col(column.name), col(WAS + column.name)
    differs = now != was
    if column.type in _INEXACT:
        size = nw.max_horizontal(now.abs(), was.abs())
        # Infinity is within no distance of a number, and NaN at none.
        finite = now.is_finite() & was.is_finite()
        differs = differs & (~finite | ((now - was).abs() > size * within))
    return differs.fill_null(value=False) | (now.is_null() != was.is_null())


def _pairs(schema: Schema) -> list[tuple[str, str]]:
    return [(c.name, c.type) for c in schema]
